"""Reads a typed text once, as a prompt or a command, for all front ends.

The order matters. Options come first, and a prompt after `--` is no command. `@` is searched before
expressions are replaced by values, so that an `@` in a value has no meaning; values are not
expanded again. Expressions see a copy of the variables, so that they cannot set them. Secrets in
values are masked; the user's own text is sent as typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_llm.ask.question import SHAPING
from jupyter_llm.ask.shape import Shape
from jupyter_llm.chat.files import attached_file, file_mentions
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.expressions import before_values, evaluated, interpolate, shield, unshield
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import JupyterLLMError, MagicUsageError, OptionError
from jupyter_llm.frontends.prompt.commands import Command, Order, find_command
from jupyter_llm.frontends.prompt.options import (
    Options,
    PromptLine,
    parse_line,
    shapes_answer,
    trailing_option,
)
from jupyter_llm.frontends.prompt.shapes import check_in_chat, named_tools, typed_shape
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.timeline import Snapshot, find_cell
from jupyter_llm.notebook.values.redaction import redact_value
from jupyter_llm.notebook.values.variables import mentioned, unknown_ats, without_at

_LITERAL = "-- "
_OF_PROMPTS = (*SHAPING, "tools", "map", "show_tokens", "dry_run")
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")
_CHOICES = ("auto", "none")  # of --vars, which else names variables
_HELP = ("-h", "--help")
_UNCLOSED = re.compile(r"\{\{(?!\s*\}\})")
_LAST_WORD = re.compile(r"\s*\S*\s*\Z")


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed prompt or command with its options.

    `remark` is a note about a part of the prompt that may have been meant otherwise. With `rows`
    the prompt is asked for each of them.
    """

    what: ChatQuestion | Order
    options: Options
    remark: str = ""
    rows: object = None


def read(
    line: str,
    body: str = "",
    *,
    commands: Mapping[str, Command],
    namespace: Mapping[str, Any],
    snapshot: Snapshot,
    defaults: Options,
    notebook: Path | None = None,
    has_options: bool = True,
    is_draft: bool = False,
) -> Typed:
    """Read a typed text: a line that begins with its options, and the rest of a cell.

    Without `has_options`, as in a chat, a text is a prompt whatever it begins with, except `-- `,
    commands and the shape of an answer: people paste lists, diffs and command lines. The user's
    expressions run, but not in a draft: that ends before its first expression, has none in its
    options, and the arguments of its commands stay as typed. Files are searched beside `notebook`.

    Raises
    ------
    MagicUsageError, OptionError, EmptyPromptError, InterpolationError
    """
    expressions = _Expressions(namespace, is_draft=is_draft)
    if line.strip() in _HELP and not body.strip():
        line = "/help"
    is_parsed = has_options or line.startswith(_LITERAL) or shapes_answer(line)
    parsed = parse_line(line, expressions.expand) if is_parsed else PromptLine(prompt=line)
    if not has_options:
        check_in_chat(parsed.options)
        defaults = replace(defaults, format="markdown")
    options = defaults.with_line(parsed.options)
    prompt = check_text(f"{parsed.prompt}\n{body}".strip() if body else parsed.prompt)
    order = None if parsed.is_literal else find_command(prompt, commands)
    has_types = bool(options.out) and not str(options.out).isidentifier()
    if order is not None and has_types and order.command.name == "do":
        order = replace(order, argument=f'{order.argument} --into "{options.out}"')
        options, has_types = replace(options, out=None), False
    if order is not None and not has_types:
        return Typed(order if is_draft else _expanded(order, parsed, expressions), options)
    if options.out and has_types:
        from jupyter_llm.tasks.contract import with_names

        if order is not None or parsed.options.get("format", "code") != "code":
            hint = "Leave -f out, or write -f code or /do."
            raise MagicUsageError("-o with types is for code.", hint)
        prompt = with_names(prompt, options.out)
        parsed.options["format"], options = "code", replace(options, out=None, format="code")
    shape, options = typed_shape(parsed.options, options, namespace, expressions.evaluate)
    tools = named_tools(options.tools, namespace, is_draft=is_draft)
    if options.map is not None:
        question = ChatQuestion(prompt=prompt, shape=shape, tools=tools)
        question.check_without_tools()
        return Typed(question, options, rows=evaluated(options.map, expressions.evaluate))
    mentions = _Mentions.of(prompt, namespace, snapshot, notebook, is_draft=is_draft)
    text = mentions.text(namespace)
    text = before_values(text).rstrip() if is_draft else expressions.expand(text)
    may_trail = has_options and not parsed.is_literal
    trailing = trailing_option(parsed.prompt) if may_trail else ""
    remarks = (
        f"`{trailing}` is part of the prompt: options come first" if trailing else "",
        *(f"`@{one}` is no variable and stays as typed" for one in mentions.unknown[:1]),
        "`{{` without `}}` stays as typed" if _UNCLOSED.search(mentions.shielded) else "",
    )
    question = replace(mentions.question(text, options, shape), tools=tools)
    return Typed(question, options, "; ".join(filter(None, remarks)))


class _Expressions:
    """The expressions of a text, evaluated in a copy of the variables; none is, in a draft."""

    def __init__(self, namespace: Mapping[str, Any], *, is_draft: bool) -> None:
        self._copy, self._is_draft = dict(namespace), is_draft

    def evaluate(self, source: str) -> object:
        """Return the value of an expression."""
        if self._is_draft:
            raise OptionError("Nothing is evaluated before it is sent.")
        return eval(source, self._copy)  # noqa: S307  theirs

    def sent(self, source: str) -> str:
        """Return the value as the model may read it."""
        value = self.evaluate(source)
        return redact_value(source, value, str(value))

    def expand(self, text: str) -> str:
        """Return a text with the values in place of its expressions."""
        return interpolate(text, self.sent)


def _expanded(order: Order, parsed: PromptLine, expressions: _Expressions) -> Order:
    """Return a command whose argument has values in place of expressions."""
    for name in filter(parsed.options.get, _OF_PROMPTS):
        given = f"--{name.replace('_', '-')} is for prompts"
        raise MagicUsageError(f"{given}, and /{order.command.name} is a command.")
    # The model reads a text to complete; other arguments are names and paths.
    value = expressions.sent if order.command.name == "complete" else expressions.evaluate
    return replace(order, argument=interpolate(order.argument, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mentions:
    """The variables, cells and files that a prompt mentions with `@`.

    `shielded` is the prompt with marks in place of its expressions and files. `sources` are the
    texts that belong there. `about` is the prompt for whoever looks for variables in it: no `@` in
    an expression counts, nor does a word of a path.
    """

    shielded: str
    sources: list[str]
    about: str
    attachments: tuple[tuple[str, str], ...]
    names: Sequence[str]
    unknown: Sequence[str]

    @classmethod
    def of(
        cls,
        prompt: str,
        namespace: Mapping[str, Any],
        snapshot: Snapshot,
        notebook: Path | None,
        *,
        is_draft: bool,
    ) -> _Mentions:
        """Find the mentions of a prompt."""
        shielded, sources = shield(prompt)
        if is_draft:  # what is open may become an expression
            shielded = _UNCLOSED.split(shielded)[0]
        files = file_mentions(shielded, namespace, notebook)
        for count, (found, _) in reversed([*enumerate(files, len(sources))]):
            shielded = f"{shielded[: found.start()]}\x00{count}\x00{shielded[found.end() :]}"
        cells = snapshot.visible
        attachments = (
            *((f"In [{n}]", cell_text(find_cell(n, cells))) for n in _CELL.findall(shielded)),
            *(attached_file(path, notebook, snapshot) for _, path in files),
        )
        named = _CELL.sub(r"In [\1]", shielded)
        quoted = [*(source.replace("@", "@@") for source in sources), *("" for _ in files)]
        sources += [found[0][1:] for found, _ in files]
        own = unshield(named, [""] * len(sources))  # the values of expressions are in the prompt
        if is_draft and unknown_ats(own.rpartition(" ")[2], namespace):
            raise OptionError("The last name is still being written.")
        return cls(
            shielded=shielded,
            sources=sources,
            about=unshield(named, quoted),
            attachments=tuple(dict.fromkeys(attachments)),
            names=mentioned(own, namespace),
            unknown=unknown_ats(own, namespace),
        )

    def question(self, text: str, options: Options, shape: Shape[Any] | None) -> ChatQuestion:
        """Return the question with what it mentions, and its options."""
        chosen = () if options.vars in _CHOICES else options.vars.split(",")
        return ChatQuestion(
            prompt=text,
            model=options.model,
            system=options.system,
            is_new=options.new,
            attachments=self.attachments,
            context=options.context,
            named=(*self.names, *chosen),
            about=self.about,
            vars=options.vars,
            is_kept=not options.no_save,
            continues=options.continue_,
            params=options.params,
            shape=shape,
        )

    def text(self, namespace: Mapping[str, Any]) -> str:
        """Return the prompt as it was typed, without the `@` of mentions."""
        named = _CELL.sub(r"In [\1]", self.shielded)
        return unshield(without_at(named, namespace), self.sources)


def read_draft(
    read_typed: Callable[..., Typed], line: str, body: str = ""
) -> tuple[ChatQuestion, Options] | None:
    """Return the prompt as typed so far, without running code; None if it is no prompt.

    The last word may be incomplete: if the text is invalid with it, it is omitted.
    """
    shorter = (line, _LAST_WORD.sub("", body))
    if not body.strip():
        shorter = (_LAST_WORD.sub("", line), "")
    for some_line, some_body in ((line, body), shorter):
        with suppress(JupyterLLMError):
            typed = read_typed(some_line, some_body, is_draft=True)
            return (typed.what, typed.options) if isinstance(typed.what, ChatQuestion) else None
    return None
