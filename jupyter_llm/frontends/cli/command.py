"""What all commands have in common: how they are declared, how they end, and what they print."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.common.tables import aligned

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  it has no other name

Run = Callable[[argparse.Namespace], int]
"""Carries out a command and returns its exit code."""

OK, WRONG, TROUBLE, INTERRUPTED = 0, 1, 2, 130

# What texts for notebooks advise, as a shell has it.
_ADVICE = (
    (re.compile(r"%llm /use\b"), "jupyter llm run --model"),
    (re.compile(r"%llm /(models|alias|pull|tune|doctor|help)\b"), r"jupyter llm \1"),
    (re.compile("%pip "), "pip "),
)


def add_command(
    commands: Commands,
    name: str,
    run: Run,
    *,
    summary: str,
    description: str = "",
    epilog: str = "",
    json_help: str | None = "print JSON, for machines",
) -> argparse.ArgumentParser:
    """Declare a command; it has `--json` unless there is nothing to print so."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    if json_help is not None:
        parser.add_argument("--json", action="store_true", help=json_help)
    return parser


def add_model(parser: argparse.ArgumentParser, *names: str, **options: Any) -> None:
    """Declare the argument that names a model, which shells complete."""
    options = {"metavar": "MODEL", "help": "a model's name, its beginning, or a path", **options}
    argument = parser.add_argument(*names, **options)
    argument.completer = _model_names  # type: ignore[attr-defined]  # argcomplete looks for it


def _model_names(prefix: str, **_typed: object) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from jupyter_llm.models.aliases import aliases
    from jupyter_llm.models.discover import list_models

    names = [*aliases(), *(entry.name for entry in list_models())]
    return names + FilesCompleter(("gguf",))(prefix)


def say(command: str, text: str) -> None:
    """Tell people, beside what is printed for programs, in one line."""
    print(f"jupyter llm {command}: {one_line(in_shell(text))}", file=sys.stderr, flush=True)


def in_shell(text: str) -> str:
    """A text for notebooks, with what is typed in a shell in place of what it advises."""
    for pattern, words in _ADVICE:
        text = pattern.sub(words, text)
    return text


def show(text: str) -> None:
    """Print a text for people, with its tables aligned; a terminal obeys none of it."""
    print(aligned(plain(in_shell(text))), flush=True)


def show_json(value: object) -> None:
    """Print a value for programs; paths and what else JSON has not become texts."""
    print(json.dumps(value, indent=1, default=str), flush=True)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values below one another."""
    rows = [(name, str(value)) for name, value in facts]
    width = max(len(name) for name, _ in rows)
    show("\n".join(f"{name:{width}}  {one_line(value)}" for name, value in rows))


def agrees(question: str) -> bool:
    """Ask whoever sits at the terminal; elsewhere the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
