"""Code that a model wrote, as cells that parse, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.tables import count_of
from jupyter_llm.notebook.code.blocks import code_blocks
from jupyter_llm.notebook.code.layout import without_last_statement
from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.notebook.code.repair import repair
from jupyter_llm.notebook.values.secrets import HIDDEN
from jupyter_llm.tasks.hidden import without_hidden

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.code.blocks import CodeBlock
    from jupyter_llm.notebook.code.repair import Repaired
    from jupyter_llm.notebook.sealed.seen import Seen

    Parts = tuple[tuple[Request, Future[Completion]], ...]

ANSWER_PREFIX = "```python\n"
"""What the answer to a request for code begins with, so that code must follow."""

_CUT_OFF = "# The answer was cut off here."


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCell:
    """Code that parses, ready to land in a cell.

    `changes` say what was done to what the model wrote. `unknown_names` exist neither in the code
    nor in the namespace, and `missing_modules` are imported but not installed.
    """

    source: str
    changes: tuple[str, ...] = ()
    unknown_names: tuple[str, ...] = ()
    missing_modules: tuple[str, ...] = ()
    is_cut_off: bool = False

    @property
    def landing(self) -> str:
        """The source for the new cell. If the answer was cut off, a comment at the end says so."""
        return f"{self.source}\n{_CUT_OFF}" if self.is_cut_off else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswer(Rich):
    """The cells that a model wrote, or none. Shows as the code with its remark.

    `completion` is the draft they were made of, as it was drawn, behind `ANSWER_PREFIX`, and
    `request` is what it answers. It is the best of `num_drafts`, which have `num_tokens`;
    `num_agreeing` of them have its value, or `num_different` have a value each. `seen` is the
    result of trying it in a sealed copy of the kernel when `num_begun` cells had begun, None if it
    was not tried. `dropped` are the statements that had run already, and `is_old`: all of them had,
    those in the cells too. `mends` are the changes that rules made to it. `doubts` and `num_lost`
    count against it. If the draft `is_interrupted`, it is good, and the user interrupted the drafts
    after it. `parts` are the requests and answers of a draft with several, for `/verify`,
    and `stopped` is the reason why it ended before the model did.
    """

    completion: Completion
    cells: tuple[CodeCell, ...]
    request: Request
    num_drafts: int = 1
    num_agreeing: int = 0
    num_tokens: int = 0
    num_different: int = 0
    seen: Seen | None = None
    dropped: tuple[str, ...] = ()
    is_old: bool = False
    mends: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    num_lost: int = 0
    num_begun: int = 0
    is_interrupted: bool = False
    stopped: str = ""
    parts: Parts = field(default=(), repr=False, compare=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the cells."""
        return tuple(cell.source for cell in self.cells)

    @property
    def landing(self) -> tuple[str, ...]:
        """The sources as they land."""
        return tuple(cell.landing for cell in self.cells)

    @property
    def source(self) -> str:
        """All cells as one, as they land."""
        return "\n\n".join(self.landing)

    @property
    def unknown_names(self) -> tuple[str, ...]:
        """The names that exist nowhere, over all cells."""
        return tuple(dict.fromkeys(one for cell in self.cells for one in cell.unknown_names))

    @property
    def missing_modules(self) -> tuple[str, ...]:
        """The modules that are not installed, over all cells."""
        return tuple(dict.fromkeys(one for cell in self.cells for one in cell.missing_modules))

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes that made the cells parse."""
        return tuple(dict.fromkeys(one for cell in self.cells for one in cell.changes))

    @property
    def values(self) -> dict[str, Any]:
        """The numbers and texts of the names that the user gave with types, when it was tried."""
        return self.seen.told("values", dict) if self.seen is not None else {}

    @property
    def mended(self) -> tuple[str, ...]:
        """That rules have changed it, and what, in words."""
        return (f"mended: {', '.join(self.mends)}",) if self.mends else ()

    @property
    def text(self) -> str:
        """The answer as Markdown: its code, or what it is without any."""
        if not self.cells:
            return code_block(self.completion.text)
        return "\n\n".join(code_block(source) for source in self.sources)

    @property
    def whole(self) -> str:
        """The draft as the model wrote it, and what was left out of it, as Markdown."""
        parts = ["The draft as the model wrote it:", code_block(self.completion.text)]
        if self.dropped:
            parts += ["Left out of it, since it ran already:", code_block("\n".join(self.dropped))]
        return "\n\n".join(parts)

    @property
    def note(self) -> str:
        """A remark about the code in one line; "" if there is none."""
        return "; ".join(self._notes())

    def __str__(self) -> str:
        return "\n\n".join(filter(None, (self.text, self.note)))

    def _notes(self) -> Iterator[str]:
        raised = self.seen.error_kind if self.seen is not None else ""
        if self.num_different:
            yield f"{self.num_different} drafts have {self.num_different} results"
        yield from filter(None, (self.stopped, *self.doubts))
        if self.seen is not None and self.cells:
            yield self.seen.text
        elif not self.cells:
            yield "there is no code in the answer"
        if self.is_old:
            yield "nothing in it is new"
        for names, kind, what in (
            (self.unknown_names, "NameError", "defined nowhere"),
            (self.missing_modules, "ModuleNotFoundError", "not installed"),
        ):
            if names and raised != kind:
                yield f"{_quoted(names)} {'is' if len(names) == 1 else 'are'} {what}"
        yield from (*self.changes, *self.mended)
        if self.dropped:
            count = count_of(sum(text.count("\n") + 1 for text in self.dropped), "line")
            yield f"left out {count} that already ran; /show draft has it all"
        if self.num_agreeing > 1:
            yield f"{self.num_agreeing} of {self.num_drafts} drafts agree"
        elif self.num_drafts > 1:
            yield f"the best of {self.num_drafts} drafts"
        if self.is_interrupted:
            yield "interrupted before another draft confirmed it"


def code_cells(
    answer: str, namespace: Container[str] = (), *, is_cut_off: bool = False
) -> tuple[CodeCell, ...]:
    """The code in an answer as cells that parse; several blocks are several cells.

    A cell may use the names that those before it define.
    """
    cells = cells_of(code_blocks(answer), namespace, is_cut_off=is_cut_off)
    return tuple(cell for cell in cells if cell is not None)


def cells_of(
    blocks: Iterable[CodeBlock], namespace: Container[str], *, is_cut_off: bool
) -> Iterator[CodeCell | None]:
    """Yield each block as a cell, None where there is no code in it."""
    defined: set[str] = set()
    for block in blocks:
        is_open = is_cut_off and not block.is_closed
        repaired = mended(block, is_cut_off=is_open)
        unknown = unknown_names(repaired.source, namespace)
        cell = CodeCell(
            source=repaired.source,
            changes=repaired.changes,
            unknown_names=tuple(name for name in unknown if name not in defined),
            missing_modules=missing_modules(repaired.source),
            is_cut_off=is_open and block.language == "python",
        )
        defined |= defined_names(repaired.source)
        yield cell if repaired.has_code else None


def new_cells(cells: Sequence[CodeCell], namespace: Container[str]) -> tuple[CodeCell, ...]:
    """Cells that are to land beside those there are, none of which sets a secret to a mark."""
    found = []
    for cell in cells:
        source, names = without_hidden(cell.source, namespace)
        notes = []
        if names:
            notes.append(f"{_quoted(names)} stays as it is, since the model has not seen it")
        if HIDDEN in source:
            notes.append("put in yourself what was hidden from the model")
        if source.strip():
            found.append(replace(cell, source=source, changes=(*cell.changes, *notes)))
    return tuple(found)


def mended(block: CodeBlock, *, is_cut_off: bool) -> Repaired:
    """A block as code that parses; of one that was cut off, without a last statement that is torn.

    It might parse as it is: the `plt` that was to become `plt.show()`.
    """
    if is_cut_off and block.is_torn:
        shorter = repair(without_last_statement(block.source))
        if shorter.has_code:
            return replace(shorter, changes=(*shorter.changes, "left out the unfinished end"))
    return repair(block.source, is_cut_off=is_cut_off)


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
