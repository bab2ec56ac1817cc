"""Which of several drafts of code is the best: what comes of them, and what speaks against them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.request import RawPrompt
from jupyter_llm.notebook.code.fresh import only_new
from jupyter_llm.notebook.code.names import missing_modules, unknown_names
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.notebook.values.variables import kinds_in
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, code_cells, new_cells
from jupyter_llm.tasks.doubts import doubts
from jupyter_llm.tasks.mending import without_errors
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.code_answer import CodeCell
    from jupyter_llm.tasks.tries import Tries

    Check = Callable[..., Seen]
    """Tries the sources of a draft; takes `timeout_s` and `step` as `Tries.seen` does."""

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_TRAILING_COMMENTS = re.compile(r"(?:\n[ \t]*(?:#[^\n]*)?)+\Z")
_CORRECT = "Write the corrected code, all of it."
_VARIABLES = "\n\nVariables at the top level:\n"
_NEXT = "That has run already. Write the code of the next cell, which goes on from it: {asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What drafts are held against.

    They may use `names`, are tried with `tries` unless there are none, and are to be `unlike` some
    code. Of the cells that `ran` nothing is to come again, unless that was `asked` for. `check`
    tries them in another way.
    """

    names: Container[str] = ()
    tries: Tries | None = None
    unlike: str | None = None
    ran: Sequence[str] = ()
    asked: str = ""
    check: Check | None = None

    def read(
        self, completion: Completion, request: Request, *, timeout_s: float = TIMEOUT_S, step: str
    ) -> CodeAnswer:
        """A draft as cells, with what is known of them once they were tried.

        Raises
        ------
        KeyboardInterrupt
            The user interrupted the try.
        """
        is_cut_off = completion.finish_reason != "stop"
        said = completion.message.content  # what it said over and over, once
        if isinstance(request.prompt, RawPrompt):  # a program goes on for ever
            said = _TRAILING_COMMENTS.sub("", said)
        text = (request.answer_prefix or ANSWER_PREFIX) + said
        cells = code_cells(text, self.names, is_cut_off=is_cut_off) if said.strip() else ()
        answer = CodeAnswer(completion=completion, cells=cells, request=request)
        if not cells:
            return answer
        answer = self._without_old(answer)

        def seen_of(cells: Sequence[CodeCell]) -> Seen | None:
            return self._seen(cells, timeout_s, step)

        answer = replace(answer, seen=seen_of(answer.cells))
        if answer.seen is None or answer.seen.outcome not in ("runs", "raises"):
            return replace(answer, doubts=doubts(answer.source, self._namespace))
        return without_errors(answer, self._namespace, self.names, seen_of)

    @property
    def _namespace(self) -> Mapping[str, Any]:
        return self.tries.namespace if self.tries is not None else {}

    def _without_old(self, answer: CodeAnswer) -> CodeAnswer:
        if not self.ran:
            return answer
        ran, kinds = list(self.ran), kinds_in(self._namespace)
        found = []
        for cell in answer.cells:
            found.append(only_new(cell.source, ran, kinds, self.asked))
            ran.append(cell.source)
        cells = (
            _shortened(cell, fresh.source) if fresh.source != cell.source else cell
            for cell, fresh in zip(answer.cells, found, strict=True)
        )
        return replace(
            answer,
            cells=tuple(cells),
            dropped=tuple(text for fresh in found for text in fresh.dropped),
            made_up=tuple(text for fresh in found for text in fresh.made_up),
            is_old=all(fresh.is_all_old for fresh in found),
        )

    def _seen(self, cells: Sequence[CodeCell], timeout_s: float, step: str) -> Seen | None:
        if self.tries is None:
            return None
        check = self.check or self.tries.seen
        sources = (cell.source for cell in new_cells(cells, self.names))
        seen = check(*sources, timeout_s=timeout_s, step=step)
        if seen.outcome == "running" and timeout_s < TIMEOUT_S:
            return replace(seen, outcome="untried", text="not tried to its end")
        return seen

    def is_good(self, answer: CodeAnswer) -> bool:
        """Whether no other draft need be written.

        Of what cannot be tried, or takes too long, nothing may speak against it.
        """
        is_clean = bool(answer.cells) and not answer.changes and not answer.unknown_names
        if not is_clean or answer.is_old or answer.doubts or self._is_like(answer):
            return False
        if answer.seen is None or not answer.seen.was_tried:
            return answer.seen is None or not answer.seen.is_deadly
        return answer.seen.outcome == "running" or (answer.seen.runs and _gives(answer))

    def merit(self, answer: CodeAnswer) -> tuple[float, ...]:
        """How good a draft is: of two the greater one is the better."""
        num_wrong = len(answer.unknown_names) + len(answer.missing_modules) + len(answer.doubts)
        num_kept = sum(map(_num_code, answer.sources))
        return (
            bool(answer.cells),
            _rank(answer),
            not self._is_like(answer),
            not answer.changes,
            -len(answer.mends),
            -num_wrong,
            _gives(answer),
            answer.completion.finish_reason == "stop",
            num_kept / max(_num_code(answer.completion.text), 1),
        )

    def complaint(self, answer: CodeAnswer) -> str:
        """What to tell the model that wrote a draft, so that it mends it; "" for nothing."""
        if not answer.cells:
            return ""
        if answer.is_old:
            return _NEXT.format(asked=self.asked)
        if answer.seen is not None and answer.seen.outcome == "raises":
            report = answer.seen.report.partition(_VARIABLES)[0]  # these are told already
            found = _ADDRESS.sub("0x…", report or answer.seen.text)  # another one each time
            told = redact_mixed(found).text
            return f"This code was run, and it raised an error:\n\n{told}\n\n{_CORRECT}"
        wrong = [*(f"`{name}` is not defined" for name in answer.unknown_names), *answer.doubts]
        if not wrong:
            return ""
        return f"This cannot be right in it: {'; '.join(wrong)}.\n\n{_CORRECT}"

    def _is_like(self, answer: CodeAnswer) -> bool:
        return self.unlike is not None and answer.source.split() == self.unlike.split()


def _shortened(cell: CodeCell, source: str) -> CodeCell:
    """A cell with some lines less, and what is said of its names without them."""
    unknown = unknown_names(source)
    return replace(
        cell,
        source=source,
        unknown_names=tuple(name for name in cell.unknown_names if name in unknown),
        missing_modules=missing_modules(source),
    )


def _rank(answer: CodeAnswer) -> int:
    """What was seen, the better the greater: what is not known to fail is in between."""
    if answer.seen is not None and (answer.seen.outcome == "raises" or answer.seen.is_deadly):
        return 0
    if answer.is_old:
        return 1
    return 3 if answer.seen is not None and answer.seen.runs else 2


def _gives(answer: CodeAnswer) -> bool:
    """Whether something comes of a draft: a result, a name, a picture, or a change in place."""
    seen = answer.seen
    if seen is None or not seen.runs:
        return False
    if seen.result or seen.printed.strip() or seen.names or seen.num_figures:
        return True
    return any(map(_changes_something, answer.sources))


def _changes_something(source: str) -> bool:
    """Whether some code sets a part of something, or calls a method for what it does."""
    tree = parse_cell(source)
    for node in ast.walk(tree) if tree is not None else ():
        match node:
            case ast.Attribute(ctx=ctx) | ast.Subscript(ctx=ctx) if not isinstance(ctx, ast.Load):
                return True
            case ast.Expr(value=ast.Call(func=ast.Attribute())):
                return True
    return False


def _num_code(source: str) -> int:
    """Count the lines that hold code."""
    lines = map(str.strip, source.split("\n"))
    return sum(bool(line) and not line.startswith("#") for line in lines)
