"""Lines of code that a model would rather see with one slip less, where it sees all the others.

What a small model says about a bug in words is worth little. What it expects is worth much: each
line that surprises it is compared to what it would be with another operator, number or name. If one
of these is far likelier in that place, the line is a suspect. Nothing is written, only read.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from itertools import accumulate
from os.path import commonprefix
from typing import TYPE_CHECKING

from jupyter_llm.common.bars import Step
from jupyter_llm.engine.request import RawPrompt, Special
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.code.variants import variants
from jupyter_llm.notebook.values.redaction import redact_source
from jupyter_llm.notebook.values.secrets import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine

LEAST_MARGIN = 2.5
"""How many nats likelier than the line that stands there a variant of it has to be."""

MAX_LINES = 12
"""The most lines that are looked at closely: those that surprise the model most."""

_SURPRISE = -2.0  # nats of a token: one in seven
_DOUBT = -0.7  # one in two
_MAX_OTHERS = 24  # variants of a line that are read
_CHARS_ABOVE = 3000
_CHARS_BELOW = 1500
_NUM_BELOW = 3  # lines that follow, where a model does not fill in
# What says little by itself, or is only a name for something.
_UNASKED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_UNASKED_TOO = (ast.Pass, ast.Global, ast.Nonlocal, ast.Break, ast.Continue, ast.Assert)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A line, counted from 1, and the one that a model would rather see in its place.

    `margin` tells how many nats likelier that one is.
    """

    line: int
    text: str
    expected: str
    margin: float


def find_suspects(
    source: str,
    engine: Engine,
    *,
    rows: Container[int] | None = None,
    show_progress: ShowProgress | None = None,
) -> tuple[Suspect, ...]:
    """The lines of a cell or a function that are likely to hold a slip, the likeliest first.

    `rows` are the lines that are asked about, counted from 0. Nothing runs.
    """
    told = redact_source(source).text
    tree = parse_cell(told)
    if tree is None or told.count("\n") != source.count("\n"):
        return ()
    lines = told.split("\n")
    asked = [n for n in _asked(tree, lines) if rows is None or n in rows]
    closely = _surprising(engine, lines, asked)
    names = _names(tree)
    found = []
    for number, index in enumerate(closely):
        if show_progress is not None:
            show_progress(Step(f"Looking at line {index + 1}", number / len(closely)))
        suspect = _compared(engine, lines, index, names)
        if suspect is not None:
            found.append(suspect)
    return tuple(sorted(found, key=lambda suspect: -suspect.margin))


def _asked(tree: ast.Module, lines: Sequence[str]) -> list[int]:
    """The lines that are worth a question, counted from 0: those of statements that compute."""
    skipped: set[int] = set()
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_unasked = is_text or isinstance(node, (*_UNASKED, *_UNASKED_TOO))
            end = node.lineno if hasattr(node, "body") else node.end_lineno or node.lineno
            (skipped if is_unasked else found).update(range(node.lineno - 1, end))
        elif isinstance(node, ast.Constant | ast.JoinedStr) and node.lineno != node.end_lineno:
            skipped.update(range(node.lineno - 1, node.end_lineno or node.lineno))
    return [n for n in sorted(found - skipped) if _is_worth(lines[n])]


def _is_worth(line: str) -> bool:
    code = line.strip()
    return any(map(str.isalnum, code)) and code[0] not in "#%!@" and HIDDEN not in code


def _names(tree: ast.Module) -> tuple[str, ...]:
    """The names of the code's own that may be taken for one another."""
    found = [
        name
        for node in ast.walk(tree)
        for name in (getattr(node, "id", None), getattr(node, "arg", None))
        if isinstance(name, str) and isinstance(node, ast.Name | ast.arg)
    ]
    return tuple(dict.fromkeys(name for name in found if not hasattr(builtins, name)))


def _surprising(engine: Engine, lines: Sequence[str], asked: Sequence[int]) -> list[int]:
    """The lines at which a model that reads on stumbles, in order.

    It is one reading of the whole, which spares most lines the close look.
    """
    start, rest = f"{lines[0]}\n", [f"{line}\n" for line in lines[1:]]
    if not asked or not start.strip():
        return list(asked)[:MAX_LINES]
    (score,) = engine.score(start, ["".join(rest)[: _CHARS_ABOVE + _CHARS_BELOW]])
    parts = engine.tokenize_texts(list(accumulate(rest)))
    ends = [0, *(len(part) for part in parts)]
    spans = {index: score.logprobs[ends[index - 1] : ends[index]] for index in asked if index}
    least = {index: min(spans.get(index, ()), default=_SURPRISE) for index in asked}
    stumbled = sorted(
        (index for index in asked if least[index] <= _SURPRISE), key=least.__getitem__
    )
    return sorted(stumbled[:MAX_LINES])


def _compared(
    engine: Engine, lines: Sequence[str], index: int, names: Sequence[str]
) -> Suspect | None:
    """A line as a suspect, if a variant of it is far likelier in its place."""
    prompt, below = _prompt(engine, lines, index)
    line = lines[index]
    (own,) = engine.score(prompt, [line + below])
    if own.logprob > -LEAST_MARGIN:
        return None
    others = _at_surprises(engine, line, _others(lines, index, names), own.logprobs)
    if not others:
        return None
    scores = engine.score(prompt, [other + below for other in others])
    best, other = max(zip(scores, others, strict=True), key=lambda pair: pair[0].logprob)
    margin = best.logprob - own.logprob
    if margin < LEAST_MARGIN:
        return None
    return Suspect(index + 1, line.strip(), other.strip(), margin)


def _at_surprises(
    engine: Engine, line: str, others: Sequence[str], logprobs: Sequence[float]
) -> list[str]:
    """The variants that part from a line where it surprises the model; others cannot win."""
    parts = [commonprefix([line, other]) for other in others]  # noqa: RUF071  of characters
    places = [len(part) for part in engine.tokenize_texts(parts)]
    # Where tokens meet is not where the texts part, so those beside count too.
    near = (logprobs[max(0, place - 1) : place + 2] for place in places)
    return [
        other for other, some in zip(others, near, strict=True) if min(some, default=0.0) <= _DOUBT
    ][:_MAX_OTHERS]


def _others(lines: Sequence[str], index: int, names: Sequence[str]) -> list[str]:
    """The variants of a line with which the code is valid, and another."""
    seen = {_dump([*lines])}
    others = []
    for other in variants(lines[index], names):
        dump = _dump([*lines[:index], other, *lines[index + 1 :]])
        if dump is not None and dump not in seen:
            seen.add(dump)
            others.append(other)
    return others


def _dump(lines: Sequence[str]) -> str | None:
    tree = parse_cell("\n".join(lines))
    return ast.dump(tree) if tree is not None else None


def _prompt(engine: Engine, lines: Sequence[str], index: int) -> tuple[RawPrompt, str]:
    """What stands around a line, and what is to follow it."""
    fim = engine.info.fim
    above = "".join(f"{line}\n" for line in lines[:index])[-_CHARS_ABOVE:]
    if fim is None:  # such a model only reads on
        return RawPrompt((above,)), "\n" + "\n".join(lines[index + 1 :][:_NUM_BELOW])
    below = "\n".join(lines[index + 1 :])[:_CHARS_BELOW]
    parts = (Special(fim.prefix), above, Special(fim.suffix), below, Special(fim.middle))
    return RawPrompt(tuple(part for part in parts if part)), "\n"
