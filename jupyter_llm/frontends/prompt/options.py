"""The options of a prompt line: parsed, completed and explained from one table.

A line is options first and then the prompt, which stays as typed: `%llm -n 20 What's "this"?`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from jupyter_llm.chat.budget import MODES, ContextMode, check_mode
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.prompt.expressions import shield, unshield

Convert = Callable[[str], Any]
Variables = Literal["auto", "none"] | tuple[str, ...]
"""The variables that go along with a prompt: those that matter, none, or the named ones."""

FORMATS = ("markdown", "code", "text")

# A word as in a shell; a quote that is not closed takes all that follows.
_WORD = re.compile(
    r"""\s*(?=\S)((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*(?:["'].*|\\)?)""", re.DOTALL
)
_QUOTED = re.compile(
    r"""(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|(?P<escape>\\.)|(?P<open>["'])|.""",
    re.DOTALL,
)
_DASHES = re.compile(r"-(-$|-?[A-Za-z])")  # so a prompt may begin with "- item", "->" or "-5"
_ASSIGNMENT = re.compile(r"\s*([^\W\d][^\s<]*)\s*<<(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. Without a `metavar` it is a switch; `convert` raises ValueError on nonsense."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    convert: Convert = str
    expects: str = "a text"
    choices: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def key(self) -> str:
        """The option's name as a Python identifier."""
        return self.names[-1].lstrip("-").replace("-", "_")


def _identifier(text: str) -> str:
    if not text.isidentifier():
        raise ValueError(text)
    return text


def _context_mode(text: str) -> ContextMode:
    if text not in MODES and not text.isdecimal():
        raise ValueError(text)
    return check_mode(int(text) if text.isdecimal() else text)


def _variables(text: str) -> Variables:
    if text in ("auto", "none"):
        return text  # type: ignore[return-value]
    return tuple(_identifier(name.strip()) for name in text.split(","))


OPTIONS = (
    Option(names=("-m", "--model"), metavar="NAME", help="model for this prompt: a name or a path"),
    Option(names=("-s", "--system"), metavar="TEXT", help="system text of the chat from here on"),
    Option(
        names=("-t", "--temperature"),
        metavar="X",
        convert=float,
        expects="a number",
        help="0 always takes the likeliest token; higher is more varied",
    ),
    Option(
        names=("--top-p",),
        metavar="X",
        convert=float,
        expects="a number",
        help="draw from the likeliest tokens that together reach this probability",
    ),
    Option(
        names=("--top-k",),
        metavar="N",
        convert=int,
        expects="a whole number",
        help="draw from this many of the likeliest tokens; 0 for all",
    ),
    Option(
        names=("--min-p",),
        metavar="X",
        convert=float,
        expects="a number",
        help="leave out tokens less likely than this share of the likeliest",
    ),
    Option(
        names=("--repeat-penalty",),
        metavar="X",
        convert=float,
        expects="a number",
        help="above 1 makes repetition less likely",
    ),
    Option(
        names=("--seed",),
        metavar="N",
        convert=int,
        expects="a whole number",
        help="the same seed in the same place gives the same text",
    ),
    Option(
        names=("-n", "--max-tokens"),
        metavar="N",
        convert=int,
        expects="a whole number",
        help="longest answer, in tokens",
    ),
    Option(
        names=("--stop",),
        metavar="TEXT",
        is_list=True,
        help="end before this text; may be given several times",
    ),
    Option(names=("--ignore-eos",), help="write on until the longest answer is reached"),
    Option(
        names=("-f", "--format"),
        metavar="FORMAT",
        choices=FORMATS,
        expects="a format",
        help="markdown; code, which lands in a new cell and always parses; or text as it is",
    ),
    Option(
        names=("-o", "--out"),
        metavar="VAR",
        convert=_identifier,
        expects="a variable's name",
        help="also put the completion into a variable (VAR << does so silently)",
    ),
    Option(
        names=("-c", "--context"),
        metavar="WHICH",
        convert=_context_mode,
        expects="auto, none, all or a number of cells",
        help="which cells of the notebook go along: auto, none, all, or the last so many",
    ),
    Option(
        names=("--vars",),
        metavar="WHICH",
        convert=_variables,
        expects="auto, none or names such as a,b",
        help="which variables go along: auto (those that matter), none, or these",
    ),
    Option(names=("--below",), help="put the code of the answer into a new cell below"),
    Option(names=("--replace",), help="put the code of the answer in place of this cell"),
    Option(names=("--no-save",), help="keep nothing of this prompt and its answer on the disk"),
    Option(names=("--chat",), metavar="NAME", help="the conversation to talk in"),
    Option(names=("--new",), help="forget the conversation's turns first"),
    Option(names=("--stats",), help="show token counts and times below the answer"),
    Option(names=("--dry-run",), help="show the exact prompt instead of running it"),
    Option(names=("-q", "--quiet"), help="show nothing"),
)

_BY_NAME = {name: option for option in OPTIONS for name in option.names}


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A parsed line: the options that were given, by key, and the prompt as typed."""

    options: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    assign_to: str | None = None
    is_literal: bool = False  # `--` said that the prompt is one whatever it looks like


def parse_line(line: str, expand: Callable[[str], str] = str) -> PromptLine:
    """Parse the options at the start of a line; `expand` is applied to the options' texts.

    Raises
    ------
    MagicUsageError
        An option is unknown or its value is wrong; the message names the nearest match.
    """
    shielded, sources = shield(line)

    def restore(text: str) -> str:
        return expand(unshield(text, sources))

    options: dict[str, Any] = {}
    rest, is_over = _take_options(shielded, options, restore)
    assign_to = None
    if not is_over and (assignment := _ASSIGNMENT.match(rest)):
        assign_to = assignment[1]
        if not assign_to.isidentifier():
            raise MagicUsageError(f"{assign_to!r} before << is not a variable's name.")
        rest, _ = _take_options(rest[assignment.end() :], options, restore)
    return PromptLine(options, unshield(rest, sources).strip(), assign_to, is_over)


def _take_options(
    rest: str, options: dict[str, Any], restore: Callable[[str], str]
) -> tuple[str, bool]:
    """Take the options at the start of a line; tell whether `--` ended them."""
    while (word := _WORD.match(rest)) and _DASHES.match(word[1]):
        rest = rest[word.end() :]
        if word[1] == "--":
            return rest, True
        name, value, rest = _split_option(word[1], rest)
        option = _BY_NAME.get(name) or _unknown(name)
        _store(options, option, name, None if value is None else restore(value))
    return rest, False


def complete_option(before: str) -> tuple[str, list[str]] | None:
    """Return the word being typed at the end of an option line and the words it may become.

    None where options are over and the prompt has begun. For the value of an option the words are
    the option's choices, if it has any.
    """
    typing = _typing(before)
    if typing is None:
        return None
    fragment, option = typing
    if option is not None:
        return fragment, list(option.choices)
    return fragment, [name for name in _BY_NAME if name.startswith("--") or name == fragment]


def pending_option(before: str) -> str | None:
    """Return the key of the option whose value is being typed at the end of a line."""
    typing = _typing(before)
    return typing[1].key if typing is not None and typing[1] is not None else None


def _typing(before: str) -> tuple[str, Option | None] | None:
    """Return the word at the end of an option line, and the option if the word is its value."""
    rest = shield(before)[0]
    while (word := _WORD.match(rest)) is not None:
        rest = rest[word.end() :]
        if not rest:
            return (word[1], None) if word[1].startswith("-") else None
        if not _DASHES.match(word[1]) or word[1] == "--":
            return None
        name, value = _name_and_value(word[1])
        option = _BY_NAME.get(name)
        if option is None:
            return None
        if option.metavar and value is None:
            word = _WORD.match(rest)
            if word is None or word.end() == len(rest):
                return word[1] if word else "", option
            rest = rest[word.end() :]
    return "", None


def _name_and_value(word: str) -> tuple[str, str | None]:
    """Split `--seed=3`, `-n3` and `-n=3`."""
    if word[:2] in _BY_NAME and len(word) > 2:  # noqa: PLR2004
        return word[:2], word[2:].removeprefix("=")
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _split_option(word: str, rest: str) -> tuple[str, str | None, str]:
    """Return the option's name, its value if it takes one, and what follows."""
    name, value = _name_and_value(word)
    option = _BY_NAME.get(name)
    if option is None:
        return name, None, rest
    if not option.metavar:
        if value is not None:
            raise MagicUsageError(f"{name} takes no value.")
        return name, None, rest
    if value is not None:
        return name, _unquote(value), rest
    following = _WORD.match(rest)
    if following is None:
        raise MagicUsageError(f"{name} needs {option.expects}.", f"Write {name} {option.metavar}.")
    return name, _unquote(following[1]), rest[following.end() :]


def _store(options: dict[str, Any], option: Option, name: str, text: str | None) -> None:
    if text is None:
        options[option.key] = True
        return
    try:
        value = option.convert(text)
    except ValueError:
        raise MagicUsageError(f"{name} takes {option.expects}, not {text!r}.") from None
    if option.choices and value not in option.choices:
        hint = nearest(text, option.choices, f"There are: {', '.join(option.choices)}.")
        raise MagicUsageError(f"{name} takes {option.expects}, not {text!r}.", hint)
    if option.is_list:
        options.setdefault(option.key, []).append(value)
    else:
        options[option.key] = value


def _unknown(name: str) -> Option:
    raise MagicUsageError(
        f"Unknown option {name}.", nearest(name, list(_BY_NAME), "`%llm /help` lists them.")
    )


def _unquote(word: str) -> str:
    r"""Take the quotes off a word as a shell would; `\n` and `\t` become what they stand for."""
    parts: list[str] = []
    for match in _QUOTED.finditer(word):
        text = match[0]
        if match["open"]:
            raise MagicUsageError(f"The quote in {word!r} is not closed.")
        if match["single"]:
            parts.append(text[1:-1])
        elif match["double"] or match["escape"]:
            inner = text[1:-1] if match["double"] else text
            parts.append(re.sub(r"\\(.)", _escape, inner, flags=re.DOTALL))
        else:
            parts.append(text)
    return "".join(parts)


def _escape(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match[1], match[1])
