"""Tasks in several cells, each tried in a fork of the copy in which the one before ran."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import psutil
import pytest
from support.scripted import N_CTX, ScriptedEngine
from support.seal import needs_seal

from jupyter_llm import llm
from jupyter_llm.chat.question import code_prompt
from jupyter_llm.engine.base import Stream
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import ContextOverflowError
from jupyter_llm.notebook.sealed.chain import Chain
from jupyter_llm.records.verify import verify
from jupyter_llm.tasks.contract import Contract, with_names
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.steps import Steps, StepStream, paragraphs, shown_steps
from jupyter_llm.tasks.tries import Tries
from jupyter_llm.tasks.write import write_code

pytestmark = needs_seal
FRAME = {"city": ["Oslo", "Rome", "Rome"], "fare": [10.0, 20.0, 60.0]}


def do(
    replies: Sequence[str] | ScriptedEngine,
    namespace: dict[str, Any] | None = None,
    *,
    asked: str = "",
    into: str = "",
) -> Steps:
    engine = replies if isinstance(replies, ScriptedEngine) else ScriptedEngine(replies)
    asked = with_names(asked, into) if into else asked
    tries = Tries(namespace={} if namespace is None else namespace)
    judge = Judge(names=tries.namespace, tries=tries, asked=asked)
    prompt = (Message("user", code_prompt(asked)),)
    request = Request(prompt=prompt, params=SamplingParams(temperature=0))
    return shown_steps(write_code(engine, request, judge, num_drafts=1, by_steps=True), tries)


def test_each_paragraph_is_a_cell_that_sees_what_the_cells_before_it_bound() -> None:
    steps = do(["a = 2\n\nb = a + 1\n\nb * 10\n"])
    assert steps.sources == ("a = 2", "b = a + 1", "b * 10")
    assert [step.text for step in steps.steps] == ["runs", "runs", "shows `30`"]
    assert [(one.name, one.after) for one in steps.changes] == [("a", "int 2"), ("b", "int 3")]


def test_a_line_end_that_comes_alone_ends_no_paragraph() -> None:
    steps = do(["a = [1]\n\na.append(2) \n"])
    assert steps.answer.source == "a = [1]\n\na.append(2)"


def test_code_that_was_cut_off_is_written_again() -> None:
    engine = ScriptedEngine(["a = 1\n\nb = [a, " + "a, " * N_CTX, "b = [a]\n"])
    steps = do(engine)
    assert steps.sources == ("a = 1", "b = [a]")


def test_a_paragraph_that_raises_is_written_again_behind_the_cells_that_ran() -> None:
    engine = ScriptedEngine(["a = 2\n\na.missing()\n\nb = 3\n", "b = a + 1\n"])
    steps = do(engine)
    assert steps.sources == ("a = 2", "b = a + 1")
    first, again = engine.requests
    assert again.answer_prefix == f"{first.answer_prefix}a = 2\n\n"
    assert (again.params.temperature or 0) > 0.5 > (first.params.temperature or 0)


def test_rules_mend_a_paragraph_and_the_model_goes_on_from_there() -> None:
    frame = pd.DataFrame(FRAME)
    engine = ScriptedEngine(
        ["top = frame.fare.max()\n\nlow = frame['fair'].min()\n\n1", "low + top\n"]
    )
    steps = do(engine, {"frame": frame})
    assert steps.sources == ("top = frame.fare.max()", "low = frame['fare'].min()", "low + top")
    assert engine.requests[1].params.temperature == 0  # what the rule wrote is no failure
    assert "mended: " in steps.answer.note
    engine = ScriptedEngine(["frame['fair'].min()\n", "no more\n"])
    assert do(engine, {"frame": frame}).sources == ("frame['fare'].min()",)
    assert len(engine.requests) == 1  # the model had ended


def test_the_model_stops_once_the_names_are_computed() -> None:
    frame = pd.DataFrame(FRAME)
    reply = "mean = frame.fare.mean()\n\nmean = float(mean)\nn = len(frame)\n\nprint(mean)\n"
    steps = do([reply + "\nx = 1\n" * 50], {"frame": frame}, into="mean float, n int")
    assert steps.sources[-1] == "mean = float(mean)\nn = len(frame)"
    assert steps.answer.values == {"mean": 30.0, "n": 3}  # noqa: PD011


def test_a_model_that_does_not_stop_is_stopped_after_twenty_cells() -> None:
    steps = do(["x = [0]\n\n" + "x[0] += 1\n\n" * 40])
    assert len(steps.sources) == 20
    assert steps.answer.note.startswith("stopped after 20 cells")


def test_tokens_and_time_are_bounded_and_reported() -> None:
    params = SamplingParams(max_tokens=2500)
    request = Request(prompt=(Message("user", "Count"),), params=params)
    engine = ScriptedEngine(["a = 1\n\n" + "# word " * N_CTX, "n = 2\n"])
    contract = Contract(with_names("Count", "n int"), {})
    stream = StepStream(engine, request, Tries(namespace={}), contract)
    assert stream.result().text.startswith("a = 1\n")
    assert stream.stopped == "stopped after 2500 tokens"
    late = StepStream(engine, request, Tries(namespace={}), contract, time.monotonic())
    assert late.result().text == ""
    assert late.stopped == "stopped after 0 seconds"


def test_what_ran_before_an_error_of_the_engine_is_kept_with_the_error() -> None:
    engine = ScriptedEngine(["a = 1\n\nmissing\n", "b = 2\n"])

    def show(stream: Stream) -> Completion:
        for chunk in stream.chunks():
            if "a = 1" in chunk.text:
                engine.failure = ContextOverflowError(5000, N_CTX)
        return stream.result()

    tries = Tries(namespace={})
    request = Request(prompt=(Message("user", "Count"),), params=SamplingParams(temperature=0))
    answer = write_code(engine, request, Judge(tries=tries), show=show, by_steps=True)
    assert shown_steps(answer, tries).sources == ("a = 1",)
    assert answer.note.startswith("stopped: The prompt is 5000 tokens")


def test_names_that_are_missing_at_the_end_are_bound_by_one_more_cell() -> None:
    frame = pd.DataFrame(FRAME)
    engine = ScriptedEngine(
        ["means = frame.groupby('city').fare.mean()\n", "best = means.idxmax()\n"]
    )
    steps = do(engine, {"frame": frame}, into="best str")
    assert steps.answer.values == {"best": "Rome"}  # noqa: PD011
    assert "`best` (str)" in engine.requests[1].answer_prefix
    assert engine.requests[1].answer_prefix.count("means =") == 1


def test_a_name_that_is_set_to_a_plain_value_is_not_computed() -> None:
    frame = pd.DataFrame(FRAME)
    steps = do(["n = 7\n", "n = len(frame)\n"], {"frame": frame}, into="n int")
    assert steps.answer.values == {"n": 3}  # noqa: PD011


def test_after_a_cell_that_is_refused_nothing_is_tried_and_all_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    steps = do([f"a = 1\n\nopen({str(path)!r}, 'w')\n\nb = a\n"])
    assert [step.source for step in steps.steps] == ["a = 1", f"open({str(path)!r}, 'w')\n\nb = a"]
    assert steps.steps[-1].text.startswith("not tried: it would write a file")
    assert not path.exists()


def test_an_interrupt_keeps_the_cells_that_ran_and_ends_their_processes() -> None:
    before = psutil.Process().children(recursive=True)
    request = Request(prompt=(Message("user", "Count"),), answer_prefix="```python\n")
    engine = ScriptedEngine(["a = 1\n\nb = 2\n\n" + "c = 3 " * 9])
    stream = StepStream(engine, request, Tries(namespace={}), Contract("", {}))
    assert next(chunk.text for chunk in stream.chunks() if chunk.text) == "a = 1\n\n"
    completion = stream.interrupt().completion
    assert completion is not None
    assert completion.text.startswith("a = 1\n\n")
    assert completion.finish_reason == "cancelled"
    assert stream.future.result() == completion
    assert psutil.Process().children(recursive=True) == before


def test_a_stop_ends_the_task_and_nothing_more_is_written() -> None:
    request = Request(prompt=(Message("user", "Count"),), answer_prefix="```python\n")
    engine = ScriptedEngine(["a = 1\n\nmissing " + "+ 1 " * 99, "b = 2\n"])
    contract = Contract(with_names("Count", "n int"), {})
    stream = StepStream(engine, request, Tries(namespace={}), contract)
    for chunk in stream.chunks():
        if chunk.text:
            stream.cancel()  # as the button does, from another thread
    assert stream.result().finish_reason == "cancelled"
    assert len(engine.requests) == 1


def test_where_nothing_is_tried_a_name_that_is_bound_is_not_bound_again() -> None:
    request = Request(prompt=(Message("user", "Count"),), answer_prefix="```python\n")
    engine = ScriptedEngine(["n = len(frame)\n", "n = 3\n"])
    contract = Contract(with_names("Count", "n int"), {})
    tries = Tries(namespace={"frame": pd.DataFrame(FRAME)}, is_allowed=False)
    assert StepStream(engine, request, tries, contract).result().text == "n = len(frame)\n"
    assert len(engine.requests) == 1


def test_nothing_of_the_users_changes_and_what_would_change_is_listed() -> None:
    frame = pd.DataFrame(FRAME)
    names = {"frame": frame, "n": 1}
    steps = do(["frame['half'] = frame.fare / 2\n\nn = len(frame)\n"], names)
    assert frame.equals(pd.DataFrame(FRAME))
    assert names["n"] == 1
    changes = {one.name: (one.before, one.after) for one in steps.changes}
    assert changes["n"] == ("int 1", "int 3")
    assert "2 columns" in changes["frame"][0]
    assert "3 columns" in changes["frame"][1]


def test_an_interrupt_while_the_cells_run_once_more_keeps_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = psutil.Process().children(recursive=True)
    answer = do(["a = 1\n\nb = 2\n"]).answer

    def interrupt(*_args: object, **_how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Chain, "push", interrupt)
    with pytest.raises(PromptInterrupted) as interrupted:
        shown_steps(answer, Tries(namespace={}))
    assert "b = 2" in str(interrupted.value.best)
    assert psutil.Process().children(recursive=True) == before


def test_a_result_that_looks_like_a_secret_is_not_listed() -> None:
    key = "sk-" + "1a2b3c4d5e6f7g8h" * 2
    steps = do([f"a = 1\n\nprint('{key[:9]}' + '{key[9:]}')\n"])
    assert "shows" in steps.steps[-1].text
    assert key not in steps.report


def test_every_part_that_a_model_wrote_of_a_task_can_be_verified(engine: ScriptedEngine) -> None:
    texts = ["a = 2\n\na.missing()\n\nb = 3\n", "b = a + 1\n", "n = a + b\n"]
    engine.replies += texts
    assert llm.do("Count", into="n int").values == {"n": 5}  # noqa: PD011
    written = [answer.text or "" for answer in llm.answers]
    assert len(written) == 3
    assert all(map(str.startswith, texts, written))  # the first was stopped where it failed
    engine.replies += texts
    report = verify(llm.answers, lambda _name: engine, llm.prompts.find)
    assert report.all_same
    assert "edited" not in str(report)


def test_steps_that_fail_again_and_again_are_reported_with_their_error() -> None:
    steps = do(["a = 1\n\nmissing\n", *["missing\n"] * 9])
    assert "NameError" in steps.answer.note
    assert steps.steps[-1].seen.outcome == "raises"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a = 1\n\nb = 2\n\nc", ["a = 1\n\n", "b = 2\n\nc"]),
        ("import os\n\na = 1\n\nb = 2\n", ["import os\n\na = 1\n\n", "b = 2\n"]),
        ("if a:\n    b\n\nelse:\n    c\n\nd\n", ["if a:\n    b\n\nelse:\n    c\n\n", "d\n"]),
        ("def f():\n    a\n\n    b\n\nf()\n", ["def f():\n    a\n\n    b\n\n", "f()\n"]),
        ('t = """\n\na\n"""\n\nb\n', ['t = """\n\na\n"""\n\n', "b\n"]),
        ("# first\n\na = 1\n\nb\n", ["# first\n\na = 1\n\n", "b\n"]),
    ],
)
def test_a_paragraph_ends_at_a_blank_line_between_statements(text: str, parts: list[str]) -> None:
    assert paragraphs(text) == parts
