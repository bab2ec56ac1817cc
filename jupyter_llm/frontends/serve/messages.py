"""Anthropic's Messages protocol, as its official clients and Claude Code use it.

Each request is converted to a chat in OpenAI's form, with the same answers and errors. Fields that
do not change the answer are ignored.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from jupyter_llm.frontends.serve.answering import Json, event, finish_reason
from jupyter_llm.frontends.serve.blocks import Block, BlockAnswer
from jupyter_llm.frontends.serve.calls import STRICT, ChatForm, joined

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class _Text(Struct, tag="text"):
    text: str


class _Thoughts(Struct, tag="thinking"):
    thinking: str


class _HiddenThoughts(Struct, tag="redacted_thinking"):
    pass


class _ToolUse(Struct, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any] = {}


class _ToolResult(Struct, tag="tool_result"):
    tool_use_id: str
    content: str | list[_Text] | None = ""
    is_error: bool | None = False


_Block = _Text | _Thoughts | _HiddenThoughts | _ToolUse | _ToolResult


class _Message(Struct, **STRICT):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]

    def read(self) -> list[Json]:
        """Return the message as a chat has it: each result is a message before the text."""
        blocks = [_Text(self.content)] if isinstance(self.content, str) else self.content
        results = [_read_result(one) for one in blocks if isinstance(one, _ToolResult)]
        texts = [one for one in blocks if isinstance(one, _Text)]
        thoughts = [one.thinking for one in blocks if isinstance(one, _Thoughts)]
        calls = [_read_call(one) for one in blocks if isinstance(one, _ToolUse)]
        if results and not texts:
            return results
        message: Json = {"role": self.role, "content": joined(texts)}
        if self.role == "assistant":
            message |= {"reasoning_content": "".join(thoughts), "tool_calls": calls}
        return [*results, message]


def _read_result(result: _ToolResult) -> Json:
    text = "Error: " * bool(result.is_error) + joined(result.content)
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": text}


def _read_call(call: _ToolUse) -> Json:
    function = {"name": call.name, "arguments": json.dumps(call.input, ensure_ascii=False)}
    return {"id": call.id, "function": function}


class _Tool(Struct):
    name: str
    input_schema: dict[str, Any]
    description: str = ""
    type: Literal["custom"] | None = None
    strict: bool | None = None

    def read(self) -> Json:
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.input_schema,
            "strict": self.strict,
        }
        return {"type": "function", "function": function}


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""
    disable_parallel_tool_use: bool = False

    def read(self) -> Json:
        of_name = {"type": "function", "function": {"name": self.name}}
        choice = {"any": "required", "tool": of_name}.get(self.type, self.type)
        is_parallel = not self.disable_parallel_tool_use
        return {"tool_choice": choice, "parallel_tool_calls": is_parallel}


class _Thinking(Struct):
    type: Literal["enabled", "adaptive", "disabled"]


class _Format(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Output(Struct):
    format: _Format | None = None


class TokenCountCall(ChatForm, kw_only=True, **STRICT):
    """A chat whose tokens are counted."""

    messages: Annotated[list[_Message], Meta(min_length=1)]
    system: str | list[_Text] = ""
    tools: tuple[_Tool, ...] = ()
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None

    def _fields(self) -> Json:
        messages = [read for one in self.messages for read in one.read()]
        if system := joined(self.system):
            messages = [{"role": "system", "content": system}, *messages]
        fields: Json = {"messages": messages, "tools": [one.read() for one in self.tools]}
        if self.tool_choice is not None:
            fields |= self.tool_choice.read()
        if self.thinking is not None:
            thinks = self.thinking.type != "disabled"
            fields["chat_template_kwargs"] = {"enable_thinking": thinks}
        if self.output_config is not None and (form := self.output_config.format) is not None:
            schema = {"schema": form.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if messages[-1]["role"] == "assistant" and not messages[-1]["tool_calls"]:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        return fields


class MessagesCall(TokenCountCall, kw_only=True, **STRICT):
    """A chat to answer."""

    max_tokens: int
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def _fields(self) -> Json:
        names = ("max_tokens", "temperature", "top_k", "top_p")
        same = {name: getattr(self, name) for name in names}
        return {**super()._fields(), **same, "stop": list(self.stop_sequences)}


class MessagesAnswer(BlockAnswer):
    """A message, whole or as its events."""

    def _message(self, **more: Any) -> Json:
        about = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant"}
        return {**about, "model": self._engine.info.name, **more}

    def _whole(self) -> Json:
        content = [_content(block) for block in self._all_blocks()]
        return self._message(content=content, **self._end)

    @property
    def _end(self) -> Json:
        """The reason and the cost; tokens that were resident count apart."""
        usage, (answer,) = self._usage(), self._answers
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        tokens = {
            "input_tokens": usage["prompt_tokens"] - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": usage["completion_tokens"],
        }
        reason = _REASONS[finish_reason(answer)]
        return {"stop_reason": reason, "stop_sequence": None, "usage": tokens}

    def _opening(self) -> Iterator[Json]:
        usage = {"input_tokens": 0, "output_tokens": 0}  # the prompt's are known at the end
        message = self._message(content=[], stop_reason=None, stop_sequence=None, usage=usage)
        yield {"type": "message_start", "message": message}

    def _begun(self, block: Block) -> Iterator[Json]:
        content = _content(Block(block.kind, block.number, block.call))
        yield {"type": "content_block_start", "index": block.number, "content_block": content}

    def _grown(self, block: Block, text: str) -> Iterator[Json]:
        delta = {
            "thoughts": {"type": "thinking_delta", "thinking": text},
            "text": {"type": "text_delta", "text": text},
            "call": {"type": "input_json_delta", "partial_json": text},
        }[block.kind]
        yield {"type": "content_block_delta", "index": block.number, "delta": delta}

    def _ended(self, block: Block) -> Iterator[Json]:
        yield {"type": "content_block_stop", "index": block.number}

    def _closing(self) -> Iterator[Json]:
        end = self._end
        usage = end.pop("usage")
        yield {"type": "message_delta", "delta": end, "usage": usage}
        yield {"type": "message_stop"}

    def _failure(self, failed: bytes) -> bytes:
        return event(failed, "error")


def _content(block: Block) -> Json:
    """Return a block as a message has it; arguments that were cut off are left out."""
    if block.call is None and block.kind == "thoughts":
        return {"type": "thinking", "thinking": block.text, "signature": ""}
    if block.call is None:
        return {"type": "text", "text": block.text}
    arguments: Any = None
    with suppress(ValueError):
        arguments = json.loads(block.text)
    about = {"type": "tool_use", "id": block.call.id, "name": block.call.name}
    return {**about, "input": arguments if isinstance(arguments, dict) else {}}
