"""The context of a request for code to a small model, also as a program.

A small model copies what it reads, also cells that are not relevant. So the prompt includes the
cells that the code may build on, and the variables right before the request. A model below 2B
parameters writes the next cell of a program at least as well as it answers a chat, and with a third
of the tokens: it has read many programs, and adds no words around the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from string import ascii_letters

from jupyter_llm.chat.budget import source_chars
from jupyter_llm.chat.context import Context, Turn
from jupyter_llm.chat.question import ChatQuestion, asked_in
from jupyter_llm.engine.constraint import BeginsWith
from jupyter_llm.engine.request import RawPrompt, Request
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import prompt_source, without_setup
from jupyter_llm.notebook.code.bindings import bindings, bindings_of, mutated_in
from jupyter_llm.notebook.code.fresh import Ran
from jupyter_llm.notebook.code.marks import unmark
from jupyter_llm.notebook.code.syntax import parse_cell

_NUM_LAST = 2  # cells that are told whatever they do
# Where the next cell of a program or a new paragraph would follow, the code is there.
_ENDS = ("\n# In[", "\n\n\n# ", "\n\n\n\n")
# It begins with code, or else a model says the request in other words.
_BEGINNINGS = BeginsWith(tuple(ascii_letters + "_([{@"))
_BLOCK = re.compile(r"```python\n(.*?)\n```(?:\s+|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Script:
    """A prompt that is a program: the earlier cells, then the head of the next cell.

    The model continues it with that cell's code. `number` is the next cell's number. `ends` are
    stop texts in addition to the usual ones.
    """

    prompt: RawPrompt
    number: int
    ends: tuple[str, ...] = ()

    def first(self, request: Request, begin: str = "") -> Request:
        """Return a request for the same code as the next cell of the program.

        `begin` is the start of the code, with the end of its line.
        """
        params = replace(request.params, stop=(*request.params.stop, *_ENDS, *self.ends))
        constraint = None if begin else _BEGINNINGS
        return replace(
            request, prompt=self.prompt, answer_prefix=begin, constraint=constraint, params=params
        )

    def following(self, request: Request, written: str) -> Request:
        """Return a request for the cell after the written one."""
        return replace(request, answer_prefix=f"{written}\n\n{_head(self.number + 1)}")


def as_script(context: Context, allowed: int) -> Script | None:
    """Return a request for code as a program.

    Cells are sources; rules, variables and the request are comments. None if a program cannot say
    everything: attachments, a system text, cells that failed, or turns that were not about code.
    """
    cells = [part.cell for part in context.cells if part.cell is not None]
    codes = [(asked_in(turn.prompt), _code(turn)) for turn in context.turns]
    if context.system or context.attachments or context.front:
        return None
    if any(cell.has_failed for cell in cells) or not all(code for _, code in codes):
        return None
    sources = [prompt_source(cell, source_chars=source_chars(allowed)) for cell in cells]
    numbers = [cell.execution_count or 0 for cell in cells]
    parts = [f"{_head(number)}{source}" for number, source in zip(numbers, sources, strict=True)]
    if context.rules is not None:
        parts.insert(0, _comment(context.rules.sent))
    for asked, code in codes:  # what ran since then is told as a cell
        if not any(f"\n{code}\n" in f"\n{source}\n" for source in sources):
            parts.append(f"{_comment(asked)}\n{code}")
    if context.variables:
        parts.append("\n".join(f"# {_fact(part.sent)}" for part in context.variables))
    number = max(numbers, default=0) + 1
    parts.append(f"{_head(number)}{_comment(asked_in(context.prompt))}\n")
    return Script(
        RawPrompt((*(f"{part}\n\n" for part in parts[:-1]), parts[-1])),
        number,
        tuple(f"\n# {part.variable}: " for part in context.variables),  # it says them again
    )


def relevant_turns(
    asked: ChatQuestion, turns: tuple[Turn, ...], cells: Iterable[CellEvent]
) -> tuple[Turn, ...]:
    """Return the turns of a request for code: those it refers to, or whose names it uses.

    It refers to the last code and what was said about it, to a list that it counts in, or to the
    previous words if there was no code.
    """
    if not turns or not asked.is_code or asked.context == "all":
        return turns
    bound = {one.name for cell in cells for one in bindings(cell.source)}
    text = asked_in(asked.prompt)
    first = _first_relevant(text, turns, bound)
    relevant: list[Turn] = []
    for at, turn in reversed([*enumerate(turns)]):
        code = _code(turn)  # it has not run where no cell binds its names
        used = {*re.findall(r"\w{2,}", text)} - bound
        if at >= first or used & {one.name for one in bindings(code)}:
            relevant.insert(0, turn)
            text += f"\n{code}"
    return tuple(relevant)


def _first_relevant(prompt: str, turns: Sequence[Turn], bound: Container[str]) -> int:
    """Return the index of the first turn that a prompt refers to; the number of turns for none."""
    from jupyter_llm.notebook.cells.pointing import counts_in_list, points_back  # long patterns

    if not points_back(prompt, bound):
        return len(turns)
    is_list = counts_in_list(prompt)
    places = [at for at, turn in enumerate(turns) if bool(_code(turn)) is not is_list]
    return places[-1] if places else len(turns) - 1


def _code(turn: Turn) -> str:
    """Return the code in the answer of a turn."""
    return "\n\n".join(_BLOCK.findall(turn.completion.text.strip()))


def _head(number: int) -> str:
    return f"# In[{number}]:\n"


def _fact(text: str) -> str:
    """Return what a variable is, and its columns, in one line: values would be copied."""
    first, *more = text.strip().split("\n")
    return "; ".join((first, *(line for line in more[:1] if line.startswith("columns:"))))


def _comment(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.strip().split("\n"))


def needed_cells(
    cells: Sequence[CellEvent], relevant: Container[CellEvent] = ()
) -> tuple[CellEvent, ...]:
    """Return the cells that import, define or bind something, the last two, and the `relevant`.

    If a cell ran more than once, its latest run is returned.
    """
    latest = {cell.cell_id or cell.number: cell for cell in cells}.values()
    candidates = [cell for cell in latest if without_setup(unmark(cell.source))]
    last = candidates[-_NUM_LAST:]
    return tuple(
        cell
        for cell in candidates
        if cell in last or cell in relevant or (not cell.has_failed and bindings(cell.source))
    )


def literal_names(cells: Iterable[CellEvent]) -> frozenset[str]:
    """Return the variables whose value is a literal in some cells: a summary would add nothing."""
    found: set[str] = set()
    for cell in cells:
        tree = parse_cell(cell.source)
        for node in tree.body if tree is not None else ():
            with suppress(RecursionError):  # a chain of hundreds of `elif`
                found.difference_update(binding.name for binding in bindings_of(node))
            found -= mutated_in(node)
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value):
                    found.add(name)
    return frozenset(found)


def sources_that_ran(cells: Iterable[CellEvent]) -> list[Ran]:
    """Return the sources of cells in the order of their latest runs, and whether they failed."""
    latest = sorted(cells, key=lambda cell: cell.counts[-1] or 0)
    return [(cell.source, not cell.has_failed) for cell in latest]


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
