"""IPython's syntax in a cell, turned into Python as IPython does it, but for what is rather prose.

IPython takes `,word`, `;word` and `/word` for calls, any line that begins with `!` for a command,
and any that ends with `?` for a question about its last word. In what a model writes those are a
list, an image or a sentence. So only what nobody would take for prose passes here; whatever passes
means the same to IPython. Imports IPython: for use inside functions.
"""

from __future__ import annotations

import re
import tokenize
from functools import cache

from IPython.core.inputtransformer2 import EscapedCommand, HelpEnd, TransformerManager

_ESCAPE = re.compile(r"%[A-Za-z_][\w.]*(?=\s|$)|!!?\s*[a-z./~${]|\?\??\s*[\w.*]+\s*$")
_HELP = re.compile(r"%{0,2}(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?\d+\])*\?\??\s*")
_INDENTS = frozenset({tokenize.INDENT, tokenize.DEDENT})


def _first(tokens: list[tokenize.TokenInfo]) -> tuple[tokenize.TokenInfo | None, str]:
    """A line's first token and the text of the line from there."""
    for token in tokens:
        if token.type not in _INDENTS:
            return token, (token.line.splitlines() or [""])[0][token.start[1] :]
    return None, ""


class _Escape(EscapedCommand):
    """`%magic`, `!command` and `?name`."""

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> _Escape | None:
        """Find the first one in the tokens of a cell."""
        for tokens in tokens_by_line:
            token, text = _first(tokens)
            if token is not None and _ESCAPE.match(text):
                return cls(token.start)
        return None


class _Help(HelpEnd):
    """`name?`."""

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> _Help | None:
        """Find the first one in the tokens of a cell."""
        for tokens in tokens_by_line:
            token, text = _first(tokens)
            if token is None or not _HELP.fullmatch(text):
                continue
            if len(tokens) > 2 and tokens[-2].string == "?":  # noqa: PLR2004  the last is the end
                return cls(token.start, tokens[-2].start)
        return None


@cache
def _manager() -> TransformerManager:
    manager = TransformerManager()
    ours: dict[type, type] = {EscapedCommand: _Escape, HelpEnd: _Help}
    manager.token_transformers = [ours.get(kind, kind) for kind in manager.token_transformers]
    return manager


def without_escapes(source: str) -> str:
    """The Python that a cell stands for; raises anything for what is none."""
    return str(_manager().transform_cell(source))
