"""Makes the MIME bundles of all outputs; no other module makes one.

A bundle accepts markup only as `Markdown` or `Html`. Only `markdown.py` and `html_text.py` make
these types: from our own templates and from texts that they have made harmless.
"""

from __future__ import annotations

import sys
from typing import Any, NewType

from jupyter_llm.common.controls import plain
from jupyter_llm.common.html_text import Html, filled
from jupyter_llm.common.markdown import Markdown, untrusted_markdown

Bundle = NewType("Bundle", dict[str, str])
"""The forms of one output, by MIME type."""

# MathJax skips this box: our HTML contains no formula.
_NO_FORMULAS = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'


def bundle(text: str | None, markup: Markdown | Html | None = None) -> Bundle:
    """Return the bundle of a plain text and its markup; None omits a form."""
    data = {} if text is None else {"text/plain": text}
    if isinstance(markup, Html):
        data["text/html"] = filled(_NO_FORMULAS, markup)
    elif markup is not None:
        data["text/markdown"] = markup
    return Bundle(data)


def exact_output(text: str) -> str:
    """Return a text as the notebook stores it; its record is looked up by the hash of this form.

    A terminal obeys control characters, so they are removed outside a kernel.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return text if getattr(shell, "kernel", None) is not None else plain(text)


class Rich:
    """A value that outputs show as markup: by default its `str` as Markdown."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        # IPython looks for it class by class, and finds the `__repr__` of a dataclass first.
        cls._repr_pretty_ = cls._repr_pretty_  # type: ignore[method-assign]

    def _markup(self) -> Markdown | Html:
        """Return the markup that a notebook shows."""
        return untrusted_markdown(str(self))

    def _repr_mimebundle_(self, **_wanted: object) -> tuple[Bundle, dict[str, Any]]:
        return bundle(None, self._markup()), {}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001
        printer.text(f"{type(self).__name__}(…)" if cycle else plain(str(self)))
