"""What an audit of notebooks found, as values that show as tables and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import count_of, markdown_table
from jupyter_llm.errors import NotebookFileError
from jupyter_llm.notebook.files import find_notebooks
from jupyter_llm.records.audit import Item, audit, label

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_VERSION = 1  # of the JSON
_HEADER = ("", "what", "model", "quantization", "licence", "seed", "exact", "written", "record")
_WORDS = {"answer": "answer", "code cell": "generated cell", "completion": "completed cell"}
_MAX_WIDTH = 48  # characters of a column


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookAudit:
    """What was found in one notebook, or why it could not be read."""

    path: str
    items: tuple[Item, ...] = ()
    error: str | None = None
    num_labelled: int = 0

    @property
    def num_unsound(self) -> int:
        """How many items have no record, or an altered or damaged one."""
        return sum(not item.is_sound for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """What was found as JSON holds it."""
        return {
            "path": self.path,
            "error": self.error,
            "num_labelled": self.num_labelled,
            "items": [item.to_json() for item in self.items],
        }

    def __str__(self) -> str:
        path = one_line(self.path)
        if self.error is not None:
            return one_line(self.error)
        if not self.items:
            return f"{path}: nothing in it says that a model wrote it."
        lines = [f"{path}: {_summary(self.items)}."]
        if self.num_labelled:
            lines.append(f"Labelled {count_of(self.num_labelled, 'cell')}.")
        return "\n".join(
            [*lines, "", markdown_table(_HEADER, map(_cells, self.items), is_aligned=True)]
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found in several notebooks."""

    notebooks: tuple[NotebookAudit, ...]

    @property
    def errors(self) -> list[str]:
        """What could not be read or written, a line each, fit for a terminal."""
        return [one_line(one.error) for one in self.notebooks if one.error is not None]

    @property
    def num_unsound(self) -> int:
        """How many items have no record, or an altered or damaged one."""
        return sum(one.num_unsound for one in self.notebooks)

    def to_json(self) -> dict[str, Any]:
        """What was found as JSON holds it."""
        return {
            "version": _VERSION,
            "num_unlabelled": self.num_unsound,
            "notebooks": [one.to_json() for one in self.notebooks],
        }

    def __str__(self) -> str:
        """Tables that show in a terminal as in Markdown, whatever the notebooks hold."""
        readable = [str(one) for one in self.notebooks if one.error is None]
        return untrusted_markdown("\n\n".join(readable))


def audit_all(names: Iterable[str], *, is_labelling: bool = False) -> AuditReport:
    """Audit files, folders and patterns; a notebook that cannot be read stops no other.

    With `is_labelling` the records that are found are written into the cells they are about.
    """
    found: dict[str, NotebookAudit] = {}
    for name in names:
        try:
            paths = list(find_notebooks(name))
        except NotebookFileError as error:
            found[name] = NotebookAudit(path=name, error=str(error))
            continue
        if not paths:
            found[name] = NotebookAudit(path=name)  # a folder without notebooks
        for path in paths:
            found[str(path)] = _audit_one(path, is_labelling=is_labelling)
    return AuditReport(tuple(found.values()))


def _audit_one(path: Path, *, is_labelling: bool) -> NotebookAudit:
    try:
        num_labelled = label(path) if is_labelling else 0
        return NotebookAudit(path=str(path), items=tuple(audit(path)), num_labelled=num_labelled)
    except NotebookFileError as error:
        return NotebookAudit(path=str(path), error=str(error))


def _summary(items: Sequence[Item]) -> str:
    kinds = Counter[str](item.kind for item in items)
    what = [count_of(kinds[kind], word) for kind, word in _WORDS.items() if kinds[kind]]
    models = sorted({one_line(item.model) for item in items if item.model is not None})
    states = Counter(item.state for item in items if item.state != "recorded")
    told = [f"{count} {state}" for state, count in states.items()]
    by = f" by {', '.join(models)}" if models else ""
    return "; ".join([f"{' and '.join(what)}{by}", *told])


def _cells(item: Item) -> tuple[str, ...]:
    record = item.record
    facts: tuple[object, ...] = ("", "", "", "", "")
    if record is not None:
        seed = record.params.seed
        facts = (
            record.model.quantization,
            record.model.license or "not stated",
            "" if seed is None else seed,
            "yes" if record.exact else "no",
            record.time,
        )
    return tuple(
        _cut(str(value)) for value in (item.place, item.kind, item.model or "", *facts, item.state)
    )


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _MAX_WIDTH else line[: _MAX_WIDTH - 1] + "…"
