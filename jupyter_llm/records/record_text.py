"""What records say of how a text was made, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.provenance import text_sha256
from jupyter_llm.errors import ProvenanceError
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.records.answers import shown_text
from jupyter_llm.records.records import read_metadata, source_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_llm.engine.provenance import Provenance
    from jupyter_llm.records.records import Record

_SETTINGS = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens")


def record_text(metadata: Mapping[str, Any], text: str | None = None) -> str:
    """The records in the metadata of a cell or an output, as Markdown that is safe to show.

    `text` is the source of the cell, or the output as plain text: it tells whether somebody has
    edited it since.
    """
    told = [_one(record, text) for record in read_metadata(metadata)]
    return untrusted_markdown("\n\n".join(told) or "Nothing is recorded of how this was made.")


def _one(record: Record, text: str | None) -> str:
    if isinstance(record, ProvenanceError):
        return f"The record {record}"
    return markdown_table(("", ""), list(_rows(record, text)))


def _rows(record: Provenance, text: str | None) -> Iterator[tuple[object, ...]]:
    model, params = record.model, record.params
    yield "written by", f"{model.name} ({model.quantization})"
    yield "file", model.file
    if (adapter := model.adapter) is not None:
        yield "adapter", f"{adapter.file} ({adapter.sha256[:12]}…), scale {adapter.scale:g}"
    if model.license is not None:
        yield "licence", model.license
    yield "on", record.time.replace("T", " ").replace("Z", " UTC")
    settings = [(name, getattr(params, name)) for name in _SETTINGS]
    yield "seed", "none: the likeliest tokens" if params.seed is None else params.seed
    yield "settings", ", ".join(f"{name} {value}" for name, value in settings if value is not None)
    yield "same text again", "yes, exactly" if record.exact else "most likely"
    yield "prompt", f"{record.prompt_tokens} tokens, of which {record.cached_tokens} were resident"
    yield "answer", f"{record.completion_tokens} tokens"
    if record.is_altered:
        yield "state", "the record was edited since it was written"
    elif text is not None:
        yield "state", "edited since" if _is_edited(record, text) else "as it was written"
    yield "record", record.record_id


def _is_edited(record: Provenance, text: str) -> bool:
    if record.source_sha256 is not None:
        return source_sha256(unmark(text)) != record.source_sha256
    shown = shown_text({"data": {"text/plain": text}}, record)
    return shown is None or text_sha256(shown) != record.text_sha256
