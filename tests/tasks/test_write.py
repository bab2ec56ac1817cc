"""Code from a model: the best of a few drafts, and it always parses."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.interrupts import interrupt_main
from support.notebook_session import NAMES
from support.notebook_session import code_cells as code_cells_of
from support.programs import PIECES
from support.scripted import ScriptedEngine, messages_of
from support.scripted_tries import (
    DEADLY,
    IDLE,
    REFUSED,
    RUNNING,
    RUNS,
    UNTRIED,
    ScriptedTries,
    raising,
)

from jupyter_llm.ask.many import drawn
from jupyter_llm.chat.question import code_prompt
from jupyter_llm.chat.script import Script
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Completion, PromptInterrupted, Usage
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import MAX_SEED, EngineOptions, SamplingParams
from jupyter_llm.engine.request import Message, RawPrompt, Request
from jupyter_llm.errors import EngineClosedError
from jupyter_llm.frontends.views import TerminalView, watch
from jupyter_llm.models.discover import find_model
from jupyter_llm.notebook.code.syntax import syntax_error
from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.tasks import write as writing
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX, CodeAnswer, code_cells
from jupyter_llm.tasks.judging import Judge
from jupyter_llm.tasks.write import write_code

PROMPT = (Message("user", code_prompt("Set x to one.")),)
SEEDED = SamplingParams(seed=7)
ASKED = (
    "Plot what was computed last.",
    "Write a function that does what the last cell does.",
    "Put the results into a dictionary and print it.",
    "Print a short summary of what there is so far.",
)


def write(
    *replies: str,
    engine: Engine | None = None,
    params: SamplingParams = SEEDED,
    conversation: str | None = None,
    judge: Judge | None = None,
    **options: Any,
) -> CodeAnswer:
    request = Request(prompt=PROMPT, params=params, conversation=conversation)
    return write_code(engine or ScriptedEngine(replies), request, judge, **options)


def test_the_answer_is_opened_with_a_fence_and_ends_where_it_closes() -> None:
    engine = ScriptedEngine(["x = 1\n```\nThat sets x."])
    params = SamplingParams(stop=("STOP",), seed=7)
    answer = write(engine=engine, params=params, conversation="chat")
    (request,) = engine.requests
    assert request.answer_prefix == ANSWER_PREFIX == "```python\n"
    assert request.params.stop == ("STOP", "\n```")
    assert request.conversation == "chat"
    assert answer.sources == ("x = 1",)
    assert answer.completion.text == "x = 1"
    assert answer.text == "```python\nx = 1\n```"
    assert answer.note == ""


def test_a_good_first_draft_is_the_only_one() -> None:
    answer = write("x = 1", "y = 2")
    assert (answer.sources, answer.num_drafts) == (("x = 1",), 1)


def test_more_drafts_are_drawn_with_seeds_counted_on_and_apart_from_the_chat() -> None:
    engine = ScriptedEngine(["x = (1", "x = foo", "x = 1", "x = 2"])
    params = SamplingParams(seed=MAX_SEED)
    answer = write(engine=engine, params=params, conversation="chat")
    assert [request.params.seed for request in engine.requests] == [MAX_SEED, 0, 1, 2]
    assert [request.conversation for request in engine.requests] == ["chat", None, None, None]
    assert answer.sources == ("x = 1",)
    assert answer.num_drafts == 3
    assert answer.completion.seed == 1
    assert answer.note == "the best of 3 drafts"


@pytest.mark.parametrize(
    ("replies", "best"),
    [
        (["x = = 1\ny = 2", "x = foo"] * 2, "x = foo"),
        (["foo, bar", "foo", "foo, bar", "foo"], "foo"),
        (["import nowhere_a\nfoo", "foo", "foo", "foo"], "foo"),
        (["x = = 1\ny = 2\nz = 3", "x = = 1\ny = = 2\nz = 3"] * 2, "# x = = 1\ny = 2\nz = 3"),
        (["I cannot do that, sorry.", "foo"] * 2, "foo"),
        (["foo", "bar", "baz", "foo"], "foo"),
    ],
    ids=["parses", "fewest names", "fewest modules", "most kept", "is code", "earliest"],
)
def test_the_best_draft_is_taken(replies: list[str], best: str) -> None:
    answer = write(*replies)
    assert answer.sources == (best,)
    assert answer.num_drafts == 4


def test_it_is_told_which_draft_is_being_written() -> None:
    told: list[Step] = []
    assert write("x = foo", "x = bar", "x = 1", show_progress=told.append).num_drafts == 3
    assert list(dict.fromkeys(told)) == [Step("Draft 2"), Step("Draft 3")]


def test_while_the_prompt_is_read_there_is_no_empty_block_of_code() -> None:
    engine = ScriptedEngine(["x = 1"])
    engine.may_write.clear()
    texts: list[str] = []

    def show(stream: Stream) -> Completion:
        for chunk in stream.chunks(0.001):
            texts.append(chunk.text)
            if not engine.may_write.is_set():
                assert stream.written == ""
                engine.may_write.set()
        return stream.result()

    write(engine=engine, show=show)
    assert texts[0] == ""
    assert "".join(texts) == "```python\nx = 1"


def test_at_temperature_0_the_other_drafts_vary_by_seeds_of_their_own() -> None:
    engine = ScriptedEngine(["x = foo"] * 4)
    answer = write(engine=engine, params=SamplingParams(temperature=0))
    drawn = [(request.params.temperature, request.params.seed) for request in engine.requests]
    assert drawn == [(0, None), (0.7, 1), (0.7, 2), (0.7, 3)]
    assert answer.note == "`foo` is defined nowhere; the best of 4 drafts"


def test_what_a_draft_says_over_and_over_lands_once() -> None:
    params = SamplingParams(seed=7, max_tokens=700)
    answer = write("total_of_prices = 1\n" * 100, params=params, num_drafts=1)
    assert len(answer.completion.text) == 700
    assert answer.sources == ("total_of_prices = 1",)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("import sys\nsys.path\nsys", "import sys\nsys.path"),
        ("x = 1\nfor y in [x]:\n    print(y)\n    y", "x = 1\nfor y in [x]:\n    print(y)"),
        ("x = 1\ny = [\n    x,\n    x]", "x = 1"),
        ("x = 1\nif x:", "x = 1"),
        ("x = 1\nx\n", "x = 1\nx"),  # the line was written to its end
        ("x", "x"),  # there is nothing else
    ],
)
def test_a_torn_last_statement_does_not_land_as_if_it_were_whole(text: str, kept: str) -> None:
    (cell,) = code_cells(ANSWER_PREFIX + text, is_cut_off=True)
    assert cell.source == kept
    assert cell.landing == f"{kept}\n# The answer was cut off here."
    (whole,) = code_cells(ANSWER_PREFIX + text)
    assert whole.landing == whole.source


def test_an_answer_without_code_lands_nothing_and_says_so() -> None:
    answer = write(*["I am sorry, but that is beyond me."] * 4)
    assert answer.sources == ()
    assert answer.note == "there is no code in the answer; the best of 4 drafts"
    assert answer.text == "```python\nI am sorry, but that is beyond me.\n```"


def test_a_note_names_what_is_missing_and_what_was_done() -> None:
    answer = write("import nowhere_a, nowhere_b\nfoo(bar", num_drafts=1)
    assert answer.note == (
        "`foo`, `bar` are defined nowhere; `nowhere_a`, `nowhere_b` are not installed; "
        "closed what was left open"
    )


def test_several_blocks_are_cells_that_know_of_one_another() -> None:
    first, second, third = code_cells(
        "```python\nimport math\nx = 1\n```\nthen\n```bash\nls\n```\n"
        "and\n```python\nmath.sin(x, y)\n```"
    )
    assert first.source == "import math\nx = 1"
    assert second.source == "%%bash\nls"
    assert third.unknown_names == ("y",)


def test_the_first_draft_is_shown_in_its_fence_while_it_is_written() -> None:
    out = io.StringIO()
    view = TerminalView(out)
    seen = []

    def show(stream: Stream) -> Completion:
        seen.append("".join(str(chunk) for chunk in stream))
        completion = watch(stream, view)
        view.close(completion.text, "")
        return completion

    write("x = 1\ny = 2", show=show)
    assert seen == ["```python\nx = 1\ny = 2"]
    assert "```python\nx = 1\ny = 2\n```" in out.getvalue()


def test_a_failed_request_is_raised() -> None:
    engine = ScriptedEngine()
    engine.close()
    with pytest.raises(EngineClosedError):
        write(engine=engine)


class _ThenClosed(ScriptedEngine):
    """Writes one draft and is unloaded."""

    def submit(self, request: Request) -> Stream:
        if self.requests:
            self.close()
        return super().submit(request)


def test_a_draft_that_fails_leaves_the_first() -> None:
    answer = write(engine=_ThenClosed(["x = foo"]))
    assert (answer.sources, answer.num_drafts) == (("x = foo",), 1)


def test_an_interrupt_of_the_first_draft_keeps_what_was_written() -> None:
    engine = ScriptedEngine(["x = foo(1, 2)"], holds=True, on_hold=interrupt_main)
    with pytest.raises(PromptInterrupted) as caught:
        write(engine=engine)
    assert caught.value.completion is not None
    assert caught.value.completion.text == "```python\nx \n```"
    assert len(engine.requests) == 1


def tried(*replies: str, judge: Mapping[str, Any] = {}, **outcomes: Seen) -> CodeAnswer:
    tries = ScriptedTries(outcomes=outcomes)
    return write(*replies, judge=Judge(tries=tries, asked="Show x.", **judge))


def test_a_draft_that_runs_and_gives_something_is_the_only_one() -> None:
    answer = tried("x", "y", x=RUNS, judge={"names": "xy"})
    assert (answer.sources, answer.num_drafts, answer.note) == (("x",), 1, "ran in a sealed copy")


@pytest.mark.parametrize("seen", [raising(), IDLE, DEADLY], ids=["raises", "gives nothing", "ends"])
def test_a_draft_that_is_not_good_is_followed_by_others(seen: Seen) -> None:
    answer = tried("x", "y", x=seen, judge={"names": "xy"})
    assert (answer.sources, answer.num_drafts) == (("y",), 2)
    assert answer.note == "ran in a sealed copy; the best of 2 drafts"


@pytest.mark.parametrize("seen", [RUNNING, REFUSED, UNTRIED])
def test_where_a_try_says_nothing_against_a_draft_it_is_taken(seen: Seen) -> None:
    answer = tried("x", "y", x=seen, judge={"names": "xy"})
    assert (answer.num_drafts, answer.note) == (1, seen.text)


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ([raising(), raising(), RUNNING, raising()], "c"),
        ([raising(), IDLE, raising(), raising()], "b"),
        ([raising(), raising(), raising(), raising()], "a"),
        ([DEADLY, DEADLY, RUNNING, DEADLY], "c"),
    ],
    ids=["not known to fail", "runs", "earliest", "not deadly"],
)
def test_without_a_good_draft_the_best_by_what_was_seen_is_taken(
    outcomes: Sequence[Seen], best: str
) -> None:
    seen = dict(zip("abcd", outcomes, strict=True))
    assert tried(*"abcd", judge={"names": "abcd"}, **seen).sources == (best,)


class _ThenSlow(ScriptedEngine):
    """Writes one draft, and reads for ever what comes next."""

    def submit(self, request: Request) -> Stream:
        if self.requests:
            self.may_write.clear()
        return super().submit(request)


def test_drafts_that_are_not_there_in_time_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MAX_S", 0.0)
    engine = _ThenSlow(["x = foo", "x = 1"])
    answer = write(engine=engine, params=SamplingParams())
    assert (answer.sources, answer.num_drafts) == (("x = foo",), 1)


class _Finished(ScriptedEngine):
    """Has finished each draft before anybody reads it."""

    def submit(self, request: Request) -> Stream:
        stream = super().submit(request)
        stream.result()
        return stream


def test_drafts_that_are_finished_at_the_deadline_are_not_thrown_away() -> None:
    requests = [Request(prompt=PROMPT, params=SEEDED)] * 3
    found = drawn(_Finished(["x = foo", "x = bar", "x = 1"]), requests, end_s=0.0)
    assert [completion.text for _, completion in found] == ["x = foo", "x = bar", "x = 1"]


def test_other_drafts_are_kept_as_short_as_the_first_needs() -> None:
    engine = ScriptedEngine(["foo"] * 4)
    write(engine=engine, params=SamplingParams(seed=7, max_tokens=4000))
    assert [request.params.max_tokens for request in engine.requests] == [4000, 200, 200, 200]


def test_where_nothing_is_written_no_empty_block_is_shown() -> None:
    shown: list[str] = []

    def show(stream: Stream) -> Completion:
        shown.append(stream.result().text)
        return stream.result()

    write_code(ScriptedEngine([""]), Request(prompt="Write."), num_drafts=1, show=show)
    assert shown == [""]


def test_an_interrupt_of_a_try_keeps_the_best_draft() -> None:
    tries = ScriptedTries(outcomes={"x": raising(), "y": IDLE})

    def interrupt_third() -> None:
        if len(tries.tried) == 3:
            raise KeyboardInterrupt

    tries = replace(tries, on_try=interrupt_third)
    judge = Judge(names="xyz", tries=tries, asked="Show it.")
    with pytest.raises(PromptInterrupted) as caught:
        write("x", "y", "z", judge=judge)
    assert caught.value.completion is not None
    assert caught.value.completion.text == "```python\ny\n```"


def known(**outcomes: Seen) -> dict[str, Any]:
    """What a judge knows of a notebook that has a module and a list."""
    tries = ScriptedTries(namespace={"math": math, "y": [1]}, outcomes=outcomes)
    ran = [("import math", True), ("y = [1]", True)]
    return {"names": ("math", "y"), "ran": ran, "asked": "The sum of y.", "tries": tries}


def test_what_ran_already_is_left_out_of_a_draft_and_told() -> None:
    judge = Judge(**known())
    answer = write("import math\ny = [1]\nsum(y)", judge=judge)
    assert answer.sources == ("sum(y)",)
    assert answer.dropped == ("import math", "y = [1]")
    assert answer.completion.text == "import math\ny = [1]\nsum(y)"
    assert (
        answer.note
        == "ran in a sealed copy; left out 2 lines that already ran; /show draft has it all"
    )


DOUBLE = "def f(y):\n    return 2 * y"


@pytest.mark.parametrize(
    ("draft", "asked", "lands"),
    [
        (DOUBLE, "Double y.", f"{DOUBLE}\n\nf(y)"),
        (DOUBLE, "Define a function that doubles.", DOUBLE),
        ("def f(z):\n    return 2 * z", "Double y.", "2 * y"),  # nobody knows what to call it with
        ("import json", "Double y.", "2 * y"),
        ("from typing import *", "Define a function that doubles.", "2 * y"),
        ("from typing import *", "Import what annotations need.", "from typing import *"),
        ("y = [5]", "Double y.", "2 * y"),
        ("z = [*y, *y]", "Double y.", "z = [*y, *y]\nz"),
    ],
)
def test_what_gives_nothing_that_was_asked_for_is_no_result(
    draft: str, asked: str, lands: str
) -> None:
    tries = ScriptedTries(namespace={"y": [1]}, outcomes={draft: IDLE})
    judge = Judge(names=("y",), tries=tries, asked=asked)
    assert write(draft, "2 * y", judge=judge).sources == (lands,)


def test_in_a_chat_the_last_draft_is_told_what_the_first_has_raised() -> None:
    engine = ScriptedEngine(["x"] * 3 + ["y"])
    seen = raising(report="KeyError: 'citi'\n\nNear it is 'city'.")
    judge = Judge(names="xy", tries=ScriptedTries(outcomes={"x": seen}))
    write(engine=engine, judge=judge)
    first, *others, last = engine.requests
    *before, draft, complaint = messages_of(last.prompt)
    assert tuple(before) == first.prompt
    assert draft == Message("assistant", "```python\nx\n```")
    assert "Near it is 'city'." in complaint.content
    assert [request.prompt for request in others] == [first.prompt] * 2


def test_after_a_program_the_chat_is_asked_alone_and_then_with_its_fault() -> None:
    engine = ScriptedEngine(["x"] * 3 + ["y"])
    judge = Judge(names="xy", tries=ScriptedTries(outcomes={"x": raising()}))
    script = Script(RawPrompt(("# In[2]:\n# Show it\n",)), 2)
    assert write(engine=engine, judge=judge, script=script).sources == ("y",)
    first, chat, again, last = engine.requests
    assert first.prompt == again.prompt == script.prompt
    assert chat.prompt == PROMPT
    assert "raises KeyError: 'citi'" in messages_of(last.prompt)[-1].content


def test_an_error_that_rules_can_mend_is_mended_and_told() -> None:
    namespace = {"prices": {"apple": 1.2}}
    seen = {"prices['appel']": raising(message="'appel'", lineno=1)}
    tries = ScriptedTries(namespace=namespace, outcomes=seen)
    answer = write("prices['appel']", judge=Judge(names=namespace, tries=tries))
    assert answer.sources == ("prices['apple']",)
    assert answer.num_drafts == 1
    assert answer.note.startswith("ran in a sealed copy; mended: ")


def test_a_mend_that_only_makes_it_run_is_a_doubt_and_another_draft_is_written() -> None:
    namespace = {"a": 1, "b": 2}
    failed = raising("ValueError", message="matmul: dimension mismatch", lineno=1)
    judge = Judge(
        names=namespace, tries=ScriptedTries(namespace=namespace, outcomes={"a @ b": failed})
    )
    assert write("a @ b", "a * b", judge=judge, num_drafts=2).sources == ("a * b",)
    alone = write("a @ b", judge=judge, num_drafts=1)
    assert alone.sources == ("a @ b.T",)
    assert "mended only to run: the shapes fit when one is transposed" in alone.doubts


def test_a_mend_that_does_not_run_is_left() -> None:
    namespace = {"prices": {"apple": 1.2}}
    failed = {name: raising(message=f"'{name}'", lineno=1) for name in ("appel", "apple")}
    seen = {f"prices['{name}']": one for name, one in failed.items()}
    tries = ScriptedTries(namespace=namespace, outcomes=seen)
    answer = write("prices['appel']", judge=Judge(names=namespace, tries=tries), num_drafts=1)
    assert answer.sources == ("prices['appel']",)
    assert answer.mends == ()


def test_drafts_may_be_tried_in_another_way() -> None:
    tries = ScriptedTries()
    write("x", judge=Judge(names="x", tries=tries, check=partial(tries.seen, "import x")))
    assert tries.tried == ["import x\n\nx"]


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_whatever_a_model_writes_lands_as_code_that_parses(text: str) -> None:
    for cell in code_cells(ANSWER_PREFIX + text, is_cut_off=True):
        assert syntax_error(cell.source) is None


@pytest.fixture
def tiny(tiny_gguf: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(find_model(tiny_gguf), EngineOptions(n_threads=1))
    yield engine
    engine.close()


def test_a_seed_gives_the_same_code_again(tiny: LocalEngine) -> None:
    params = SamplingParams(seed=3, max_tokens=24, temperature=1, ignore_eos=True)
    answers = [write(engine=tiny, params=params) for _ in range(2)]
    assert answers[0].sources == answers[1].sources
    assert answers[0].completion.text == answers[1].completion.text
    assert answers[0].num_drafts == answers[1].num_drafts > 1


def test_further_drafts_read_the_prompt_no_more(tiny: LocalEngine) -> None:
    params = SamplingParams(max_tokens=12, temperature=1, ignore_eos=True)
    read: list[tuple[Request, Usage]] = []

    class Watched(ScriptedEngine):
        def submit(self, request: Request) -> Stream:
            stream = tiny.submit(request)
            note = stream.future.add_done_callback
            note(lambda done: read.append((request, done.result().usage)))
            return stream

    write(engine=Watched(), params=params, num_drafts=3)
    assert len(read) == 3
    (_, first), *others = read
    for request, usage in others:  # one goes on from the first draft, to mend it
        is_same = request.prompt == PROMPT
        assert usage.cached_tokens >= (usage if is_same else first).prompt_tokens - 1


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_cells_of_a_small_model_at_temperature_1_all_parse(smollm2: Path) -> None:
    engine = LocalEngine(find_model(smollm2))
    sources = [cell["source"] for name in NAMES for cell in code_cells_of(name)]
    answers = []
    for seed in range(200):
        told = "\n\n".join(sources[seed % len(sources) :][:5])
        asked = code_prompt(ASKED[seed % len(ASKED)])
        prompt = (Message("user", f"These cells ran in the notebook:\n\n{told}\n\n{asked}"),)
        params = SamplingParams(temperature=1, max_tokens=80, seed=seed, exact=False)
        # One draft, so that there is much to repair.
        answers.append(write_code(engine, Request(prompt=prompt, params=params), num_drafts=1))
    engine.close()
    written = [answer for answer in answers if answer.cells]
    assert [one for answer in written for one in answer.sources if syntax_error(one)] == []
    assert len(written) >= 0.95 * len(answers)
    assert any(answer.changes for answer in written)
