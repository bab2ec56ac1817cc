"""What was typed, read once: the one way from a text to a prompt or a command, for all front ends.

The order matters. Options come first, and a prompt behind `--` is no command. `@` is looked for in
what was typed, before values are put in, so one in a value means nothing; nor is a value expanded
again. Expressions see a copy of the variables: they are to read them, not to set them. Secrets in
values are hidden; what was typed itself is the user's own word and told as it is.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyter_llm.chat.asked import Asked
from jupyter_llm.chat.files import file_mentions, told_file
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
    """What somebody typed: a prompt or a command, and the options for it.

    The remark says what of a prompt may have been meant otherwise than it was read. A `shape` is
    that of the answer. With `rows` the prompt is one for each of them.
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
    """Read what was typed: a line, which begins with its options, and the rest of a cell.

    It is read by the commands, variables and cells that there are, and the files beside `notebook`.
    Without `has_options` a text is a prompt whatever it begins with, but for `-- `, commands and
    the shape of an answer: in a chat one pastes lists, diffs and calls of programs. Runs the user's
    code, but not in a draft: that ends before its first expression, has none in its options, and
    the arguments of its commands stay as they are.

    Raises
    ------
    MagicUsageError, OptionError, EmptyPromptError, InterpolationError
    """
    copy, cells = dict(namespace), snapshot.visible

    def evaluate(source: str) -> object:
        if is_draft:
            raise OptionError("Nothing is evaluated before it is sent.")
        return eval(source, copy)  # noqa: S307  theirs

    def told(source: str) -> str:
        value = evaluate(source)
        return redact_value(source, value, str(value))

    def expand(text: str) -> str:
        return interpolate(text, told)

    if line.strip() in _HELP and not body.strip():
        line = "/help"
    is_parsed = has_options or line.startswith(_LITERAL) or shapes_answer(line)
    parsed = parse_line(line, expand) if is_parsed else PromptLine(prompt=line)
    if not has_options:
        check_in_chat(parsed.options)
        defaults = replace(defaults, format="markdown")
    options = defaults.given(parsed.options)
    prompt = check_text(f"{parsed.prompt}\n{body}".strip() if body else parsed.prompt)
    order = None if parsed.is_literal else find_command(prompt, commands)
    if order is not None and is_draft:
        return Typed(order, options)
    if order is not None:
        for name in filter(parsed.options.get, _OF_PROMPTS):
            given = f"--{name.replace('_', '-')} is for prompts"
            raise MagicUsageError(f"{given}, and /{order.command.name} is a command.")
        # A text to go on with is told to the model; other arguments are names and paths.
        value = told if order.command.name == "complete" else evaluate
        return Typed(replace(order, argument=interpolate(order.argument, value)), options)
    shape, options = typed_shape(parsed.options, options, namespace, evaluate)
    if options.map is not None:
        asked = Asked(prompt=prompt, model=options.model, system=options.system)
        return Typed(asked, options, shape=shape, rows=evaluated(options.map, evaluate))
    shielded, sources = shield(prompt)
    if is_draft:  # what is open may become an expression
        shielded = _UNCLOSED.split(shielded)[0]
    files = file_mentions(shielded, namespace, notebook)
    for count, (found, _) in reversed([*enumerate(files, len(sources))]):
        shielded = f"{shielded[: found.start()]}\x00{count}\x00{shielded[found.end() :]}"
    attachments = (
        *((f"In [{n}]", cell_text(find_cell(n, cells))) for n in _CELL.findall(shielded)),
        *(told_file(path, notebook, snapshot) for _, path in files),
    )
    named = _CELL.sub(r"In [\1]", shielded)
    # An `@` of theirs is a product, or a text's: no mention. Nor is a word of a path.
    quoted = [*(source.replace("@", "@@") for source in sources), *("" for _ in files)]
    sources += [found[0][1:] for found, _ in files]
    chosen = () if options.vars in ("auto", "none") else options.vars.split(",")
    # What an expression names is in the prompt already, by its value.
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
    """What is typed so far, as `read` would read it, with no code run; None if it is no prompt.

    The last word may be half of one: where that means nothing yet, it is left out.
    """
    shorter = (line, _LAST_WORD.sub("", body))
    if not body.strip():
        shorter = (_LAST_WORD.sub("", line), "")
    for some_line, some_body in ((line, body), shorter):
        with suppress(JupyterLLMError):
            typed = read_typed(some_line, some_body, is_draft=True)
            return (typed.what, typed.options) if isinstance(typed.what, Asked) else None
    return None
