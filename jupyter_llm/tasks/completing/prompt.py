"""The prompt that continues a cell: the cells above it, then the cell up to the cursor.

While somebody writes, a prompt continues the last one, so almost nothing has to be read. It
includes no outputs, no secrets, no hidden cells and no cells that are off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from jupyter_llm.engine.info import ModelInfo
from jupyter_llm.engine.request import RawPrompt, Special
from jupyter_llm.notebook.cells.document import CellKind, DocumentCell
from jupyter_llm.notebook.cells.rendering import without_setup
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import split_cell_magic
from jupyter_llm.notebook.values.lookups import keys
from jupyter_llm.notebook.values.redaction import (
    redact_source,
    redact_text,
    scrub,
    without_registered,
)
from jupyter_llm.notebook.values.secrets import HIDDEN, is_secret
from jupyter_llm.notebook.values.variables import used

Parts = tuple[str | Special, ...]
"""The parts of a prompt, or some of them."""

_MAX_LISTED = 4  # variables
_NAMES_TOKENS = 48  # of the line that tells them
_CHARS_OF_TOKEN = 3  # at least, in code; elsewhere as many bytes
_SUFFIX_CHARS = 600
# The piece of a text that is one token or a few, with the blank or the signs it begins with.
_PIECE = re.compile(r"[^\S\n]?[^\w\s]*\w*\Z")
# Small models are helped by little and harmed by much: from so many parameters on, so many tokens.
_NUM_TOKENS = ((3 * 10**9, 2048), (3 * 10**8, 1536), (0, 1024))


def shown_source(cell: DocumentCell) -> str:
    """Return the source of a cell above as prompts include it; "" for no code or text."""
    if cell.kind == "markdown":
        return redact_text(cell.source.strip()).text
    magic, _, _ = split_cell_magic(cell.source)
    if cell.kind == "raw" or magic == "llm":  # a prompt is no code
        return ""
    return redact_source(without_setup(unmark(cell.source))).text


def names_comment(sources: Iterable[str], variables: Mapping[str, Any]) -> str:
    """Return the columns and keys of the variables that some code uses, as one comment."""
    namespace = dict(variables)  # cells go on running meanwhile
    names = dict.fromkeys(name for source in sources for name in used(source, namespace))
    parts: list[str] = []
    for name in names:
        labels = keys(namespace[name]) if not is_secret(name, namespace[name]) else None
        if labels and len(parts) < _MAX_LISTED:
            kind = "keys" if isinstance(namespace[name], dict) else "columns"
            few = [" ".join(key.split())[:24] for key in labels[:12]]
            parts.append(f"{name} has the {kind} {', '.join(few)}")
    line, most = scrub(f"# {'; '.join(parts)}"), _NAMES_TOKENS * _CHARS_OF_TOKEN
    line = line if len(line) < most else line[:most].rpartition(", ")[0]
    return line + "\n" if parts else ""


def first_kept(counts: Sequence[int], budget: int) -> int:
    """From which of some pieces on they are kept, so that they fit.

    Of what does not fit much is left out at once: half of the budget, so that the start stays the
    same until as much has come.
    """
    ends = list(accumulate(counts))
    total = ends[-1] if ends else 0
    if total <= budget:
        return 0
    step = max(budget // 2, 1)
    cut = -(-(total - budget) // step) * step
    return next(number for number, end in enumerate(ends, 1) if end >= cut)


def end_of(text: str, most: int) -> str:
    """The end of a long text, in whole lines if that can be."""
    return text if len(text) <= most else text[-most:].partition("\n")[2] or text[-most:]


def healed(text: str) -> tuple[str, str]:
    """A text up to its last piece, and that piece, which a model may write with other tokens."""
    piece = _PIECE.findall(text)[0]
    return text.removesuffix(piece), piece


@dataclass(frozen=True, slots=True)
class Visit:
    """The fixed parts of a prompt while somebody writes in one cell.

    `names`: the contents of nearby variables. `above`: the text above the cursor when the writing
    began. `suffix`: the text below it. A model that fills in reads these first.
    """

    cell_id: str
    names: str
    above: str
    suffix: str


@dataclass(frozen=True, slots=True)
class CellText:
    """A cell that is written, as a model may see it: up to the cursor, and what follows."""

    kind: CellKind
    prefix: str
    suffix: str

    @classmethod
    def of(cls, kind: CellKind, prefix: str, suffix: str) -> CellText | None:
        """Without the secrets in it; None where one is being written."""
        above, end, line = prefix.rpartition("\n")
        rest, start, below = suffix.partition("\n")
        redact = redact_source if kind == "code" else redact_text
        # This comes first, lest the half of one that is typed becomes known as a secret.
        if not redact(prefix, notes=False).text.endswith(end + line):
            return None
        whole = redact(prefix + suffix).text  # what is a secret in it is one in the parts
        cell = cls(kind, redact(above).text + end + line, rest + start + redact(below).text)
        is_within = not whole.endswith(cell.suffix) or redact(line).text != line
        return None if is_within or redact(rest).text != rest or HIDDEN in line else cell

    def within(self, budget: int) -> CellText:
        """With the oldest lines left out where there are too many."""
        lines = self.prefix.splitlines(keepends=True)
        start = first_kept([len(line) for line in lines], budget * _CHARS_OF_TOKEN)
        suffix = self.suffix[:_SUFFIX_CHARS]
        return CellText(self.kind, "".join(lines[start:])[-budget * _CHARS_OF_TOKEN :], suffix)


@dataclass(frozen=True, slots=True)
class GhostPrompt:
    """The prompt, and the piece at the cursor that the answer has to begin with.

    `stops`: texts that begin something else than the cell. `ahead`: the parts that can be read
    before anything is typed.
    """

    parts: RawPrompt
    ahead: Parts
    piece: str
    stops: tuple[str, ...]


class PromptWriter:
    """Writes prompts in the way the vocabulary of a model has for it."""

    def __init__(self, info: ModelInfo) -> None:
        self._fim = info.fim
        self._notebook = info.notebook if info.fim is None else None
        marks = self._notebook
        # Where another cell or a file would begin, and what no one is to see.
        cells = (marks.text, marks.code, marks.output) if marks is not None else ()
        self._stops = (HIDDEN[:14], *cells)
        most = next(tokens for least, tokens in _NUM_TOKENS if info.num_parameters >= least)
        num_tokens = min(most, info.n_ctx // 2)
        self._for_cell = num_tokens // 4
        self._for_above = num_tokens - self._for_cell - _NAMES_TOKENS

    def above(self, cells: Sequence[DocumentCell]) -> Parts:
        """The parts for the cells above, each with what marks its start."""
        most = self._for_above // 2 * _CHARS_OF_TOKEN
        texts = [(cell.kind, end_of(shown_source(cell), most)) for cell in cells]
        pieces = [(kind, without_registered(text)) for kind, text in texts if text]
        sizes = [len(text.encode(errors="replace")) // _CHARS_OF_TOKEN + 2 for _, text in pieces]
        first = first_kept(sizes, self._for_above)
        start = self._fim.prefix if self._fim is not None else ""
        start = self._notebook.start if self._notebook is not None else start
        marks = (Special(start),) if start else ()
        return (*marks, *(part for kind, text in pieces[first:] for part in self._cell(kind, text)))

    def _mark(self, kind: CellKind) -> Parts:
        """Return the text before a cell, if the vocabulary has one for it."""
        if self._notebook is None:
            return ()
        return (Special(self._notebook.text if kind == "markdown" else self._notebook.code),)

    def _cell(self, kind: CellKind, text: str) -> Parts:
        if marks := self._mark(kind):
            return (*marks, text + "\n")
        if kind != "code":
            text = "\n".join(f"# {line}".rstrip() for line in text.split("\n"))
        return (text + "\n\n",)

    def write(self, above: Parts, cell: CellText, visit: Visit, added: str = "") -> GhostPrompt:
        """The prompt for a cell, to whose prefix a model has `added` something already."""
        visible = cell.within(self._for_cell)
        prefix, piece = healed(visible.prefix + added)
        rest: Parts = (prefix,)
        if self._fim is not None:  # what grows with every key comes last
            fixed = visit.above if prefix.startswith(visit.above) else prefix.rpartition("\n")[0]
            suffix, middle = Special(self._fim.suffix), Special(self._fim.middle)
            rest = (fixed, suffix, visible.suffix, middle, prefix.removeprefix(fixed))
        start: Parts = (*above, *self._mark(cell.kind), *([visit.names] if visit.names else ()))
        parts = RawPrompt((*start, *(part for part in rest if part)))
        ahead = parts.parts if self._fim is None else start
        return GhostPrompt(parts, ahead, piece, self._stops)

    def fixed(self, cell: CellText) -> tuple[str, str]:
        """Return the lines above the cursor, and the text after it."""
        visible = cell.within(self._for_cell)
        above, end, _ = visible.prefix.rpartition("\n")
        return above + end, visible.suffix
