"""OpenAI's Responses protocol, as its official clients, Codex and other agents use it.

Each request is converted to a chat, with the same answers and errors. No response is stored, so a
request contains the whole conversation.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from itertools import count, groupby
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from jupyter_llm.engine.base import Engine
from jupyter_llm.frontends.serve.answering import Json, finish_reason
from jupyter_llm.frontends.serve.blocks import Block, BlockAnswer, sent
from jupyter_llm.frontends.serve.calls import STRICT, ChatCall, ChatForm, GuestAnswer, joined

_REPEATED = (  # fields of a call that its response has, too
    *("instructions", "tools", "tool_choice", "parallel_tool_calls", "text"),
    *("max_output_tokens", "temperature", "top_p"),
)
_NAMES = {
    "thoughts": "response.reasoning_text",
    "text": "response.output_text",
    "call": "response.function_call_arguments",
}


class _Part(Struct):
    type: Literal["input_text", "output_text", "reasoning_text", "text"]
    text: str


class _Item(Struct):
    """An item of a conversation."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] = "user"
    content: str | list[_Part] | None = None
    call_id: str = ""
    name: str = ""
    namespace: str = ""
    arguments: str = ""
    output: str | list[_Part] = ""

    @property
    def is_answer(self) -> bool:
        """Whether the model wrote this."""
        is_said = self.type == "message" and self.role == "assistant"
        return is_said or self.type in ("function_call", "reasoning")


def _read(items: list[_Item]) -> Iterator[Json]:
    """Yield the messages of a chat: items of an answer that follow each other are one message."""
    for is_answer, group in groupby(items, lambda item: item.is_answer):
        if is_answer:
            yield _read_answer([*group])
            continue
        for item in group:
            if item.type == "message":
                yield {"role": item.role, "content": joined(item.content)}
            else:
                content = joined(item.output)
                yield {"role": "tool", "tool_call_id": item.call_id, "content": content}


def _read_answer(items: list[_Item]) -> Json:
    def of(kind: str) -> list[_Item]:
        return [one for one in items if one.type == kind]

    calls = list[Json]()
    for one in of("function_call"):
        name = f"{one.namespace}.{one.name}" if one.namespace else one.name
        calls.append({"id": one.call_id, "function": {"name": name, "arguments": one.arguments}})
    return {
        "role": "assistant",
        "content": "\n".join(joined(one.content) for one in of("message")),
        "reasoning_content": "\n".join(joined(one.content) for one in of("reasoning")),
        "tool_calls": calls,
    }


class _Function(Struct, tag="function"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def read(self, prefix: str = "") -> Iterator[Json]:
        function = {**to_builtins(self), "name": prefix + self.name}
        yield {"type": "function", "function": function}


class _Namespace(Struct, tag="namespace"):
    """A group of functions. The model sees their names with the group's name as a prefix."""

    name: str
    tools: list[_Function]

    def read(self) -> Iterator[Json]:
        for one in self.tools:
            yield from one.read(f"{self.name}.")


class _WebSearch(Struct, tag="web_search"):
    """A tool that Codex lists for every server. A server may ignore it."""

    def read(self) -> Iterator[Json]:
        yield from ()


class _Format(Struct, frozen=True):
    type: Literal["text", "json_object", "json_schema"] = "text"
    schema: dict[str, Any] | None = None


class _TextOptions(Struct, frozen=True):
    format: _Format = _Format()


class ResponsesCall(ChatForm, kw_only=True, **STRICT):
    """A chat to answer."""

    input: str | Annotated[list[_Item], Meta(min_length=1)]
    instructions: str = ""
    tools: tuple[_Function | _Namespace | _WebSearch, ...] = ()
    tool_choice: Literal["none", "auto", "required"] | _Function = "auto"
    parallel_tool_calls: bool = True
    text: _TextOptions = _TextOptions()
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None

    def _fields(self) -> Json:
        given = self.input
        items = [_Item(content=given)] if isinstance(given, str) else given
        system = [{"role": "system", "content": self.instructions}] if self.instructions else []
        choice = self.tool_choice
        form = self.text.format
        shape: Json = {"type": form.type}
        if form.schema is not None:
            shape["json_schema"] = {"schema": form.schema}
        return {
            "messages": [*system, *_read(items)],
            "tools": [read for one in self.tools for read in one.read()],
            "tool_choice": choice if isinstance(choice, str) else next(choice.read()),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": shape,
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }


class ResponsesAnswer(BlockAnswer):
    """A response, whole or as its events, which have numbers."""

    def __init__(
        self,
        form: ResponsesCall,
        call: ChatCall,
        engine: Engine,
        answers: list[GuestAnswer],
        sender: str,
    ) -> None:
        super().__init__(form, call, engine, answers, sender)
        self._numbers = count()
        self._ids = list[str]()
        self._about = {
            "id": f"resp_{secrets.token_hex(12)}",
            "object": "response",
            "created_at": self._about["created"],
            "model": engine.info.name,
            "error": None,
            "incomplete_details": None,
            **{name: to_builtins(getattr(form, name)) for name in _REPEATED},
            "metadata": {},
            "store": False,
            "previous_response_id": None,
            "usage": None,
        }

    def _response(self, status: str, **more: Any) -> Json:
        output = [self._item(block) for block in self._blocks]
        return {**self._about, "status": status, "output": output, **more}

    def _whole(self) -> Json:
        self._all_blocks()
        return self._end

    @property
    def _end(self) -> Json:
        (answer,), usage = self._answers, self._usage()
        tokens = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {**usage["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": usage["completion_tokens_details"],
            "total_tokens": usage["total_tokens"],
        }
        if finish_reason(answer) == "length":
            details = {"reason": "max_output_tokens"}
            return self._response("incomplete", incomplete_details=details, usage=tokens)
        return self._response("completed", usage=tokens)

    def _item(self, block: Block, status: str = "completed") -> Json:
        about = {"id": self._ids[block.number], "status": status}
        if block.call is not None:
            named = {"call_id": block.call.id, **self._named(block.call.name)}
            return {"type": "function_call", **about, **named, "arguments": block.text}
        content = [_part(block)] if block.text else []
        if block.kind == "thoughts":
            return {"type": "reasoning", **about, "summary": [], "content": content}
        return {"type": "message", "role": "assistant", **about, "content": content}

    def _named(self, name: str) -> Json:
        """Return a function's name and namespace."""
        space, _, rest = name.partition(".")
        spaces = {one.name for one in self._form.tools if isinstance(one, _Namespace)}
        return {"name": rest, "namespace": space} if space in spaces else {"name": name}

    def _event(self, kind: str, **more: Any) -> Json:
        return {"type": kind, "sequence_number": next(self._numbers), **more}

    def _place(self, block: Block) -> Json:
        place: Json = {"item_id": self._ids[block.number], "output_index": block.number}
        return place if block.call is not None else {**place, "content_index": 0}

    def _opening(self) -> Iterator[Json]:
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._response("in_progress"))

    def _begun(self, block: Block) -> Iterator[Json]:
        prefix = {"thoughts": "rs", "text": "msg", "call": "fc"}[block.kind]
        self._ids.append(f"{prefix}_{secrets.token_hex(12)}")
        item = self._item(Block(block.kind, block.number, block.call), "in_progress")
        yield self._event("response.output_item.added", output_index=block.number, item=item)
        if block.call is None:
            part = _part(Block(block.kind, block.number))
            yield self._event("response.content_part.added", **self._place(block), part=part)

    def _grown(self, block: Block, text: str) -> Iterator[Json]:
        kind = _NAMES[block.kind] + ".delta"
        yield self._event(kind, **self._place(block), delta=text, logprobs=[])

    def _ended(self, block: Block) -> Iterator[Json]:
        place, kind = self._place(block), _NAMES[block.kind] + ".done"
        if block.call is not None:
            yield self._event(kind, **place, **self._named(block.call.name), arguments=block.text)
        else:
            yield self._event(kind, **place, text=block.text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=_part(block))
        item, number = self._item(block), block.number
        yield self._event("response.output_item.done", output_index=number, item=item)

    def _closing(self) -> Iterator[Json]:
        end = self._end
        yield self._event(f"response.{end['status']}", response=end)

    def _failure(self, failed: bytes) -> bytes:
        given = json.loads(failed)["error"]
        error = {"code": given["code"] or "server_error", "message": given["message"]}
        response = self._response("failed", error=error)
        first = self._event("response.failed", response=response)
        return sent(first) + sent(self._event("error", **error, param=None))


def _part(block: Block) -> Json:
    if block.kind == "thoughts":
        return {"type": "reasoning_text", "text": block.text}
    return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
