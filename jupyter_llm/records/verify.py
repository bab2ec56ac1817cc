"""Writes recorded answers again and compares them, or reads the likelihood of their tokens."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.log import RecordedAnswer
from jupyter_llm.ask.prompt_store import KeptPrompt
from jupyter_llm.common.bars import ShowProgress, Step, showing
from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.common.markdown import Markdown, code_block, untrusted_markdown
from jupyter_llm.common.tables import count_of, markdown_table
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.constraint import Exactly
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.provenance import Provenance, text_sha256
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.tokens import NUM_OTHERS
from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError, OptionError, ProvenanceError
from jupyter_llm.models.fingerprint import file_sha256

Result = Literal["same", "different", "not replayable"]

ALTERED = "somebody changed the record: its digest does not match"
_MAX_DIFF_LINES = 200
_NOT_PROMISED = {
    "fast": "the same text is promised only with a seed or at temperature 0",
    "exact": "the same text is not promised: the self-test failed on the machine that wrote it",
}
_HEADER = ("", "model", "seed", "result", "remarks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of writing one answer again.

    `remarks` give the reason if it cannot be replayed, and other facts. `diff` leads from the text
    in the notebook to the new one.
    """

    place: str
    result: Result
    record: Provenance | None = None
    remarks: tuple[str, ...] = ()
    diff: str = ""

    @property
    def is_altered(self) -> bool:
        """Whether the record was edited."""
        return self.record is not None and self.record.is_altered


@dataclass(frozen=True, slots=True)
class VerifyReport(Rich):
    """The verdicts in order; shows as a table with the diffs below."""

    rows: tuple[Verdict, ...]

    @property
    def all_same(self) -> bool:
        """Whether every text is the same, and no record was altered."""
        return all(row.result == "same" and not row.is_altered for row in self.rows)

    @property
    def num_different(self) -> int:
        """Return the number of different texts."""
        return self._count("different")

    def _count(self, result: str) -> int:
        return sum(row.result == result for row in self.rows)

    @property
    def summary(self) -> str:
        """Return the counts in one line."""
        if not self.rows:
            return "There is nothing to verify: no answer here has a record."
        results = ("same", "different", "not replayable")
        counts = ", ".join(f"{self._count(result)} {result}" for result in results)
        num_altered = sum(row.is_altered for row in self.rows)
        altered = f"; {num_altered} altered" if num_altered else ""
        return f"{count_of(len(self.rows), 'answer')} written again: {counts}{altered}."

    def _markup(self) -> Markdown:
        table = markdown_table(_HEADER, map(_cells, self.rows))
        diffs = [
            f"Diff of {one_line(row.place)}:\n\n{code_block(row.diff, 'diff')}"
            for row in self.rows
            if row.diff
        ]
        return untrusted_markdown("\n\n".join([self.summary, *[table][: len(self.rows)], *diffs]))

    def __str__(self) -> str:
        return plain(self._markup())

    def __repr__(self) -> str:
        return str(self)


def _cells(row: Verdict) -> list[str]:
    record, model, seed = row.record, "unknown model", ""
    if record is not None:
        model = record.model.name
        seed = "" if record.params.seed is None else str(record.params.seed)
    return [*map(one_line, (row.place, model, seed, row.result, "; ".join(row.remarks)))]


class _NotReplayable(Exception):  # noqa: N818 a result
    """The reason why an answer cannot be written again."""


def _verdict(
    answer: RecordedAnswer,
    engine_of: Callable[[str], Engine],
    prompt_of: Callable[[str], KeptPrompt | None],
) -> Verdict:
    """Write an answer again and compare it."""
    record = answer.record
    if isinstance(record, ProvenanceError):
        remark = f"its record {record.reason.rstrip('.')}"
        return Verdict(place=answer.place, result="not replayable", remarks=(remark,))
    result: Result = "not replayable"
    remarks, diff = [ALTERED] * record.is_altered, ""
    try:
        prompt = answer.prompt or prompt_of(record.prompt_key)
        completion = _replay(answer, record, prompt, engine_of)
    except _NotReplayable as reason:
        remarks.append(str(reason))
    else:
        is_same = _is_same(answer, record, completion)
        remarks += _remarks(answer, record, completion, is_same=is_same)
        result = "same" if is_same else "different"
        diff = "" if is_same else _diff(answer.text, completion.text)
    return Verdict(
        place=answer.place, result=result, record=record, remarks=tuple(remarks), diff=diff
    )


def _replay(
    answer: RecordedAnswer,
    record: Provenance,
    prompt: KeptPrompt | None,
    engine_of: Callable[[str], Engine],
) -> Completion:
    if record.finish_reason == "cancelled" and not record.completion_tokens:
        raise _NotReplayable("it was stopped before the first token")
    constraint = prompt.constraint if prompt is not None and record.is_constrained else None
    if prompt is not None and record.is_constrained and constraint is None:
        raise _NotReplayable("its shape is not stored on this machine")
    return _written_again(
        record,
        prompt,
        engine_of,
        params=replay_params(record),
        constraint=constraint,
        is_private=answer.is_private,
    )


def _written_again(
    record: Provenance,
    prompt: KeptPrompt | None,
    engine_of: Callable[[str], Engine],
    **request: Any,
) -> Completion:
    """Return the text that the recorded model writes after the same prompt; else `_NotReplayable`.

    `request` are further fields of the request.
    """
    if prompt is None:
        raise _NotReplayable("its prompt is not stored on this machine")
    asked = Request(prompt=prompt.prompt, answer_prefix=prompt.answer_prefix, **request)
    try:
        with ask(_engine_of(record, engine_of), asked, "again") as stream:
            completion = stream.result()
    except JupyterLLMError as error:
        raise _NotReplayable(str(error)) from error
    record_now = completion.provenance
    if record_now is None or record_now.prompt_sha256 != record.prompt_sha256:
        raise _NotReplayable("the model now splits the prompt into other tokens")
    return completion


def read_again(
    completion: Completion,
    engine_of: Callable[[str], Engine],
    prompt_of: Callable[[str], KeptPrompt | None],
) -> Completion:
    """Return the same completion with log-probabilities, from the model that wrote it.

    The model reads its tokens after the same prompt. For the other parameters see `verify`.
    `OptionError` has the reason if it cannot be read again.
    """
    if completion.logprobs is not None or completion.choice is not None:
        return completion
    record, why = completion.provenance, "it is empty"
    if completion.reasoning:
        why = "the model thought first. `--show-tokens` shows the tokens with a new answer"
    if completion.reasoning or not completion.text or record is None:
        raise OptionError(f"The answer cannot be read again: {why}.")
    prompt = prompt_of(record.prompt_key)
    params = SamplingParams(logprobs=NUM_OTHERS, exact=record.exact)
    try:
        tokenize = _engine_of(record, engine_of).tokenize_texts
        ids = Exactly(completion.token_ids or tokenize([completion.text])[0])
        more = {"params": params, "constraint": ids, "is_private": True}
        again = _written_again(record, prompt, engine_of, **more)
    except _NotReplayable as error:
        raise OptionError(f"The answer cannot be read again: {error}.") from error
    return replace(completion, logprobs=again.logprobs)


def _engine_of(record: Provenance, engine_of: Callable[[str], Engine]) -> Engine:
    """Return the engine of the recorded model file; else `_NotReplayable`."""
    name = record.model.name
    if record.model.host:  # and nothing is sent there again
        raise _NotReplayable(f"{record.model.host} wrote it, and a server promises no text again")
    # A notebook from others must not choose a path that we open.
    is_name = not any(mark in name for mark in "/\\") and not name.lower().endswith(".gguf")
    try:
        engine = engine_of(name) if is_name else None
    except ModelNotFoundError:
        engine = None
    if engine is None or engine.info.name != name:
        raise _NotReplayable(f"there is no model {name!r} on this machine")
    if record.model.sha256 is not None:
        info, sha256 = engine.info, file_sha256(engine.info.path)
        if sha256 != record.model.sha256:
            raise _NotReplayable(
                f"another model file: {record.model.file} wrote it "
                f"({record.model.sha256[:12]}…), and {info.name} is now "
                f"{info.path.name} ({sha256[:12]}…)"
            )
    return engine


def verify(
    answers: Iterable[RecordedAnswer],
    engine_of: Callable[[str], Engine],
    prompt_of: Callable[[str], KeptPrompt | None],
    *,
    show: ShowProgress | None = None,
) -> VerifyReport:
    """Write each answer again from its record and compare.

    `engine_of` returns the engine of a model's name, `prompt_of` the prompt of a key. Answers of
    one model are written in sequence, so that each model is loaded once; the verdicts have the
    order of the answers. `show` shows the progress.
    """
    todo = sorted(enumerate(answers), key=lambda item: _model_of(item[1]))
    verdicts: dict[int, Verdict] = {}
    try:
        with showing(show) as report:
            for index, answer in todo:
                verdicts[index] = _verdict(answer, engine_of, prompt_of)
                done = len(verdicts)
                report(Step(f"Writing again: {done} of {len(todo)}", done / len(todo)))
    except KeyboardInterrupt:
        raise PromptInterrupted(said="stopped; the records are unchanged.") from None
    return VerifyReport(tuple(verdicts[index] for index in range(len(todo))))


def _model_of(answer: RecordedAnswer) -> str:
    return answer.record.model.name if isinstance(answer.record, Provenance) else ""


def replay_params(record: Provenance) -> SamplingParams:
    """Return the parameters of a replay; a text that was cut off ends at the same length."""
    params = replace(record.params, may_repeat=True)
    if record.finish_reason in ("length", "cancelled", "repetition"):
        return replace(params, max_tokens=max(1, record.completion_tokens))
    return params


def _is_same(answer: RecordedAnswer, record: Provenance, completion: Completion) -> bool:
    text, again = completion.text, completion.provenance
    was_stopped = record.finish_reason == "cancelled"
    if not was_stopped and again and again.reasoning_sha256 != record.reasoning_sha256:
        return False
    if answer.text is None:
        return text_sha256(text) == record.text_sha256
    # The end of a stopped text may be held back: it could have become a stop text.
    is_begun = was_stopped and answer.is_as_recorded and text.startswith(answer.text)
    return is_begun or text == answer.text


def _remarks(
    answer: RecordedAnswer, record: Provenance, completion: Completion, *, is_same: bool
) -> Iterator[str]:
    """Yield further facts about a replay."""
    replayed = completion.provenance
    assert replayed is not None
    if not answer.is_as_recorded:
        yield "the output was edited: it is not the recorded text"
    if record.finish_reason == "cancelled":
        count = count_of(record.completion_tokens, "token")
        yield f"it was stopped after {count}, so only these were compared"
    if not record.exact:
        yield _NOT_PROMISED[record.context.lane]
    if record.model.sha256 is None:
        yield "the record has no hash of the model file, so it may be another file with that name"
    if record.build != replayed.build:
        yield f"another build: {record.build} then, {replayed.build} now"
    if record.machine != replayed.machine:
        yield "a processor of another kind wrote it"
    if is_same:
        return
    then, now = asdict(record.context), asdict(replayed.context)
    for name in then:
        if then[name] != now[name]:
            yield f"another {name}: {then[name]} then, {now[name]} now"
    if answer.text is None:
        yield "only the hash of its text is stored, so there is no diff"
    elif answer.text.splitlines() == completion.text.splitlines():
        yield "only the line ends differ"


def _diff(before: str | None, after: str) -> str:
    if before is None:
        return ""
    texts = (before.splitlines(), after.splitlines(), "in the notebook", "written again")
    lines = list(difflib.unified_diff(*texts, lineterm=""))
    if len(lines) > _MAX_DIFF_LINES:
        lines[_MAX_DIFF_LINES:] = [f"… {len(lines) - _MAX_DIFF_LINES} more lines"]
    return "\n".join(lines)
