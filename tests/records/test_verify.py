"""Answers are written again from their records: same, different, or not replayable, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.recorded import asked, record, saved, shown
from support.scripted import ScriptedEngine
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.ask.asking import ask
from jupyter_llm.ask.log import AnswerLog, RecordedAnswer
from jupyter_llm.ask.prompt_store import KeptPrompt
from jupyter_llm.common.database import store
from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Grammar, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.provenance import Provenance
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import EngineError, ModelNotFoundError, NotebookFileError
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.records.verify import ALTERED, Verdict, VerifyReport, verify

BYE = KeptPrompt((Message("user", "Bye"),))
HOT: dict[str, Any] = {"temperature": 1.0, "max_tokens": 12, "ignore_eos": True}


@pytest.fixture
def tiny(tiny_gguf: Path, fresh_llm: None) -> None:
    file_sha256(tiny_gguf)  # as after the first seconds with a model
    llm.use(tiny_gguf, n_threads=1)


def answers() -> list[RecordedAnswer]:
    """What was answered in this kernel."""
    return list(llm.answers)


def made(answer: RecordedAnswer) -> Provenance:
    assert isinstance(answer.record, Provenance)
    return answer.record


def with_record(answer: RecordedAnswer, **changes: Any) -> RecordedAnswer:
    """An answer whose record somebody edited, in JSON, without counting its digest anew."""
    return replace(answer, record=Provenance.from_json({**made(answer).to_json(), **changes}))


def recorded(answer: RecordedAnswer, **changes: Any) -> RecordedAnswer:
    """An answer with another record, which was made so."""
    return replace(answer, record=replace(made(answer), **changes))


def of_model(answer: RecordedAnswer, **changes: Any) -> RecordedAnswer:
    """An answer of another model, or with another file."""
    return recorded(answer, model=replace(made(answer).model, **changes))


EDITS: dict[str, Callable[..., RecordedAnswer]] = {
    "json": with_record,
    "answer": replace,
    "model": of_model,
    "record": recorded,
}


def replay(*wanted: RecordedAnswer) -> VerifyReport:
    return verify(wanted, llm.current.named, llm.prompts.find)


@pytest.mark.usefixtures("tiny")
class TestWithAModel:
    def test_what_has_a_seed_or_no_temperature_is_the_same(self) -> None:
        llm("Hello", seed=5, **HOT)
        llm("Hello", **{**HOT, "temperature": 0})
        llm.complete("Once upon", seed=6, **HOT)
        report = llm.verify()
        assert report.all_same
        assert [row.result for row in report.rows] == ["same"] * 3
        assert all(row.record and row.record.exact for row in report.rows)
        assert [row.remarks for row in report.rows] == [()] * 3
        assert [row.place for row in report.rows] == ["Hello", "Hello", "Once upon"]

    @pytest.mark.parametrize(
        "constraint",
        [BeginsWith(("def", "class")), Grammar("regex", "[a-z]{9}"), OneOf(("a time", "a day"))],
        ids=repr,
    )
    def test_what_had_to_look_like_something_looks_so_again(self, constraint: Constraint) -> None:
        free = Request(prompt="Once upon", params=SamplingParams(seed=7, max_tokens=12))
        bound = replace(free, constraint=constraint)
        other = replace(free, constraint=Grammar("regex", "[0-9]{9}"))
        for request in (free, bound, other, free):
            ask(llm.current.get(), request, "cell", llm.answers).result()
        assert made(answers()[1]).is_constrained
        on_disk = [replace(answer, prompt=None) for answer in llm.answers]
        for report in (llm.verify(), replay(*on_disk)):
            assert [row.result for row in report.rows] == ["same"] * 4

    @pytest.mark.parametrize(
        ("what", "changes", "result", "remark"),
        [
            ("json", {"seed": 6}, "different", ALTERED),
            ("json", {"time": "2020-01-01T00:00:00Z"}, "same", ALTERED),
            ("answer", {"text": "I never said so"}, "different", "the output was edited"),
            ("answer", {"prompt": BYE}, "not replayable", "splits the prompt into other tokens"),
            ("model", {"sha256": None}, "same", "the record has no hash of the model file"),
            ("record", {"build": "older"}, "same", "another build: older then, "),
            ("record", {"machine": "other"}, "same", "a processor of another kind wrote it"),
            (
                "record",
                {"is_constrained": True},
                "not replayable",
                "its shape is not stored on this machine",
            ),
        ],
    )
    def test_what_is_odd_about_an_answer_is_told(
        self, what: str, changes: dict[str, Any], result: str, remark: str
    ) -> None:
        llm("Hello", seed=5, **HOT)
        (answer,) = answers()
        report = replay(EDITS[what](answer, **changes))
        (row,) = report.rows
        assert row.result == result
        assert remark in row.remarks[0]
        assert row.is_altered == (remark == ALTERED)
        assert row.diff.startswith("--- in the notebook\n+++ written again\n") == (
            result == "different"
        )
        assert report.all_same == (result == "same" and not row.is_altered)

    @pytest.mark.parametrize("seed", [5, 6])
    def test_what_was_stopped_is_compared_as_far_as_it_came(self, seed: int) -> None:
        stream = llm.stream("Hello", seed=5, max_tokens=2000, ignore_eos=True)
        for number, _chunk in enumerate(stream):
            if number == 3:
                stream.cancel()
        completion = stream.result()
        assert completion.finish_reason == "cancelled"
        (row,) = replay(with_record(answers()[0], seed=seed)).rows
        assert row.result == ("same" if seed == 5 else "different")
        told = f"it was stopped after {completion.usage.completion_tokens} tokens"
        assert any(remark.startswith(told) for remark in row.remarks)

    def test_another_file_of_the_same_name_is_not_asked(
        self, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        llm("Hello", seed=5, **HOT)
        other = write_tiny_model(tmp_path / "tiny.gguf", seed=1)
        llm.use(other, n_threads=1)
        (row,) = llm.verify().rows
        assert row.result == "not replayable"
        assert row.remarks[0].startswith("another model file: tiny.gguf wrote it (")
        assert file_sha256(tiny_gguf)[:12] in row.remarks[0]

    def test_a_notebook_is_verified_by_another_kernel(self, tmp_path: Path) -> None:
        completion = llm("Hello", seed=5, **HOT)
        assert store().flush(10)
        llm.answers = AnswerLog(llm.prompts)  # a new kernel knows of no answers
        made = completion.provenance
        assert made is not None
        wrong_seed = {**made.to_json(), "seed": 6}
        path = saved(
            tmp_path / "a.ipynb",
            [
                asked(shown(completion.text, made, "seed 5")),
                asked(shown(completion.text, wrong_seed)),
                asked(shown(completion.text, {"version": 1})),
            ],
        )
        report = llm.verify(path)
        assert [row.result for row in report.rows] == ["same", "different", "not replayable"]
        assert [row.place for row in report.rows] == ["cell 1 [1]", "cell 2 [1]", "cell 3 [1]"]
        assert report.rows[2].remarks[0].startswith("its record is damaged: ")


# -- without a model -------------------------------------------------------------------------------

SCRIPTED_PROMPT = KeptPrompt((Message("user", "Why?"),))


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    yield engine
    engine.close()


def scripted_answer(engine: ScriptedEngine, text: str = "Because.") -> RecordedAnswer:
    engine.replies.append(text)
    request = Request(prompt=SCRIPTED_PROMPT.prompt, params=SamplingParams(seed=1))
    completion = engine.submit(request).result()
    assert completion.provenance is not None
    return RecordedAnswer("cell 1", completion.provenance, completion.text)


def of(engine: ScriptedEngine) -> Callable[[str], Engine]:
    return lambda _name: engine


def known(_prompt_sha256: str) -> KeptPrompt | None:
    return SCRIPTED_PROMPT


@pytest.mark.parametrize(
    ("before", "after", "diff", "is_alike"),
    [
        ("one\ntwo", "one\n2", ["@@ -1,2 +1,2 @@", " one", "-two", "+2"], False),
        ("one", "one\n", [], True),
    ],
)
def test_a_diff_shows_which_lines_differ(
    engine: ScriptedEngine, before: str, after: str, diff: list[str], *, is_alike: bool
) -> None:
    answer = scripted_answer(engine, before)
    engine.replies.append(after)
    report = verify([answer], of(engine), known)
    assert report.rows[0].diff.splitlines()[2:] == diff
    assert ("only the line ends differ" in report.rows[0].remarks) == is_alike
    assert [row.result for row in report.rows] == ["different"]


@pytest.mark.parametrize("name", ["../../evil", "\\\\host\\share\\evil", "evil.GGUF", "tiny"])
def test_a_name_out_of_a_notebook_is_no_path(engine: ScriptedEngine, name: str) -> None:
    answer = of_model(scripted_answer(engine), name=name)
    names = []

    def engine_of(name: str) -> Engine:
        names.append(name)
        raise ModelNotFoundError(name)

    (row,) = verify([answer], engine_of, known).rows
    assert row.remarks == (f"there is no model {name!r} on this machine",)
    assert names == (["tiny"] if name == "tiny" else [])


def test_a_model_that_cannot_be_loaded_is_said_and_the_others_go_on(
    engine: ScriptedEngine,
) -> None:
    answer = scripted_answer(engine)
    engine.replies.append("Because.")
    calls = iter([EngineError("Out of order."), None])

    def engine_of(_name: str) -> Engine:
        if (error := next(calls)) is not None:
            raise error
        return engine

    rows = verify([answer, answer], engine_of, known).rows
    assert [row.result for row in rows] == ["not replayable", "same"]
    assert rows[0].remarks == ("Out of order.",)


def test_an_interrupt_ends_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, fresh_llm: None, engine: ScriptedEngine
) -> None:
    def interrupt(_model: str) -> None:
        raise KeyboardInterrupt

    llm.answers._answers.append(scripted_answer(engine))
    monkeypatch.setattr(llm.current, "named", interrupt)
    monkeypatch.setattr(llm.prompts, "find", known)
    with pytest.raises(PromptInterrupted, match=r"^stopped; the records are unchanged"):
        llm.verify()


def test_nothing_to_verify_is_said(fresh_llm: None, tmp_path: Path) -> None:
    assert str(llm.verify()).startswith("There is nothing to verify")
    assert str(llm.verify(saved(tmp_path / "a.ipynb", []))) == str(llm.verify())
    with pytest.raises(NotebookFileError):
        llm.verify(tmp_path / "gone.ipynb")


REPORT = VerifyReport(
    (
        Verdict(place="cell 1", result="same", record=record()),
        Verdict(
            place="cell 2", result="different", record=record(), remarks=("why",), diff="-a\n+b"
        ),
        Verdict(place="cell 3", result="not replayable", remarks=("no", "prompt")),
    )
)


def test_a_report_shows_as_a_table_with_diffs_below() -> None:
    markdown = REPORT._repr_mimebundle_()[0]["text/markdown"]
    assert "3 answers written again: 1 same, 1 different, 1 not replayable." in markdown
    assert "| cell 2 | tiny | 7 | different | why |" in markdown
    assert "| cell 3 | unknown model |  | not replayable | no; prompt |" in markdown
    assert "```diff\n-a\n+b\n```" in markdown


def test_a_printed_report_commands_no_terminal() -> None:
    report = VerifyReport((Verdict(place="\x1b[31m", result="different", record=record()),))
    assert "\x1b" not in str(report)
