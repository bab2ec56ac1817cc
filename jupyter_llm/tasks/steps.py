"""Does a task in several cells, each tried in a fork of the copy in which the one before ran."""

from __future__ import annotations

import ast
import re
import time
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.many import varied
from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.controls import one_line
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.completion import Chunk, PromptInterrupted
from jupyter_llm.engine.stream import PartedStream
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.code.bindings import bindings
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.failures.failure import reported_failure
from jupyter_llm.notebook.sealed.facts import RAN
from jupyter_llm.notebook.values.kinds import cut
from jupyter_llm.notebook.values.peek import own_package, short_name
from jupyter_llm.notebook.values.redaction import redact_mixed
from jupyter_llm.notebook.values.summaries import headline
from jupyter_llm.tasks.code_answer import CodeAnswer
from jupyter_llm.tasks.contract import Contract, naming
from jupyter_llm.tasks.mending import MAX_DRAFT_MENDS, MendSearch
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.tries import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.request import Request
    from jupyter_llm.engine.stream import Stream
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.tries import Tries

_MAX_REDRAWN = 2  # steps of a task that are written again after they failed
_MAX_STEPS = 20
_MAX_TOKENS = 2000  # after which no other part of a draft is written
_MAX_S = 300.0  # in which a draft is written
_MAX_AGAIN = 400  # tokens of a part that is written again
_MAX_BINDING = 120  # tokens of the cell that binds missing names
_MAX_DESCRIBED = 500  # variables
_MISSING = object()
_MAX_LINE = 80  # characters that describe a variable
# A line follows the blank one, and it does not continue the statement above.
_GAP = re.compile(r"\n[ \t]*\n+(?=(?!(?:else|elif|except|finally)\b)[^\s)\]}][^\n]*\n)")


@dataclass(frozen=True, slots=True)
class Step:
    """A cell of a task, and the result of running it after the cells before it.

    `after`: the variables that it made, changed or deleted, each in one line, "" for the latter.
    """

    source: str
    seen: Seen
    after: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The result in one line."""
        told = self.seen.text.removeprefix(RAN).removeprefix("; ")
        result = one_line(redact_mixed(self.seen.result or self.seen.printed).text)
        result = f"shows {_span(cut(result, _MAX_LINE))}" if self.seen.runs and result else ""
        return "; ".join(filter(None, (told, result))) or "runs"


@dataclass(frozen=True, slots=True)
class Change:
    """A variable before the steps and after them, each in one line; "" where it does not exist."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Rich):
    """A task as cells that ran one after another in sealed copies. Shows as cells with results.

    `answer` is all of the code with its remark. `changes` are the variables that the cells make or
    change. `read` are those that they read, each in one line. Nothing has changed in the kernel.
    """

    answer: CodeAnswer
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The cells; if they were not tried, those of the answer."""
        return tuple(step.source for step in self.steps) or self.answer.landing

    @property
    def values(self) -> dict[str, Any]:
        """The numbers and texts of the names that the user gave with types."""
        return self.answer.values

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all drafts."""
        return self.answer.num_tokens

    @property
    def report(self) -> str:
        """What each cell does and which variables change, as Markdown."""
        return "\n\n".join(filter(None, (self._list, self._table)))

    @property
    def proposal(self) -> Proposal:
        """The cells as a proposal of new ones."""
        first, *others = self.sources or ("",)
        return Proposal(
            source=first,
            below=tuple(others),
            completion=self.answer.completion,
            verdict="\n\n".join(filter(None, (self.answer.note, self.report))),
        )

    def __str__(self) -> str:
        blocks = map(code_block, self.sources)
        return "\n\n".join(filter(None, (*blocks, self.report, self.answer.note)))

    @property
    def _list(self) -> str:
        lines = (f"{n}. {step.text}" for n, step in enumerate(self.steps, 1))
        return "\n".join(lines) if len(self.steps) > 1 else ""

    @property
    def _table(self) -> str:
        rows = [[_span(one.name), _span(one.before), _span(one.after)] for one in self.changes]
        return markdown_table(("variable", "before", "after"), rows) if rows else ""


def shown_steps(answer: CodeAnswer, tries: Tries) -> Steps:
    """Return an answer as steps: each paragraph runs in a fork of the copy before.

    The steps end with the first that does not run; the rest of the code belongs to it.
    `PromptInterrupted`: the user interrupted; it holds the answer.
    """
    copies = tries.chain(_described) if answer.cells else None
    if copies is None:
        return Steps(answer=answer)
    found: list[Step] = []
    before = {name: described(name, tries.namespace) for name in _used(answer.landing)}
    texts = (part.strip("\n") for source in answer.landing for part in paragraphs(f"{source}\n"))
    parts = [text for text in texts if has_statements(text)]
    parts[_MAX_STEPS:] = ["\n\n".join(parts[_MAX_STEPS:])] * (len(parts) > _MAX_STEPS)
    with copies:
        for at, part in enumerate(parts):
            try:
                seen = copies.push(part, tick=tries.ticking(f"Trying cell {at + 1}"))
            except KeyboardInterrupt:
                raise PromptInterrupted(answer.completion, best=Steps(answer=answer)) from None
            if not seen.runs:
                found.append(Step("\n\n".join(parts[at:]), seen))
                break
            found.append(Step(part, seen, _after(part, seen)))
    last = {name: line for step in found for name, line in step.after.items()}
    changes = (Change(name, described(name, tries.namespace), last[name]) for name in last)
    read = {name: line for name, line in before.items() if line}
    return Steps(answer=answer, steps=tuple(found), changes=tuple(changes), read=read)


def _used(sources: Iterable[str]) -> set[str]:
    trees = (parse_cell(source) for source in sources)
    return {one.name for tree in trees if tree is not None for one in uses_in(tree)}


def _after(source: str, seen: Seen) -> dict[str, str]:
    """Return the variables that a cell made, changed or deleted, each in one line.

    If several are one object, all of them have changed.
    """
    import msgspec

    try:
        known = msgspec.convert(seen.looked, dict[str, tuple[str, int]])
    except msgspec.ValidationError:
        return {}
    shared = {known[name][1] for name in seen.changed if name in known} - {0}
    others = (name for name, (_, one) in known.items() if one in shared)
    names = dict.fromkeys((*seen.names, *seen.changed, *others))
    deleted = {one.name: "" for one in bindings(source) if one.verb == "deletes"}
    return deleted | {name: known[name][0] for name in names if name in known}


class StepStream(PartedStream):
    """A draft whose paragraphs run in a chain as they are written; its text is what ran.

    Rules mend a paragraph that raises, or else the model writes it again at a higher temperature,
    since a small model would write the same again. The draft ends once it binds the names that the
    user gave with types. If names are missing, one more cell binds them. After a paragraph that
    cannot be tried, the rest is not tried either. After 20 paragraphs, 2000 tokens or at `end_s` of
    the monotonic clock, by default in 300 seconds, or if the engine fails, the draft is what ran;
    `stopped` is the reason.

    `request` is that of the last part, which continues the parts before; `parts` are all requests
    with their answers, and `mends` the changes by rules.
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        tries: Tries,
        contract: Contract,
        end_s: float | None = None,
    ) -> None:
        super().__init__(request)
        self._began_s = time.monotonic()
        self._end_s = self._began_s + _MAX_S if end_s is None else end_s
        self.stopped = ""
        self.mends: list[str] = []
        self.parts: list[tuple[Request, Future[Completion]]] = []
        self._engine, self._tries, self._contract = engine, tries, contract
        self._chain = tries.chain(lambda names: {one: _kind(names, one) for one in contract.types})
        self._kinds: dict[str, str] = {}
        self._is_blind = self._chain is None

    def _close(self) -> None:
        super()._close()
        if self._chain is not None:
            self._chain.close()

    def _parts(self, tick_s: float | None) -> Iterator[Chunk]:
        return map(Chunk, self._paragraphs(tick_s))

    def _paragraphs(self, tick_s: float | None) -> Iterator[str]:
        """Yield what runs; have what failed written again, and names bound that are missing."""
        request, num_redrawn, is_binding = self._first, 0, False
        while True:
            try:
                outcome = yield from self._read(request, tick_s)
            except JupyterLLMError as error:
                if not self._texts:
                    raise
                self._keep(error)
                break
            if self._is_over or outcome == "done":
                break
            if outcome == "ended" and (not self._missing or is_binding or not self._texts):
                break
            if self._is_stopped():
                break
            if outcome == "ended":
                is_binding = True
                asked = naming({name: self._contract.types[name] for name in self._missing})
                self._texts.append(f"\n\n# {asked}\n")
            prefix = self._first.answer_prefix + self.written
            request = replace(self._first, answer_prefix=prefix, conversation=None)
            most = _MAX_BINDING if is_binding else _MAX_AGAIN
            most = min(most, request.params.max_tokens or most, _MAX_TOKENS - self._num_tokens)
            request = replace(request, params=replace(request.params, max_tokens=most))
            if outcome == "raises":
                num_redrawn += 1
                if num_redrawn > _MAX_REDRAWN:  # whoever judges the draft reports the error
                    self.request, self._completion = self._failed
                    break
                request = varied(request, num_redrawn)

    def _keep(self, error: JupyterLLMError) -> None:
        """Keep what ran before an error of the engine, and report the error below the code."""
        self.stopped = f"stopped: {str(error).rstrip('.')}"
        if self._stream is not None and (last := self._stream.interrupt().completion) is not None:
            self.request = self._first
            self._num_tokens += last.usage.completion_tokens
            self._completion = replace(last, text=self.written, finish_reason="stop")

    def _is_stopped(self) -> bool:
        """Whether a bound is reached; note which one."""
        took_s, at_s = time.monotonic() - self._began_s, self._end_s - self._began_s
        num_steps = self._chain.depth if self._chain is not None else 0
        bounds = (
            (num_steps, _MAX_STEPS, f"{num_steps} cells"),
            (self._num_tokens, _MAX_TOKENS, f"{self._num_tokens} tokens"),
            (took_s, at_s, f"{took_s:.0f} seconds"),
        )
        reached = next((text for one, most, text in bounds if one >= most), "")
        self.stopped = f"stopped after {reached}" if reached else ""
        return bool(reached)

    def _read(self, request: Request, tick_s: float | None) -> Generator[str, None, str]:
        """Have a part written, yield what runs of it, and return how that ended."""
        rest, own, outcome, failed, last = "", "", "ended", "", ""
        self._stream = None
        with ask(self._engine, request, "draft") as stream:
            self._stream = stream
            self.parts.append((request, stream.future))
            if self._is_over:
                stream.cancel()
            for piece in chain((chunk.text for chunk in stream.chunks(tick_s)), (None,)):
                yield ""
                if self._is_stopped():
                    outcome = "done"
                    break
                rest += "\n" if piece is None else piece
                if piece is not None and "\n" not in piece:
                    continue  # no paragraph ends inside a line
                *whole, rest = paragraphs(rest)
                for part in [*whole, rest] if piece is None else whole:
                    if outcome == "ended" and (part in whole or has_statements(part)):
                        is_torn = part not in whole and _is_torn(stream, part)
                        outcome, ran = ("raises", "") if is_torn else self._run(part)
                        own, failed, last = own + ran, "" if ran else part, part
                        yield ran
                if outcome != "ended":
                    break
            stream.cancel()
            completion = stream.future.result()
        if piece is None:  # the end of the text
            own = own.removesuffix("\n")
            is_last = last == rest or not has_statements(rest)  # nothing follows what was mended
            outcome = "ended" if outcome == "mended" and is_last else outcome
        self._num_tokens += completion.usage.completion_tokens
        reason = completion.finish_reason if outcome == "ended" else "stop"
        self._failed = request, replace(completion, text=own + failed, finish_reason=reason)
        if own or self._completion is None:
            self.request = request
            self._completion = replace(completion, text=own, finish_reason=reason)
        return outcome

    def _run(self, part: str) -> tuple[str, str]:
        """Run a paragraph after those before; return how that ended, and what ran."""
        outcome, source = "ended", part.strip("\n")
        if self._chain is not None and not self._is_blind:
            seen = self._push(source)
            if seen.outcome == "raises":
                source, seen = self._mended(source, seen)
                outcome, part = "mended", f"{source}\n\n"
            if seen.outcome == "raises":
                return "raises", ""
            self._is_blind = not seen.runs
            self._kinds = seen.looked if isinstance(seen.looked, dict) else self._kinds
        self._texts.append(part)
        if (self._contract.types and not self._missing) or self._is_stopped():
            outcome = "done"
        return outcome, part

    def _mended(self, source: str, seen: Seen) -> tuple[str, Seen]:
        """Return a paragraph that raises as sure rules mend it, with what is seen of it then."""
        search = MendSearch(
            lambda sources: self._push(*sources), self._tries.namespace, max_mends=MAX_DRAFT_MENDS
        )
        failure = reported_failure(seen.error_kind, seen.message, source, seen.lineno)
        for found in search.mended((source,), failure, (0, seen.lineno)):
            if found.seen.runs and found.is_sure:
                self.mends += [mend.reason for mend in found.mends]
                return found.sources[0], found.seen
            if found.seen.runs and self._chain is not None:
                self._chain.undo(self._chain.depth - 1)
        return source, seen

    def _push(self, source: str) -> Seen:
        from jupyter_llm.notebook.sealed.seen import untried

        assert self._chain is not None
        if why := self._tries.unrun.missing([self.written, source], self._tries.namespace):
            return untried(why)
        step = f"Trying cell {self._chain.depth + 1}"
        return self._chain.push(source, timeout_s=TIMEOUT_S, tick=self._tries.ticking(step))

    @property
    def _missing(self) -> list[str]:
        """The names that the user gave and that are not computed yet."""
        if self._is_blind:
            bound = {one.name for one in bindings(self.written)}
            return [name for name in self._contract.types if name not in bound]
        copied = self._contract.literals(self.written)
        return [*dict.fromkeys((*self._contract.unbound(self._kinds), *copied))]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a program, each with the blank lines behind it, and the rest.

    A paragraph is complete once the next one has a line. Imports belong to the next one.
    """
    found, start = [], 0
    for gap in _GAP.finditer(text):
        if has_statements(text[start : gap.start()], is_valid=True):
            found.append(text[start : gap.end()])
            start = gap.end()
    return [*found, text[start:]]


def has_statements(source: str, *, is_valid: bool = False) -> bool:
    """Whether a source has statements, or may have some once it is valid; imports do not count."""
    tree = parse_cell(source)
    if tree is None:
        return not is_valid
    return not all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


def _is_torn(stream: Stream, part: str) -> bool:
    """Whether the end of a stream was cut off inside a statement."""
    return stream.future.result().finish_reason != "stop" and parse_cell(part) is None


def _described(namespace: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """Describe the variables in a copy, each in a line and by the id of an object with contents."""
    names = [name for name in namespace if type(name) is str and not name.startswith("_")]
    return {
        name: (described(name, namespace), _id_of(namespace[name]))
        for name in names[-_MAX_DESCRIBED:]
    }


def _id_of(value: object) -> int:
    """Return the id of a value that can change, as far as it has no hash for that; else 0."""
    return id(value) if type(value).__hash__ is None else 0


def described(name: str, variables: Mapping[str, Any]) -> str:
    """Return a line that describes a variable, "" if it does not exist. Runs no code of it."""
    value = variables.get(name, _MISSING)
    if value is _MISSING:
        return ""
    if own_package(value) == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    return headline(name, value, max_chars=_MAX_LINE)


def _kind(namespace: dict[str, Any], name: str) -> str:
    return short_name(type(namespace[name])) if name in namespace else ""


def _span(text: str) -> str:
    return f"`{text.replace('`', ' ')}`" if text else ""
