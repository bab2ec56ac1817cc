"""Compares drafts of code: tries them, and looks for faults."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.request import RawPrompt
from jupyter_llm.notebook.code.fresh import only_new
from jupyter_llm.notebook.code.names import missing_modules, unknown_names, uses_in
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.sealed.facts import is_unasked
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.notebook.values.tables import column_labels
from jupyter_llm.notebook.values.variables import lasting, plainly_mentioned, used
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, code_cells, new_cells
from jupyter_llm.tasks.contract import Contract
from jupyter_llm.tasks.examples import short
from jupyter_llm.tasks.mending import without_errors
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.notebook.code.fresh import Ran
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.code_answer import CodeCell
    from jupyter_llm.tasks.tries import Tries

    Check = Callable[..., Seen]
    """Tries the sources of a draft; takes `timeout_s` and `step` as `Tries.seen` does."""

_TRAILING_COMMENTS = re.compile(r"(?:\n[ \t]*(?:#[^\n]*)?)+\Z")
_ASKS_FOR_DEFINITION = re.compile(r"(?i)\b(?:def|define\w*|functions?|class(?:es)?|methods?)\b")
_ASKS_FOR_IMPORT = re.compile(r"(?i)\bimports?\b")
_REACHES_COLUMNS = re.compile(r"\.(?:columns|iloc|describe|corr|items)\b|\bfor \w+ in \w+\b")
_VARIES = re.compile(r"(?i)random|\brng\b|\.sample\(|shuffle|timeit|perf_counter|\bnow\(|uuid")
_SINGLE = re.compile(r"(?:u?int|float)\d*|bool_?")
_HEAD = re.compile(r"(?m)^# In\[\d+\]:\n")


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Compares drafts of one cell.

    `names`: variables that a draft may use without defining them. `tries`: runs a draft in the
    sealed copy; None skips that. `unlike`: sources that a draft must not equal. `ran`: cells that
    already ran; statements repeated from them are removed. `asked`: the request. `check`: another
    way to try a draft.
    """

    names: Container[str] = ()
    tries: Tries | None = None
    unlike: Sequence[str] = ()
    ran: Sequence[Ran] = ()
    asked: str = ""
    check: Check | None = None

    def read(
        self, completion: Completion, request: Request, *, timeout_s: float = TIMEOUT_S, step: str
    ) -> CodeAnswer:
        """Return a draft as cells, with the result of trying them.

        Raises
        ------
        KeyboardInterrupt
            The user interrupted the try.
        """
        text = completion.message.content  # what it said over and over, once
        begun = request.answer_prefix or ANSWER_PREFIX
        if isinstance(request.prompt, RawPrompt):  # a program, which goes on for ever
            text = _TRAILING_COMMENTS.sub("", text)
            begun = ANSWER_PREFIX + _HEAD.sub("", request.answer_prefix)
        is_cut_off = completion.finish_reason != "stop"
        cells = code_cells(begun + text, self.names, is_cut_off=is_cut_off) if text.strip() else ()
        answer = CodeAnswer(completion=completion, cells=cells, request=request)
        return self.judged(self._without_old(answer), timeout_s, step) if cells else answer

    def judged(
        self,
        answer: CodeAnswer,
        timeout_s: float = TIMEOUT_S,
        step: str = "Trying the code",
        *,
        is_explained: bool = False,
    ) -> CodeAnswer:
        """Return some cells, mended by rules, with the result of trying them.

        If text around the cells explains them, only errors are mended.
        """
        answer = self._tried(answer, timeout_s, step)
        if not is_explained:
            answer = self._ruled(answer, timeout_s, step)
        answer = self._looked(answer, timeout_s, step)
        doubts = self.contract.doubts(answer.source, answer.seen)
        if answer.seen is None or not answer.seen.runs:
            return replace(answer, doubts=(*answer.doubts, *doubts))
        num_lost = answer.seen.num_lost * is_unasked(self.asked, answer.source)
        values = {name: one for name, one in answer.values.items() if name in self.contract.types}
        values_text = ", ".join(f"`{name}` = {_shown(one)}" for name, one in values.items())
        facts = [one for one in answer.seen.text.split("; ") if one not in doubts]
        if _SINGLE.fullmatch(answer.seen.kind) and not answer.seen.size:  # it is not missing
            facts.append(f"gives {answer.seen.value}")
        texts = (values_text, *facts, self._unused(answer.source))
        if not doubts and not answer.seen.names and self.lacks(answer):
            doubts = ("shows nothing",)
        seen = replace(answer.seen, text="; ".join(filter(None, texts)))
        return replace(answer, num_lost=num_lost, seen=seen, doubts=(*answer.doubts, *doubts))

    def each(self, answer: CodeAnswer) -> Iterator[CodeAnswer]:
        """Yield each cell of an answer alone, with the result of trying it.

        The cells may be steps or alternatives: a cell that fails alone is tried after the cells
        before it that run.
        """
        ran: tuple[CodeCell, ...] = ()
        for cell in answer.cells:
            found = self.judged(replace(answer, cells=(cell,)), is_explained=True)
            if ran and (found.seen is None or not found.seen.runs or found.cells != (cell,)):
                behind = self.judged(replace(answer, cells=(*ran, cell)), is_explained=True)
                if behind.seen is not None and behind.seen.runs:
                    found = replace(behind, cells=behind.cells[len(ran) :])
            if found.seen is not None and found.seen.runs:
                ran += found.cells
            yield found

    def _tried(self, answer: CodeAnswer, timeout_s: float, step: str) -> CodeAnswer:
        """Return a draft with its result, called or mended if that helps."""

        def seen_of(cells: Sequence[CodeCell]) -> Seen | None:
            return self._seen(cells, timeout_s, step)

        answer = replace(answer, seen=seen_of(answer.cells))
        if self.lacks(answer) and (call := self._call_of(answer)):
            *others, last = answer.cells
            called = (*others, replace(last, source=f"{last.source}\n\n{call}"))
            if (seen := seen_of(called)) is not None and seen.runs:
                return replace(answer, cells=called, seen=seen, mends=(f"called as `{call}`",))
        return without_errors(answer, self._namespace, self.names, seen_of)

    def _ruled(self, answer: CodeAnswer, timeout_s: float, step: str) -> CodeAnswer:
        """Return a draft that runs with its value shown, and with the user's data spared."""
        seen, contract = answer.seen, self.contract
        if seen is None or not seen.runs or not self.asked or not answer.cells:
            return answer
        *others, last = answer.cells

        def run_of(source: str) -> Seen | None:
            found = self._seen([*others, replace(last, source=source)], timeout_s, step)
            return found if found is not None and found.runs else None

        for rule, mend in (
            (contract.assigned, "`inplace` on a column became an assignment"),
            (contract.dated, "whole numbers are read as years"),
        ):
            source = rule(last.source)
            if source != last.source and (found := run_of(source)):
                last, seen = replace(last, source=source), found
                answer = replace(answer, cells=(*others, last), mends=(*answer.mends, mend))
        for name in contract.harmed(answer.source, seen):
            spared = contract.spared(last.source, name)
            if spared and (found := run_of(spared)) and name not in found.changed:
                last, seen = replace(last, source=spared), found
                answer = replace(answer, mends=(*answer.mends, f"`{name}` stays as it is"))
        source = contract.shown(last.source)
        is_shown = source == last.source or seen.num_figures
        if not is_shown and (found := run_of(source)) and contract.shows_more(found, seen):
            last, seen = replace(last, source=source), found
        return replace(answer, cells=(*others, last), seen=seen)

    def _looked(self, answer: CodeAnswer, timeout_s: float, step: str) -> CodeAnswer:
        """Return a draft that runs with the results of examples, and the values asked for."""
        seen, contract, gaps = answer.seen, self.contract, self.contract.gaps(answer.source)
        is_asked = contract.examples or contract.types or gaps
        if seen is None or not seen.runs or not is_asked or self.tries is None:
            return answer
        sources = (cell.source for cell in new_cells(answer.cells, self.names))
        look = partial(contract.look, gaps=gaps)
        found = self.tries.seen(*sources, look=look, timeout_s=timeout_s, step=step)
        if found.outcome == "running" and contract.examples and timeout_s >= TIMEOUT_S:
            found = replace(seen, looked={"wrong": ["an example of the request does not end"]})
        return replace(answer, seen=found) if found.runs else answer

    def _unused(self, source: str) -> str:
        """Return which variables and columns of the request are not in the code."""
        known = dict({} if _REACHES_COLUMNS.search(source) else self._namespace)
        for name in {*used(source, known), *plainly_mentioned(self.asked, known)}:
            known |= {one: one for one in column_labels(known[name]) or () if one not in known}
        names = [one for one in plainly_mentioned(self.asked, known) if one not in source]
        text = "` nor `".join(names[:3])
        return text and f"{'uses neither' if len(names) > 1 else 'does not use'} `{text}`"

    @cached_property
    def contract(self) -> Contract:
        """The demands of the request."""
        return Contract(self.asked, self._namespace)

    @property
    def _namespace(self) -> Mapping[str, Any]:
        return self.tries.namespace if self.tries is not None else {}

    def _without_old(self, answer: CodeAnswer) -> CodeAnswer:
        ran, cells, is_old = list(self.ran), [], bool(self.ran)
        dropped: list[str] = []
        names = lasting(self._namespace)
        for cell in answer.cells:
            fresh = only_new(cell.source, ran, names, self.asked)
            ran.append((cell.source, True))
            cells.append(_shortened(cell, fresh.source) if fresh.dropped else cell)
            dropped += fresh.dropped
            is_old = is_old and fresh.is_all_old
        return replace(answer, cells=tuple(cells), dropped=tuple(dropped), is_old=is_old)

    def _seen(self, cells: Sequence[CodeCell], timeout_s: float, step: str) -> Seen | None:
        if self.tries is None:
            return None
        check = self.check or self.tries.seen
        sources = (cell.source for cell in new_cells(cells, self.names))
        seen = check(*sources, timeout_s=timeout_s, step=step)
        if seen.outcome == "running" and timeout_s < TIMEOUT_S:
            return replace(seen, outcome="untried", text="not tried to its end")
        return seen

    def lacks(self, answer: CodeAnswer) -> bool:
        """Whether a draft does not fail, but gives no result.

        A result is shown, printed, drawn, bound or changed. A function that is not called, an
        import, or an input bound again is none, unless the request asks for it.
        """
        seen = answer.seen
        if not answer.cells or (seen is not None and not seen.runs):
            return False
        if answer.is_old:
            return True
        if seen is None or seen.result or seen.printed.strip() or seen.num_figures:
            return False
        if not self.asked:
            return False
        trees = filter(None, map(parse_cell, answer.sources))
        return not any(self._is_result(node) for tree in trees for node in tree.body)

    def _is_result(self, node: ast.stmt) -> bool:
        """Whether a statement that shows nothing may have a result."""
        match node:
            case ast.Expr(value=value):
                return isinstance(value, (ast.Call, ast.Await))
            case ast.Import() | ast.ImportFrom():
                return _ASKS_FOR_IMPORT.search(self.asked) is not None
            case ast.FunctionDef() | ast.ClassDef():
                is_asked = node.name in self.contract.words or self.contract.signature
                return bool(is_asked or _ASKS_FOR_DEFINITION.search(self.asked))
            case ast.Pass():
                return False
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in self._namespace:
                return any(
                    use.name in self._namespace
                    and not isinstance(self._namespace[use.name], ModuleType)
                    for use in uses_in(value)
                )
        return True

    def _call_of(self, answer: CodeAnswer) -> str:
        """Return a call of a draft's last function, with variables named like its parameters."""
        tree = parse_cell(answer.cells[-1].source)
        node = tree.body[-1] if tree is not None and tree.body else None
        if not isinstance(node, ast.FunctionDef):
            return ""
        arguments = node.args
        num_needed = len(arguments.args) - len(arguments.defaults)
        names = [one.arg for one in arguments.args[:num_needed]]
        is_known = bool(names) and all(name in self._namespace for name in names)
        return f"{node.name}({', '.join(names)})" if is_known and not arguments.posonlyargs else ""

    def is_good(self, answer: CodeAnswer) -> bool:
        """Whether no other draft is necessary.

        A draft that cannot be tried, or takes too long, must have no fault.
        """
        is_clean = bool(answer.cells) and not answer.changes and not answer.unknown_names
        is_doubted = answer.doubts or answer.num_lost or self._is_like(answer)
        if not is_clean or is_doubted or self.lacks(answer):
            return False
        seen = answer.seen
        return seen is None or (seen.outcome != "raises" and not seen.is_deadly)

    def value_of(self, answer: CodeAnswer) -> str:
        """Return a draft's value as text, to compare drafts; "" if it cannot be compared.

        Good drafts may differ in figures, random values and values made without the user's data.
        Where the request has examples, these are the better test.
        """
        seen = answer.seen
        if not self.asked or self.contract.examples or seen is None or not seen.runs:
            return ""
        is_given = self.contract.reads_data(answer.source) and not _VARIES.search(answer.source)
        if types := self.contract.types:
            values = [_shown(answer.values[name]) for name in types if name in answer.values]
            return "; ".join(values) if is_given and len(values) == len(types) else ""
        return seen.value if is_given and not seen.num_figures else ""

    def merit(self, answer: CodeAnswer) -> tuple[float, ...]:
        """Return the quality of a draft: of two drafts the greater one is better."""
        seen = answer.seen
        wrong = (*answer.unknown_names, *answer.missing_modules, *answer.doubts)
        num_wrong = len(wrong) + answer.num_lost
        rank = 3 if seen is not None and seen.runs else 2
        if seen is not None and (seen.outcome == "raises" or seen.is_deadly):
            rank = 0
        elif self.lacks(answer):
            rank = 1
        is_whole = answer.completion.finish_reason == "stop"
        is_new = not self._is_like(answer)
        return bool(answer.cells), rank, is_new, not answer.changes, -num_wrong, is_whole

    def complaint(self, answer: CodeAnswer) -> str:
        """Return the message to the model about a draft with a fault; "" for no message."""
        seen = answer.seen
        if not answer.cells or seen is None or not seen.was_tried:
            return ""
        fault = f"raised an error:\n\n{seen.report or seen.text}"
        if seen.runs:
            fault = f"is not what was asked: {'; '.join(answer.doubts)}." if answer.doubts else ""
        fault = redact_mixed(fault).text
        return fault and (
            f"This code was run, and it {fault}\n\nWrite the corrected code, all of it."
        )

    def _is_like(self, answer: CodeAnswer) -> bool:
        return any(answer.source.split() == one.split() for one in self.unlike)


def _shown(value: object) -> str:
    return short(f"{value:,.6g}" if type(value) is float else repr(value))


def _shortened(cell: CodeCell, source: str) -> CodeCell:
    """Return a cell with fewer lines, and the remarks about its names that still hold."""
    unknown = unknown_names(source)
    return replace(
        cell,
        source=source,
        unknown_names=tuple(name for name in cell.unknown_names if name in unknown),
        missing_modules=missing_modules(source),
    )
