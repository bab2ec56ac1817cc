"""Functions that a model may call: their description, the grammar of the calls, and a reader.

A call is JSON between `<tool_call>` tags. Qwen, Hermes, SmolLM and others were trained on that
form; other models follow the description, and the grammar keeps their calls well formed.
Descriptions, calls and results are texts of ordinary messages, so every engine can read them.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from reprlib import Repr
from typing import Any

from jupyter_llm.engine.constraint import Constraint, Grammar
from jupyter_llm.engine.request import Message
from jupyter_llm.errors import OptionError

_MOST_CHARS = 4000  # of a result
_REPR = Repr()
_REPR.maxlevel, _REPR.maxother = 4, 400
_REPR.maxstring = _REPR.maxlong = 400
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 20
# A call as the grammar has it, in parts.
_OPEN, _BEFORE_NAME, _AFTER_NAME = "<tool_call>", '\n{"name": "', '", "arguments": '
_END = "}\n</tool_call>"
_HEAD = r'\s*(?:<tool_call>|<tools>|```[a-z]*)?\s*\{\s*"name":\s*"(%s)' + _AFTER_NAME
# The end of a text that may be the beginning of a call, or of a call's end.
_MAYBE_HEAD = re.compile(r"\s*(?:<[a-z_]*>?|`{1,3}[a-z]*)?\s*(?:\{[^{}]{0,200})?\Z")
_MAYBE_END = re.compile(f"(?:{'|'.join(_END[:size] for size in range(len(_END) - 1, -1, -1))})\\Z")
_MOST_CALLS = 8  # in one answer: a small model may not stop by itself
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
# Small models call functions reliably only in the words that they were trained on.
_INSTRUCTION = """\
# Tools

You may call one or more functions to help with the user query. If none helps, answer in words.

Their signatures are within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
_ANY_OBJECT = {"type": "object"}
# As in the grammars of answers (masks/grammar.py).
_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may call, with the JSON Schema of its arguments.

    If the schema cannot be enforced, the arguments are any object. If the tool `is_strict`,
    `OptionError` then has the reason.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_strict: bool = False
    enforced: Mapping[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise `OptionError` if this cannot be a tool."""
        if not _NAME.fullmatch(self.name):
            raise OptionError(
                f"No function has the name {self.name!r:.80}. Use letters and digits."
            )
        object.__setattr__(self, "enforced", self._enforced())

    def _enforced(self) -> Mapping[str, Any]:
        """Return the schema that the grammar of a call contains."""
        from jupyter_llm.ask import schemas

        schema = {"type": "object", **(self.parameters or {"properties": {}})}
        try:
            root, _ = schemas.of_json_schema(schema)
            schemas.check(root)
        except (OptionError, RecursionError) as error:
            if self.is_strict:
                raise OptionError(f"The parameters of {self.name}: {error}") from None
            return _ANY_OBJECT
        closed: Mapping[str, Any] = schemas.closed(root)
        return closed if root["type"] == "object" else _ANY_OBJECT

    @property
    def signature(self) -> str:
        """Return the description for the model, as chat templates write it."""
        facts = {"name": self.name, "description": self.description, "parameters": self.parameters}
        function = {name: value for name, value in facts.items() if value}
        return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call by a model; `arguments` are the JSON of an object."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")

    @property
    def text(self) -> str:
        """Return the call as a model writes it."""
        arguments = self.arguments.strip() or "{}"
        return f'{_OPEN}\n{{"name": "{self.name}", "arguments": {arguments}{_END}'


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """The tools of a request, and the calls that its answer may have.

    The answer is a text, or calls after a text. If it `must_call`, it is calls alone. `only`: the
    name of the tool to call. If it `is_single`, there is at most one call, else up to eight.
    """

    tools: Sequence[Tool]
    must_call: bool = False
    only: str = ""
    is_single: bool = False

    def __post_init__(self) -> None:
        """Raise `OptionError` if a tool is missing, or there twice."""
        names = [tool.name for tool in self.tools]
        if not names or (self.only and self.only not in names):
            raise OptionError(f"There is no tool {self.only}".rstrip() + " to call.")
        if twice := [name for name in names if names.count(name) > 1]:
            raise OptionError(f"Two tools have the name {twice[0]}.")

    def described(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return messages with the tools at the end of their system text."""
        text = _INSTRUCTION.format(signatures="\n".join(tool.signature for tool in self.tools))
        if not messages or messages[0].role != "system":
            return (Message("system", text), *messages)
        system = f"{messages[0].content}\n\n{text}"
        return (Message("system", system), *messages[1:])

    def constraint(self, answer: Constraint | None = None) -> Grammar:
        """Return the grammar of an answer, whose text is of the grammar `answer`, if given."""
        tools = [tool for tool in self.tools if self.only in ("", tool.name)]
        heads = [f'{_BEFORE_NAME}{tool.name}"' for tool in tools]
        most = 1 if self.is_single or self.only else _MOST_CALLS
        rules = [
            f"OPEN: {json.dumps(_OPEN)}",
            f"AFTER_NAME: {json.dumps(_AFTER_NAME[1:])}",
            f"END: {json.dumps(_END)}",
            *(_json_rule(f"args_{n}", tool.enforced) for n, tool in enumerate(tools)),
            *(f"rest_{n}: AFTER_NAME args_{n} END" for n in range(len(tools))),
            "call: " + " | ".join(f"{json.dumps(head)} rest_{n}" for n, head in enumerate(heads)),
            f'more: ("\\n{_OPEN}" call){{0,{most - 1}}} TAIL?' if most > 1 else 'more: ""',
            r"TAIL: /\s{0,3}[^\s<]\S{0,30}/",  # text after the calls: the answer then ends
        ]
        if self.must_call or self.only:
            rules.append("start: OPEN call more")
        elif answer is not None:
            if not isinstance(answer, Grammar) or answer.kind != "json":
                raise OptionError("With tools, the shape of an answer is the schema of an object.")
            rules += [
                _json_rule("answer", json.loads(answer.text)),
                "start: answer | OPEN call more",
            ]
        else:
            rules += _free_rules([tool.name for tool in tools])
        return Grammar("lark", "\n".join(rules))

    def words(self) -> Grammar:
        """Return the grammar of an answer in words, without a call."""
        *rules, _ = _free_rules([tool.name for tool in self.tools])
        return Grammar("lark", "\n".join([*rules[-1:], "start: TEXT"]))


def _free_rules(names: Sequence[str]) -> list[str]:
    """Return the rules of an answer that begins with free text, in which no call may begin.

    Some models leave out the tag before a call: a call begins with the name of a tool, too.
    """
    free, tag = r"/(.|\n)*/", rf"/(.|\n)*{_OPEN}(.|\n)*/"
    heads = [rf'\{{\s*"name":\s*"{re.escape(name)}"' for name in names]
    starts = [f"named_{number} rest_{number}" for number in range(len(names))]
    return [
        f'tagged[suffix="{_OPEN}"]: {free}',
        *(f"named_{n}[suffix=/{head}/]: {free} & ~{tag}" for n, head in enumerate(heads)),
        rf"TEXT: {free} & ~{tag} & ~/(.|\n)*({'|'.join(heads)})(.|\n)*/",
        f"start: TEXT | (tagged call | {' | '.join(starts)}) more",
    ]


def _json_rule(name: str, schema: Mapping[str, Any]) -> str:
    text = json.dumps({**schema, "x-guidance": _SPACING}, ensure_ascii=False)
    return f"{name}: %json {text}"


def short_repr(value: object) -> str:
    """Return the `repr` of a value without most of a long one."""
    return _REPR.repr(value)


def result_text(value: object) -> str:
    """Return a value as a bounded text for a model."""
    text = value if isinstance(value, str) else short_repr(value)
    if len(text) <= _MOST_CHARS:
        return text
    return f"{text[:_MOST_CHARS]}\n({len(text) - _MOST_CHARS:,} more characters)"


def call_message(text: str, calls: Iterable[ToolCall]) -> Message:
    """Return an earlier answer of a model with its calls."""
    return Message("assistant", "\n".join([*filter(None, [text]), *(one.text for one in calls)]))


def result_message(results: Iterable[str]) -> Message:
    """Return the results of the calls of one answer."""
    tagged = (f"<tool_response>\n{one}\n</tool_response>" for one in results)
    return Message("user", "\n".join(tagged))


@dataclass(slots=True)
class CallPiece:
    """More of the arguments of a call, which has a number; its name is certain from the first."""

    number: int
    is_first: bool
    arguments: str = ""


class CallReader:
    """Separates the calls in an answer from its text, piece by piece."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.calls: list[ToolCall] = []
        """The calls so far; the arguments of the last one may be incomplete."""
        self.is_within = False
        """Whether the answer so far ends within the arguments of a call."""
        self._rest = ""
        self._head = re.compile(_HEAD % "|".join(map(re.escape, names)))

    def feed(self, text: str, *, is_last: bool = False) -> tuple[str, list[CallPiece]]:
        """Return the new certain text, and at most one new piece of each call."""
        self._rest += text
        said, pieces = "", list[CallPiece]()
        while True:
            if self.is_within:
                end = self._rest.find(_END)
                more = self._take(end, _MAYBE_END, len(_END))
                if more and not pieces:
                    pieces.append(CallPiece(len(self.calls) - 1, is_first=False))
                if more:
                    pieces[-1].arguments += more
                last = self.calls[-1]
                self.calls[-1] = replace(last, arguments=last.arguments + more)
                if end < 0:
                    break
                self.is_within = False
            if (head := self._head.search(self._rest)) is None:
                break
            free = self._take(head.start(), _MAYBE_HEAD, len(head[0]))
            said += "" if self.calls else free
            pieces.append(CallPiece(len(self.calls), is_first=True))
            self.calls.append(ToolCall(head[1], ""))
            self.is_within = True
        if not self.calls:  # text after a call is the end of the answer
            rest = self._take(-1, _MAYBE_HEAD)
            said += rest + self._rest.partition(_OPEN)[0] if is_last else rest
        return said, pieces

    def _take(self, end: int, maybe: re.Pattern[str], size: int = 0) -> str:
        """Remove and return the text up to a mark of a size, or up to a possible part of one."""
        if end < 0:
            part = maybe.search(self._rest)
            end, size = part.start() if part else len(self._rest), 0
        taken, self._rest = self._rest[:end], self._rest[end + size :]
        return taken
