"""The JSON that what is kept of chats becomes, and back.

What comes back may have been damaged, or written by anybody: whatever is not as we write it raises
`DamagedRecordError`. Texts come back as they were, tokens too.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar, cast, get_args

from jupyter_llm.chat.draft import Part
from jupyter_llm.chat.saved import (
    ChatChanged,
    ChatCleared,
    Entry,
    Json,
    Origin,
    SavedChat,
    SavedTurn,
    TurnForgotten,
    TurnRemoved,
    TurnsDropped,
)
from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.request import Message
from jupyter_llm.notebook.cells.events import CellEvent, Output, OutputKind

T = TypeVar("T")

_END_OF_TIME = 253402300800.0  # the year 10000, which dates do not reach
_TOKEN_SIZE = 4
_MAX_DEPTH = 100


class DamagedRecordError(ValueError):
    """A record is not as we write them."""


def encode(entry: Entry) -> bytes:
    """Return an entry as one line of JSON, without the line feed."""
    record: dict[str, Any]
    match entry:
        case SavedTurn():
            record = {"op": "turn", "chat": entry.chat, **turn_to_json(entry)}
        case TurnForgotten(chat, origin):
            record = {"op": "forgotten", "chat": chat, "origin": list(origin)}
        case TurnRemoved(chat, number, parent, finished_at):
            record = {"op": "removed", "chat": chat, "number": number, "parent": parent}
            record["finished_at"] = finished_at
        case ChatCleared(chat):
            record = {"op": "cleared", "chat": chat}
        case ChatChanged(chat, system, state):
            record = {"op": "chat", "chat": chat, "system": system, "state": state}
        case TurnsDropped(chat, count):
            record = {"op": "dropped", "chat": chat, "count": count}
    return to_line(record)


def to_line(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON, without the line feed."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")  # a text that is no Unicode comes back as it was


def from_line(line: bytes) -> dict[str, Any]:
    """Return the record of a line.

    Raises
    ------
    DamagedRecordError
        It is no JSON object.
    """
    try:
        text = line.decode("utf-8", "surrogatepass")
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(str(error)) from None
    return _object(record)


def decode(line: bytes) -> Entry:
    """Return the entry of a line.

    Raises
    ------
    DamagedRecordError
        It is none of ours.
    """
    record = from_line(line)
    chat = _optional(record, "chat", str)
    operation = record.get("op")
    if operation == "cleared":
        return ChatCleared(chat)
    if chat is None:
        raise DamagedRecordError("no chat")
    match operation:
        case "turn":
            return turn_from_json(chat, record)
        case "forgotten":
            return TurnForgotten(chat, _origin(record.get("origin")))
        case "removed":
            number, parent = _count(record, "number"), _count(record, "parent")
            return TurnRemoved(chat, number, parent, _seconds(record, "finished_at"))
        case "chat":
            return ChatChanged(chat, _optional(record, "system", str), _json(record.get("state")))
        case "dropped":
            return TurnsDropped(chat, _count(record, "count"))
    raise DamagedRecordError(f"op is {operation!r:.40}")


def turn_to_json(turn: SavedTurn) -> dict[str, Any]:
    """Return a turn as JSON, all but the name of its chat; what is None is left out."""
    completion = turn.completion
    record = {
        "finished_at": turn.finished_at,
        "prompt": turn.prompt,
        "sent": _message_to_json(turn.sent),
        "told": turn.told,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "token_ids": _pack(completion.token_ids),
        "usage": asdict(completion.usage),
        "model": completion.model,
        "seed": completion.seed,
        "exact": completion.exact or None,
        "provenance": turn.provenance,
        "origin": turn.origin and list(turn.origin),
        "number": turn.number or None,
        "parent": turn.parent,
    }
    return {name: value for name, value in record.items() if value is not None}


def turn_from_json(chat: str, record: dict[str, Any]) -> SavedTurn:
    """Return the turn that `turn_to_json` made JSON of.

    Raises
    ------
    DamagedRecordError
        It is not as we write them.
    """
    origin = record.get("origin")
    sent = _optional(record, "sent", dict)
    return SavedTurn(
        chat=chat,
        prompt=_required(record, "prompt", str),
        completion=Completion(
            text=_required(record, "text", str),
            finish_reason=_finish_reason(record.get("finish_reason")),
            usage=_usage(_required(record, "usage", dict)),
            model=_required(record, "model", str),
            seed=_count(record, "seed") if "seed" in record else None,
            token_ids=_unpack(_optional(record, "token_ids", str)),
            exact=_optional(record, "exact", bool) or False,
        ),
        sent=None if sent is None else _message(sent),
        told=_json(record.get("told")),
        provenance=_json(record.get("provenance")),
        origin=None if origin is None else _origin(origin),
        number=_count_or_0(record, "number"),
        parent=_count(record, "parent") if "parent" in record else None,
        finished_at=_seconds(record, "finished_at"),
    )


def chats_to_json(chats: Mapping[str, SavedChat]) -> dict[str, Any]:
    """Return chats as one JSON object, by name."""
    return {name: _chat_to_json(chat) for name, chat in chats.items()}


def _chat_to_json(chat: SavedChat) -> dict[str, Any]:
    record = {
        "system": chat.system,
        "state": chat.state,
        "num_dropped": chat.num_dropped or None,
        "num_other_branches": chat.num_other_branches or None,
        "turns": [turn_to_json(turn) for turn in chat.turns],
    }
    return {name: value for name, value in record.items() if value is not None}


def chats_from_json(record: object) -> tuple[dict[str, SavedChat], int]:
    """Return the chats in what `chats_to_json` made, and how many chats and turns are damaged."""
    chats: dict[str, SavedChat] = {}
    num_damaged = 0
    for name, value in record.items() if isinstance(record, dict) else ():
        try:
            fields = _object(value)
            turns = [_turn_or_none(name, turn) for turn in _required(fields, "turns", list)]
            chats[name] = SavedChat(
                name=name,
                system=_optional(fields, "system", str),
                state=_json(fields.get("state")),
                num_dropped=_count_or_0(fields, "num_dropped"),
                num_other_branches=_count_or_0(fields, "num_other_branches"),
                turns=tuple(turn for turn in turns if turn is not None),
            )
            num_damaged += turns.count(None)
        except DamagedRecordError:
            num_damaged += 1
    return chats, num_damaged


def _turn_or_none(chat: str, record: object) -> SavedTurn | None:
    try:
        return turn_from_json(chat, _object(record))
    except DamagedRecordError:
        return None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DamagedRecordError("no object")
    return value


def part_to_json(part: Part) -> Json:
    """Return something that was told with a prompt as JSON."""
    record = {
        "text": part.text,
        "cell": None if part.cell is None else _cell_to_json(part.cell),
        "variable": part.variable,
        "attachment": part.attachment,
    }
    return {name: value for name, value in record.items() if value is not None}


def part_from_json(value: Json) -> Part:
    """Return the part that `part_to_json` made JSON of.

    Raises
    ------
    DamagedRecordError
        It is not as we write them.
    """
    record = _object(value)
    cell = _optional(record, "cell", dict)
    return Part(
        _required(record, "text", str),
        cell=None if cell is None else _cell(cell),
        variable=_optional(record, "variable", str),
        attachment=_optional(record, "attachment", str),
    )


def _cell_to_json(cell: CellEvent) -> dict[str, Any]:
    record = {
        "number": cell.number,
        "source": cell.source,
        "execution_count": cell.execution_count,
        "cell_id": cell.cell_id,
        "outputs": [[output.kind, output.text] for output in cell.outputs],
        "tags": sorted(cell.tags),
    }
    return {name: value for name, value in record.items() if value not in (None, [])}


def _cell(record: dict[str, Any]) -> CellEvent:
    return CellEvent(
        number=_count(record, "number"),
        source=_required(record, "source", str),
        execution_count=_count(record, "execution_count") if "execution_count" in record else None,
        cell_id=_optional(record, "cell_id", str),
        outputs=tuple(map(_output, _optional(record, "outputs", list) or ())),
        tags=frozenset(_texts(_optional(record, "tags", list) or [])),
    )


def _output(value: object) -> Output:
    match value:
        case [str(kind), str(text)] if kind in get_args(OutputKind):
            return Output(cast("OutputKind", kind), text)
    raise DamagedRecordError("output")


def _message_to_json(message: Message | None) -> dict[str, Any] | None:
    if message is None:
        return None
    record = {
        "role": message.role,
        "content": message.content if not message.parts else None,
        "parts": list(message.parts) or None,
        "token_ids": _pack(message.token_ids),
    }
    return {name: value for name, value in record.items() if value is not None}


def _message(record: dict[str, Any]) -> Message:
    if record.get("role") != "user":
        raise DamagedRecordError("role")
    token_ids = _unpack(_optional(record, "token_ids", str))
    parts = tuple(_texts(_optional(record, "parts", list) or []))
    content = "".join(parts) if parts else _required(record, "content", str)
    return Message("user", content, token_ids, parts)


def _texts(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise DamagedRecordError("texts")
    return values


def _pack(token_ids: tuple[int, ...] | None) -> str | None:
    """Write token ids in 5 to 6 characters each, whatever their size."""
    if token_ids is None:
        return None
    return base64.b64encode(struct.pack(f"<{len(token_ids)}i", *token_ids)).decode("ascii")


def _unpack(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
        token_ids = struct.unpack(f"<{len(data) // _TOKEN_SIZE}i", data)
    except (ValueError, struct.error):
        raise DamagedRecordError("token_ids") from None
    if min(token_ids, default=0) < 0:
        raise DamagedRecordError("token_ids")
    return token_ids


def _finish_reason(value: object) -> FinishReason:
    for reason in get_args(FinishReason):
        if value == reason:
            return cast("FinishReason", reason)
    raise DamagedRecordError("finish_reason")


def _usage(record: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=_count(record, "prompt_tokens"),
        cached_tokens=_count(record, "cached_tokens"),
        completion_tokens=_count(record, "completion_tokens"),
        queue_s=_seconds(record, "queue_s"),
        prefill_s=_seconds(record, "prefill_s"),
        decode_s=_seconds(record, "decode_s"),
    )


def _origin(value: object) -> Origin:
    match value:
        case [str(cell_id), int(number)] if not isinstance(number, bool):
            return cell_id, number
    raise DamagedRecordError("origin")


def _required(record: dict[str, Any], name: str, kind: type[T]) -> T:
    value = _optional(record, name, kind)
    if value is None:
        raise DamagedRecordError(name)
    return value


def _optional(record: dict[str, Any], name: str, kind: type[T]) -> T | None:
    value = record.get(name)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    raise DamagedRecordError(name)  # True is no number here


def _count(record: dict[str, Any], name: str) -> int:
    value = _required(record, name, int)
    if not 0 <= value < 1 << 63:
        raise DamagedRecordError(name)
    return value


def _count_or_0(record: dict[str, Any], name: str) -> int:
    return _count(record, name) if name in record else 0


def _seconds(record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DamagedRecordError(name)
    if not 0 <= value < _END_OF_TIME:
        raise DamagedRecordError(name)
    return float(value)


def _json(value: Any, depth: int = 0) -> Json:
    """Return JSON that is not so deep that writing it again could fail."""
    if depth > _MAX_DEPTH:
        raise DamagedRecordError("too deep")
    if isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            _json(part, depth + 1)
    return value  # type: ignore[no-any-return]  # json.loads made it


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DamagedRecordError(text)
    return value


def _refuse(constant: str) -> None:
    raise DamagedRecordError(constant)
