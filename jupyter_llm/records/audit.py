"""Lists a notebook's texts by models, their records, and whether the records hold.

Reads files only, without a kernel or a model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_llm.ask.log import RecordedAnswer
from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import aligned, count_of, markdown_table
from jupyter_llm.engine.options import DRAWN
from jupyter_llm.engine.provenance import Provenance, RecordKind, text_sha256
from jupyter_llm.errors import NotebookFileError, ProvenanceError
from jupyter_llm.notebook.code.marks import read_mark, unmark
from jupyter_llm.notebook.files import find_notebooks, read_notebook
from jupyter_llm.records.records import (
    Record,
    completions,
    place_of,
    read_metadata,
    records_in,
    shown_text,
    source_sha256,
)

State = Literal["recorded", "edited since", "altered", "damaged", "missing"]
"""The state of a record; "edited since" refers to the text or the code."""

_SOUND = ("recorded", "edited since")
_VERSION = 1  # of the JSON
_HEADER = ("", "what", "model", "written", "record")
ItemKind = RecordKind | Literal["completion"]
"""A record's kind, or ghost text that a person accepted."""

_WORDS = {"answer": "answer", "code cell": "generated cell", "completion": "completed cell"}
_MAX_WIDTH = 48  # characters of a column


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An answer in an output, a generated cell, or a cell that was completed in part.

    `model` is from the record, or else from the comment in the cell. `cell` counts from 1.
    """

    cell: int
    place: str
    cell_id: str | None
    kind: ItemKind
    state: State
    model: str | None
    record_id: str | None
    record: Provenance | None

    def to_json(self) -> dict[str, Any]:
        """Return the item for JSON."""
        names = ("cell", "cell_id", "kind", "state", "model", "record_id")
        record = self.record.to_json() if self.record is not None else None
        return {name: getattr(self, name) for name in names} | {"record": record}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookAudit:
    """The items of one notebook, or the reason why it could not be read."""

    path: str
    items: tuple[Item, ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        path = one_line(self.path)
        if not self.items:
            return f"{path}: no text has a record of a model."
        kinds = Counter[str](item.kind for item in self.items)
        counts = [count_of(kinds[kind], word) for kind, word in _WORDS.items() if kinds[kind]]
        models = sorted({one_line(item.model) for item in self.items if item.model is not None})
        by = f" by {', '.join(models)}" if models else ""
        states = Counter(item.state for item in self.items if item.state != "recorded")
        odd = "".join(f"; {count} {state}" for state, count in states.items())
        table = aligned(markdown_table(_HEADER, map(_cells, self.items)))
        return f"{path}: {' and '.join(counts)}{by}{odd}.\n\n{table}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The audits of several notebooks: their texts by models, and the state of each record."""

    notebooks: tuple[NotebookAudit, ...]

    @property
    def errors(self) -> list[str]:
        """Return the reading errors, one line each, safe for a terminal."""
        return [one_line(one.error) for one in self.notebooks if one.error is not None]

    @property
    def num_unsound(self) -> int:
        """Return the number of items without a record, or with an altered or damaged one."""
        return sum(item.state not in _SOUND for one in self.notebooks for item in one.items)

    def to_json(self) -> dict[str, Any]:
        """Return the report for JSON."""
        notebooks = [
            {
                "path": one.path,
                "error": one.error,
                "items": [item.to_json() for item in one.items],
            }
            for one in self.notebooks
        ]
        return {
            "version": _VERSION,
            "num_unlabelled": self.num_unsound,
            "notebooks": notebooks,
        }

    def __str__(self) -> str:
        """Return tables for a terminal and for Markdown, safe for any notebook."""
        readable = [str(one) for one in self.notebooks if one.error is None]
        return untrusted_markdown("\n\n".join(readable))


def audit_all(names: Iterable[str]) -> AuditReport:
    """Audit files, folders and patterns; an unreadable notebook does not stop the others."""
    audits: dict[str, NotebookAudit] = {}
    for name in names:
        try:
            paths = list(find_notebooks(name))
        except NotebookFileError as error:
            audits[name] = NotebookAudit(path=name, error=str(error))
            continue
        if not paths:
            audits[name] = NotebookAudit(path=name)  # a folder without notebooks
        for path in map(str, paths):
            try:
                items = tuple(audit(Path(path)))
            except NotebookFileError as error:
                audits[path] = NotebookAudit(path=path, error=str(error))
            else:
                audits[path] = NotebookAudit(path=path, items=items)
    return AuditReport(tuple(audits.values()))


def audit(path: Path) -> list[Item]:
    """Return the items of a notebook file in order; `NotebookFileError` if it cannot be read."""
    return list(_items(read_notebook(path)))


def _items(notebook: Mapping[str, Any]) -> Iterator[Item]:
    answers: defaultdict[int, list[Item]] = defaultdict(list)
    own: defaultdict[int, list[Record]] = defaultdict(list)
    index: dict[str, Provenance] = {}
    for number, cell, record, output in records_in(notebook):
        if output is None:
            own[number].append(record)
        elif isinstance(record, ProvenanceError) or record.kind == "answer":
            answer = RecordedAnswer("", record, shown_text(output, record))
            is_edited = not answer.is_as_recorded
            answers[number].append(_item(number, cell, "answer", record, is_edited=is_edited))
        if isinstance(record, Provenance):  # of two with one id, the unaltered one
            earlier = index.get(record.record_id)
            index[record.record_id] = record if earlier is None or earlier.is_altered else earlier
    for number, cell in enumerate(notebook["cells"], 1):
        yield from _generated(number, cell, own[number], index)
        for model, _time, is_present in completions(cell.get("metadata"), cell["source"]):
            yield _item(
                number, cell, "completion", None, is_edited=not is_present, stated=(model, None)
            )
        yield from answers[number]


def _generated(
    number: int, cell: Mapping[str, Any], own: list[Record], index: Mapping[str, Provenance]
) -> Iterator[Item]:
    """Yield an item for a cell's source.

    There is one if the first line names a record or the metadata contains one.
    """
    marker = read_mark(cell["source"]) if cell.get("cell_type") == "code" else None
    record, body, stated = next(iter(own), None), cell["source"], None
    if marker is not None:
        # A sound record of another text does not apply to this one.
        damaged = (one for one in own if isinstance(one, ProvenanceError))
        record = index.get(marker.record_id) or next(damaged, None)
        body, stated = marker.body, (marker.model, marker.record_id)
    if own or marker is not None:
        then = record.source_sha256 if isinstance(record, Provenance) else None
        is_edited = then is not None and then != source_sha256(body)
        yield _item(number, cell, "code cell", record, is_edited=is_edited, stated=stated)


def _item(
    number: int,
    cell: Mapping[str, Any],
    kind: ItemKind,
    record: Record | None,
    *,
    is_edited: bool,
    stated: tuple[str, str | None] | None = None,
) -> Item:
    """Return an item; `stated` are the model and the record id that a cell states itself."""
    state: State = "edited since" if is_edited else "recorded"
    sound = record if isinstance(record, Provenance) else None
    if sound is not None:
        state = "altered" if sound.is_altered else state
        stated = (sound.model.name, sound.record_id)
    elif kind != "completion":  # completions have their own entry in the cell's metadata
        state = "missing" if record is None else "damaged"
    cell_id = cell.get("id")
    return Item(
        cell=number,
        place=place_of(number, cell),
        cell_id=cell_id if isinstance(cell_id, str) else None,
        kind=kind,
        state=state,
        model=stated[0] if stated else None,
        record_id=stated[1] if stated else None,
        record=sound,
    )


def _cells(item: Item) -> list[str]:
    """Return a row of the table; `--json` has the whole record."""
    time = item.record.time if item.record is not None else ""
    cells = map(one_line, (item.place, item.kind, item.model or "", time, item.state))
    return [shorten(line, _MAX_WIDTH) for line in cells]


def record_text(metadata: Mapping[str, Any], text: str | None = None) -> str:
    """Return the records in the metadata of a cell or an output as safe Markdown.

    `text` is the cell's source, or the output as plain text; it shows whether somebody has edited
    it.
    """
    texts = [_table(record, text) for record in read_metadata(metadata)]
    for model, time, is_present in completions(metadata, text or ""):
        since = "" if is_present else ", which was edited later"
        texts.append(f"{one_line(model)} completed a part of it on {one_line(time[:10])}{since}.")
    return untrusted_markdown("\n\n".join(texts) or "There is no record of how this was made.")


def _table(record: Record, text: str | None) -> str:
    if isinstance(record, ProvenanceError):
        return str(record)
    return markdown_table(("", ""), list(_record_rows(record, text)))


def _record_rows(record: Provenance, text: str | None) -> Iterator[tuple[object, ...]]:
    model, params = record.model, record.params
    yield "written by", f"{model.name} ({model.quantization})" if model.quantization else model.name
    if model.host:
        yield "sent to", model.host
    else:
        yield "file", model.file
    if model.license is not None:
        yield "licence", model.license
    yield "on", record.time.replace("T", " ").replace("Z", " UTC")
    settings = [(name, getattr(params, name)) for name in (*DRAWN, "max_tokens")]
    yield "seed", "none: the likeliest tokens" if params.seed is None else params.seed
    yield "settings", ", ".join(f"{name} {value}" for name, value in settings if value is not None)
    yield "same text again", "yes, exactly" if record.exact else "most likely"
    yield "prompt", f"{record.prompt_tokens} tokens, of which {record.cached_tokens} were resident"
    yield "answer", f"{record.completion_tokens} tokens"
    if record.is_altered:
        yield "state", "somebody changed the record"
    elif text is not None:
        yield "state", "edited later" if _is_edited(record, text) else "unchanged"
    yield "record", record.record_id


def _is_edited(record: Provenance, text: str) -> bool:
    if record.source_sha256 is not None:
        return source_sha256(unmark(text)) != record.source_sha256
    shown = shown_text({"data": {"text/plain": text}}, record)
    return shown is None or text_sha256(shown) != record.text_sha256
