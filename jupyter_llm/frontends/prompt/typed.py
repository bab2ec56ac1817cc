"""Reads a typed text once, as a prompt or a command, for all front ends.

The order matters. Options come first, and a prompt after `--` is no command. `@` is searched before
expressions are replaced by values, so that an `@` in a value has no meaning; values are not
expanded again. Expressions see a copy of the variables, so that they cannot set them. Secrets in
values are masked; the user's own text is sent as typed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.asked import Asked
from jupyter_llm.chat.files import attached_file, file_mentions
from jupyter_llm.common.expressions import before_values, evaluated, interpolate, shield, unshield
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import JupyterLLMError, MagicUsageError, OptionError
from jupyter_llm.frontends.prompt.commands import find_command
from jupyter_llm.frontends.prompt.options import (
    SHAPING,
    PromptLine,
    parse_line,
    shapes_answer,
    trailing_option,
)
from jupyter_llm.frontends.prompt.shapes import check_in_chat, typed_shape
from jupyter_llm.notebook.cells.rendering import cell_text
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.values.redaction import redact_value
from jupyter_llm.notebook.values.variables import mentioned, unknown_ats, without_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.frontends.prompt.commands import Command, Order
    from jupyter_llm.frontends.prompt.options import Options
    from jupyter_llm.notebook.cells.timeline import Snapshot

_LITERAL = "-- "
_OF_PROMPTS = (*SHAPING, "map", "show_tokens", "dry_run")
_CELL = re.compile(r"(?<![\w@/.)\]])@(?:In|Out) ?\[(\d+)\]")
_HELP = ("-h", "--help")
_UNCLOSED = re.compile(r"\{\{(?!\s*\}\})")
_LAST_WORD = re.compile(r"\s*\S*\s*\Z")


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed prompt or command with its options.

    `remark` is a note about a part of the prompt that may have been meant otherwise. `shape` is
    that of the answer. With `rows` the prompt is asked for each of them.
    """

    what: Asked | Order
    options: Options
    remark: str = ""
    shape: Shape[Any] | None = None
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
    copy, cells = dict(namespace), snapshot.visible

    def evaluate(source: str) -> object:
        if is_draft:
            raise OptionError("Nothing is evaluated before it is sent.")
        return eval(source, copy)  # noqa: S307 the user's own code

    def masked_value(source: str) -> str:
        value = evaluate(source)
        return redact_value(source, value, str(value))

    def expand(text: str) -> str:
        return interpolate(text, masked_value)

    if line.strip() in _HELP and not body.strip():
        line = "/help"
    is_parsed = has_options or line.startswith(_LITERAL) or shapes_answer(line)
    parsed = parse_line(line, expand) if is_parsed else PromptLine(prompt=line)
    if not has_options:
        check_in_chat(parsed.options)
        defaults = replace(defaults, format="markdown")
    options = defaults.with_line(parsed.options)
    prompt = check_text(f"{parsed.prompt}\n{body}".strip() if body else parsed.prompt)
    order = None if parsed.is_literal else find_command(prompt, commands)
    if order is not None and is_draft:
        return Typed(order, options)
    if order is not None:
        for name in filter(parsed.options.get, _OF_PROMPTS):
            given = f"--{name.replace('_', '-')} is for prompts"
            raise MagicUsageError(f"{given}, and /{order.command.name} is a command.")
        # The text of /complete is sent to the model; other arguments are names and paths.
        value = masked_value if order.command.name == "complete" else evaluate
        return Typed(replace(order, argument=interpolate(order.argument, value)), options)
    shape, options = typed_shape(parsed.options, options, namespace, evaluate)
    if options.map is not None:
        asked = Asked(prompt=prompt, model=options.model, system=options.system)
        return Typed(asked, options, shape=shape, rows=evaluated(options.map, evaluate))
    shielded, sources = shield(prompt)
    if is_draft:  # an open brace may become an expression
        shielded = _UNCLOSED.split(shielded)[0]
    files = file_mentions(shielded, namespace, notebook)
    for count, (match, _) in reversed([*enumerate(files, len(sources))]):
        shielded = f"{shielded[: match.start()]}\x00{count}\x00{shielded[match.end() :]}"
    attachments = (
        *((f"In [{n}]", cell_text(find_cell(n, cells))) for n in _CELL.findall(shielded)),
        *(attached_file(path, notebook, snapshot) for _, path in files),
    )
    named = _CELL.sub(r"In [\1]", shielded)
    # An `@` in an expression is a matrix product or part of a text, and an `@` in a path is no
    # mention.
    quoted = [*(source.replace("@", "@@") for source in sources), *("" for _ in files)]
    sources += [match[0][1:] for match, _ in files]
    chosen = () if options.vars in ("auto", "none") else options.vars.split(",")
    # Names in expressions are in the prompt by their values.
    own = unshield(named, [""] * len(sources))
    mentions, unknown = mentioned(own, namespace), unknown_ats(own, namespace)
    if is_draft and unknown_ats(own.rpartition(" ")[2], namespace):
        raise OptionError("The last name is still being written.")
    text = unshield(without_at(named, namespace), sources)
    asked = Asked(
        prompt=before_values(text).rstrip() if is_draft else expand(text),
        model=options.model,
        system=options.system,
        is_new=options.new,
        attachments=tuple(dict.fromkeys(attachments)),
        context=options.context,
        named=(*mentions, *chosen),
        about=unshield(named, quoted),
        vars=options.vars,
        is_kept=not options.no_save,
        goes_on=options.continue_,
        params=options.params,
    )
    if shape is not None:
        asked = asked.shaped(shape)
    may_trail = has_options and not parsed.is_literal
    trailing = trailing_option(parsed.prompt) if may_trail else ""
    remarks = (
        f"`{trailing}` is part of the prompt: options come first" if trailing else "",
        *(f"`@{one}` is no variable and stays as typed" for one in unknown[:1]),
        "`{{` without `}}` stays as typed" if _UNCLOSED.search(shielded) else "",
    )
    return Typed(asked, options, "; ".join(filter(None, remarks)), shape)


def read_draft(
    read_typed: Callable[..., Typed], line: str, body: str = ""
) -> tuple[Asked, Options] | None:
    """Return the prompt as typed so far, without running code; None if it is no prompt.

    The last word may be incomplete: if the text is invalid with it, it is omitted.
    """
    shorter = (line, _LAST_WORD.sub("", body))
    if not body.strip():
        shorter = (_LAST_WORD.sub("", line), "")
    for some_line, some_body in ((line, body), shorter):
        with suppress(JupyterLLMError):
            typed = read_typed(some_line, some_body, is_draft=True)
            return (typed.what, typed.options) if isinstance(typed.what, Asked) else None
    return None
