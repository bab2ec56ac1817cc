"""The declaration, exit codes and outputs of all commands."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from inspect import cleandoc
from typing import Any, NamedTuple

from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.common.tables import aligned

Run = Callable[[argparse.Namespace], int]
"""Carries out a command and returns its exit code. `--help` shows its docstring."""

OK, WRONG, TROUBLE, INTERRUPTED = 0, 1, 2, 130

# Advice in texts for notebooks, and its form for a shell.
_ADVICE = (
    (re.compile("%llm /use --allow"), "jupyter llm allow"),
    (re.compile(r"%llm /use\b"), "jupyter llm run --model"),
    (re.compile(r"%llm /(models|alias|pull|doctor|help)\b"), r"jupyter llm \1"),
    (re.compile("%pip "), "pip "),
)


class Argument(NamedTuple):
    """An argument of a command, and its completions on Tab."""

    names: tuple[str, ...]
    options: dict[str, Any]
    completer: Callable[..., list[str]] | None = None


_DECLARED: dict[str, tuple[Run, tuple[Argument, ...], str | None]] = {}


def command(
    *arguments: Argument, json_help: str | None = "print JSON, for machines"
) -> Callable[[Run], Run]:
    """Declare a command with the function's name; it has `--json` unless `json_help` is None."""

    def declare(run: Run) -> Run:
        _DECLARED[run.__name__.strip("_")] = run, arguments, json_help
        return run

    return declare


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument for argparse."""
    return Argument(names, options)


def model_argument(*names: str, **options: Any) -> Argument:
    """Return a command-line argument that takes a model's name.

    Shells complete the name on Tab.
    """
    usual = {"metavar": "MODEL", "help": "a model's name, its beginning, or a path"}
    return Argument(names, {**usual, **options}, _model_names)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add all declared commands to a parser."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, arguments, json_help) in _DECLARED.items():
        description = cleandoc(run.__doc__ or "")
        summary = description.partition("\n")[0].rstrip(".")
        one = commands.add_parser(
            name,
            help=summary[:1].lower() + summary[1:],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(run=run)
        if json_help is not None:
            one.add_argument("--json", action="store_true", help=json_help)
        for names, options, completer in arguments:
            added = one.add_argument(*names, **options)
            added.completer = completer  # type: ignore[attr-defined]  # argcomplete looks for it


def _model_names(prefix: str, **_typed: object) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from jupyter_llm.models.aliases import aliases
    from jupyter_llm.models.discover import list_models

    names = [*aliases(), *(entry.name for entry in list_models())]
    return names + FilesCompleter(("gguf",))(prefix)


def print_message(command: str, text: str) -> None:
    """Print a message for people on one line, beside the output for programs."""
    print(f"jupyter llm {command}: {one_line(in_shell(text))}", file=sys.stderr, flush=True)


def in_shell(text: str) -> str:
    """Return a text for notebooks with its advice in the form for a shell."""
    for pattern, words in _ADVICE:
        text = pattern.sub(words, text)
    return text


def show(text: str) -> None:
    """Print a text for people, with aligned tables and without control characters."""
    print(aligned(plain(in_shell(text))), flush=True)


def show_json(value: object) -> None:
    """Print a value for programs; paths and other types become texts."""
    print(json.dumps(value, indent=1, default=str), flush=True)


def print_result(options: argparse.Namespace, value: object, text: object) -> int:
    """Print a value for programs, or a text for people, by the option `--json`."""
    if options.json:
        show_json(value)
    else:
        show(str(text).replace("**", ""))
    return OK


def agrees(question: str) -> bool:
    """Ask the user at the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
