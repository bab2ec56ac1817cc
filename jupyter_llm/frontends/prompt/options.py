"""The options of a prompt line: parsed, completed and explained from one table.

A line is options first and then the prompt, which stays as typed: `%llm -n 20 What's "this"?`
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from jupyter_llm.ask.question import SHAPING
from jupyter_llm.chat.budget import MODES, ContextMode, check_mode
from jupyter_llm.common.expressions import shield, unshield
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.option import Option, option, options_of, switch
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.shell import current_shell

FORMATS = ("markdown", "code", "json", "text")

# A word as in a shell; an unclosed quote includes all that follows.
_WORD = re.compile(
    r"""\s*(?=\S)((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*(?:["'].*|\\)?)""", re.DOTALL
)
_QUOTED = re.compile(
    r"""(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|(?P<escape>\\.)|(?P<open>["'])|.""",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t"}
_DASHES = re.compile(r"-(-$|-?[A-Za-z])")  # a prompt may begin with "- item", "->" or "-5"
_ASSIGNMENT = re.compile(r"\s*((?=[^\s<]*[^\W\d])\w[^\s<]*)\s*<<(?=\s|$)")  # not a number
_JSON = re.compile(r"\s*(?:-f|--format)[ =]?json\s")
_TRAILING = re.compile(r"\s(--?[A-Za-z][\w-]*(?:[ =]\S+)?)\s*\Z")


def _identifier(text: str) -> str:
    if not _is_name(text):
        raise ValueError(text)
    return text


def _target(text: str) -> str:
    return text if _is_name(text) or " " in text.strip() else _identifier(text)


def _is_name(text: str) -> bool:
    """Whether a text is a valid variable's name."""
    return text.isidentifier() and not keyword.iskeyword(text)


def _context_mode(text: str) -> ContextMode:
    if text not in MODES and not text.isdecimal():
        raise ValueError(text)
    return check_mode(int(text) if text.isdecimal() else text)


def _variables(text: str) -> str:
    return ",".join(_identifier(name.strip()) for name in text.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a prompt, each declared with its spelling.

    `assign_to` is the variable before `<<`. `vars` is a list of variables with commas, "auto" or
    "none".
    """

    model: str | None = option(
        "-m --model", "NAME", "the model to ask: a name or a path", is_setting=True
    )
    system: str | None = option("-s --system", "TEXT", "system text of the chat from here on")
    params: SamplingParams = field(default_factory=SamplingParams)
    format: str = option(
        "-f --format",
        "FORMAT",
        "markdown; code, which lands in a new cell and always parses; json, a value of any shape; "
        "or text as it is",
        default="markdown",
        words=FORMATS,
        is_setting=True,
    )
    schema: str | None = option(
        "--schema",
        "SHAPE",
        "answer with a value: a variable with a type or a JSON Schema, or in short "
        '"name, age int, bio: one sentence"',
    )
    choices: str | None = option(
        "--choices", "A,B", "answer with one of these, or of a list's items, the likeliest"
    )
    regex: str | None = option(
        "--regex", "PATTERN", "answer with a text that this describes as a whole"
    )
    grammar: str | None = option(
        "--grammar", "TEXT", "answer by a grammar of Lark's kind, or the variable with it"
    )
    tools: str | None = option(
        "--tools",
        "F,G",
        "functions that the model may call; you are asked before each call",
        convert=_variables,
        expects="functions such as f,g",
    )
    map: str | None = option(
        "--map", "ROWS", "ask for each row of a column or frame, which {{…}} names"
    )
    show_tokens: bool = switch("--show-tokens", "show how likely each token of the answer was")
    assign_to: str | None = None
    out: str | None = option(
        "-o --out",
        "VAR",
        "also put the answer into a variable, of a shape its value (VAR << does so silently); "
        'or write code that binds variables, as in "mean_fare float, n int"',
        convert=_target,
        expects="a variable's name, or names with types",
    )
    context: ContextMode = option(
        "-c --context",
        "WHICH",
        "which cells of the notebook to include: auto (what the model can use), none, all, or "
        "the last so many",
        default="auto",
        convert=_context_mode,
        expects="auto, none, all or a number of cells",
        words=MODES,
        is_setting=True,
    )
    vars: str = option(
        "--vars",
        "WHICH",
        "which variables to include: auto (those that matter), none, or these",
        default="auto",
        convert=_variables,
        expects="auto, none or names such as a,b",
        words=("auto", "none"),
        is_setting=True,
    )
    below: bool = switch("--below", "put the code of the answer into a new cell below")
    replace: bool = switch(
        "--replace",
        "put the code of the answer in place of this cell; of /fix and /doc, in their cell's",
    )
    no_try: bool = switch(
        "--no-try",
        "run no draft of code, not even in a sealed copy of the kernel that can change nothing",
    )
    no_save: bool = switch("--no-save", "keep nothing of this prompt and its answer on the disk")
    chat: str = option(
        "--chat", "NAME", "the conversation to talk in", default="default", is_setting=True
    )
    new: bool = switch("--new", "forget the conversation's turns first")
    continue_: bool = switch(
        "--continue", "go on from what was kept of the conversation before the restart"
    )
    stats: bool = switch("--stats", "show token counts and times below the answer", is_setting=True)
    dry_run: bool = switch("--dry-run", "show the exact prompt instead of running it")
    quiet: bool = switch("-q --quiet", "show nothing")

    def with_line(self, line: Mapping[str, Any]) -> Options:
        """Return these options, replaced by those of a line; `OptionError` if one is invalid."""
        drawn = {name: value for name, value in line.items() if name in SAMPLING}
        others = {name: value for name, value in line.items() if name not in SAMPLING}
        options = replace(self, params=replace(self.params, **drawn), **others)
        # Without cells, variables are only included by name.
        is_bare = options.context == "none" and "vars" not in line
        return replace(options, vars="none") if is_bare else options


OPTIONS = tuple(one for one in options_of(Options) if one.spelling)
_BY_NAME = {name: one for one in OPTIONS for name in one.names}
SAMPLING = {field.name for field in fields(SamplingParams)}


def loaded_magics() -> Any:
    """Return the magics that `%load_ext` has registered, None without them."""
    shell = current_shell()
    return shell.magics_manager.registry.get("LLMMagics") if shell is not None else None


def default_options() -> Options:
    """Return the options of `%config LLMMagics`, or else the built-in defaults."""
    magics = loaded_magics()
    return magics.defaults if magics is not None else Options()


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A parsed line: its options by key, and the prompt as typed."""

    options: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    is_literal: bool = False  # `--` preceded the prompt, so it is no command


def parse_line(line: str, expand: Callable[[str], str] = str) -> PromptLine:
    """Parse the options at the start of a line; `expand` is applied to the options' texts.

    Raises `MagicUsageError`, with the nearest match, if an option is unknown or its value is wrong.
    """
    shielded, sources = shield(line)

    def restore(text: str) -> str:
        return expand(unshield(text, sources))

    options: dict[str, Any] = {}
    rest, is_over = _take_options(shielded, options, restore)
    if not is_over and (assignment := _ASSIGNMENT.match(rest)):
        name = options["assign_to"] = assignment[1]
        if not _is_name(name):
            raise MagicUsageError(
                f"{name!r} before << is not a variable's name.", "After -- all is prompt."
            )
        rest, is_over = _take_options(rest[assignment.end() :], options, restore)
    return PromptLine(options, unshield(rest, sources).strip(), is_over)


def _take_options(
    rest: str, options: dict[str, Any], restore: Callable[[str], str]
) -> tuple[str, bool]:
    """Remove the options from the start of a line; return the rest, and whether `--` ended them."""
    while (word := _WORD.match(rest)) and _DASHES.match(word[1]):
        rest = rest[word.end() :]
        if word[1] == "--":
            return rest, True
        name, value = _name_and_value(word[1])
        option = _BY_NAME.get(name) or _unknown(name)
        if not option.metavar:
            if value is not None:
                raise MagicUsageError(f"{name} takes no value.")
            options[option.key] = option.value
            continue
        if value is None:
            value, rest = _following(rest, option, name)
        text = restore(_unquote(value))
        try:
            parsed = option.read(text)
        except ValueError:
            raise MagicUsageError(f"{name} takes {option.expected}, not {text!r}.") from None
        options[option.key] = (*options.get(option.key, ()), parsed) if option.is_list else parsed
    return rest, False


def shapes_answer(line: str) -> bool:
    """Whether a line begins with an option for an answer with a shape."""
    word = _WORD.match(line)
    option = _BY_NAME.get(_name_and_value(word[1])[0]) if word is not None else None
    is_shaping = option is not None and option.key in (*SHAPING, "reason")
    return is_shaping or _JSON.match(line) is not None


def flags_in(name: str, argument: str, allowed: Sequence[str]) -> tuple[frozenset[str], str]:
    """Return the flags in a command's argument, and the other words.

    Raises `MagicUsageError`, with the nearest match, if a flag is unknown.
    """
    words = argument.split()
    flags = frozenset(word for word in words if word.startswith("--"))
    for flag in flags.difference(allowed):
        hint = nearest(flag, allowed, f"It takes {', '.join(allowed)}.")
        raise MagicUsageError(f"/{name} does not know {flag}.", hint)
    return flags, " ".join(word for word in words if word not in flags)


def trailing_option(prompt: str) -> str:
    """Return an option at the end of a prompt, where it has no effect, or ""."""
    match = _TRAILING.search(prompt)
    if match is not None:
        with suppress(MagicUsageError):
            parsed = parse_line(match[1])
            return match[1] if parsed.options and not parsed.prompt else ""
    return ""


def word_at(before: str) -> tuple[str, Option | None] | None:
    """Return the word at the end of an option line, and the option whose value it is.

    After a space the word is "". The option is None if the word is not a value of its own, as in
    `--seed=3`. The result is None once another word than an option or a value came.
    """
    rest, option = shield(before)[0], None
    while (word := _WORD.match(rest)) is not None:
        rest = rest[word.end() :]
        if not rest:
            return (word[1], option) if option or word[1].startswith("-") else None
        if option is not None:
            option = None
            continue
        name, value = _name_and_value(word[1])
        if not _DASHES.match(name) or name not in _BY_NAME:
            return None
        option = _BY_NAME[name] if _BY_NAME[name].metavar and value is None else None
    return "", option


def _name_and_value(word: str) -> tuple[str, str | None]:
    """Split `--seed=3`, `-n3` and `-n=3`."""
    if word[:2] in _BY_NAME and len(word) > 2:  # noqa: PLR2004
        return word[:2], word[2:].removeprefix("=")
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _following(rest: str, option: Option, name: str) -> tuple[str, str]:
    """Return an option's value, the next word, and the rest."""
    word = _WORD.match(rest)
    if word is None:
        raise MagicUsageError(f"{name} needs {option.expected}.", f"Write {name} {option.metavar}.")
    return word[1], rest[word.end() :]


def _unknown(name: str) -> Option:
    raise MagicUsageError(
        f"Unknown option {name}.", nearest(name, list(_BY_NAME), "`%llm /help` lists them.")
    )


def _unquote(word: str) -> str:
    r"""Remove quotes as a shell does; `\n` and `\t` become a line end and a tab."""
    parts: list[str] = []
    for match in _QUOTED.finditer(word):
        text = match[0]
        if match["open"]:
            raise MagicUsageError(f"The quote in {word!r} is not closed.")
        if match["single"]:
            parts.append(text[1:-1])
        elif match["double"] or match["escape"]:
            inner = text[1:-1] if match["double"] else text
            parts.append(re.sub(r"(?s)\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), inner))
        else:
            parts.append(text)
    return "".join(parts)
