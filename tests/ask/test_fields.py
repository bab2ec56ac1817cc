"""How likely the parts of an answer were, on an engine whose opinions are given."""

from __future__ import annotations

import json
import math
import pickle
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from support.engines import load
from support.scripted import ScriptedEngine

from jupyter_llm import llm
from jupyter_llm.ask.answer import answer_of
from jupyter_llm.ask.question import Question
from jupyter_llm.ask.shape import shape_of
from jupyter_llm.engine.completion import Choice, Completion, PromptInterrupted, Score, Usage
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.engine.stream import Stream, StreamFeed
from jupyter_llm.errors import EngineClosedError, OptionError


@dataclass
class Review:
    title: str
    tone: Literal["good", "bad"]
    is_long: bool
    stars: int


@dataclass
class Opinion:
    tone: Literal["good", "bad"]
    is_long: bool
    stars: int


FAST = SamplingParams(temperature=0, exact=False)
TEXT = '{"title": "A \\"tone\\": x", "tone": "bad", "is_long": true, "stars": 12}'
LIKELY = {"good": 0.3, "bad": 0.6, "true": 0.9, "false": 0.05, "12": 0.7}


class Judge(ScriptedEngine):
    """Finds texts as likely as `LIKELY` says."""

    def submit(self, request: Request) -> Stream:
        if not isinstance(request.constraint, OneOf):
            return super().submit(request)
        self._check_open()
        self.requests.append(request)
        texts = request.constraint.texts
        scores = [Score(text, (math.log(LIKELY[text.strip(' ",}')]),)) for text in texts]
        best = max(scores, key=lambda score: score.logprob).text
        completion = Completion(
            text=best,
            finish_reason="stop",
            usage=Usage(),
            model="judge",
            choice=Choice(tuple(scores)),
        )
        feed = StreamFeed()
        cancelled = replace(completion, finish_reason="cancelled", choice=None)
        feed.finish(cancelled if self.holds else completion)
        return Stream(feed, lambda: None, lambda: completion, lambda: None)  # type: ignore[arg-type, return-value]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> Judge:
    engine = Judge([TEXT])
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    return engine


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 2}])
def test_how_a_server_sets_out_its_json_does_not_matter(
    engine: Judge, layout: dict[str, Any]
) -> None:
    ours = llm("Tell.", schema=Review).probabilities
    laid_out = Judge([json.dumps(json.loads(TEXT), **layout)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(llm.current, "get", lambda *_args, **_options: laid_out)
        assert llm("Tell.", schema=Review).probabilities == ours
    assert laid_out.requests[1:] == engine.requests[1:]


def test_each_choice_bool_and_number_of_an_object_has_a_probability(engine: Judge) -> None:
    answer = llm("Tell.", schema=Review)
    assert answer.probabilities == {
        "tone": {"good": pytest.approx(1 / 3), "bad": pytest.approx(2 / 3)},
        "is_long": {True: pytest.approx(0.9 / 0.95), False: pytest.approx(0.05 / 0.95)},
        "stars": pytest.approx(0.7),
    }
    assert answer.elsewhere["tone"] == pytest.approx(0.1)
    assert answer.confidence == {
        "tone": pytest.approx(2 / 3),
        "is_long": pytest.approx(0.9 / 0.95),
        "stars": pytest.approx(0.7),
    }


def test_fields_are_compared_where_they_stand_once_and_only_when_asked_for(engine: Judge) -> None:
    answer = llm("Tell.", schema=Review)
    assert len(engine.requests) == 1
    assert answer.probabilities
    assert answer.confidence
    assert [request.answer_prefix for request in engine.requests[1:]] == [
        TEXT[: TEXT.index(' "bad"')],
        TEXT[: TEXT.index(" true")],
        TEXT[: TEXT.index(" 12")],
    ]
    assert [request.constraint for request in engine.requests[1:]] == [
        OneOf((' "good",', ' "bad",'), is_whole=False),
        OneOf((" true,", " false,"), is_whole=False),
        OneOf((" 12}",), is_whole=False),
    ]
    assert {request.prompt for request in engine.requests} == {engine.requests[0].prompt}


def test_what_is_resident_of_a_chat_stays_when_its_answer_is_judged(engine: Judge) -> None:
    assert llm.chat()("Tell.", schema=Review).confidence
    first, *others = [request.conversation for request in engine.requests]
    assert first is not None
    assert others == [None] * 3


def test_fields_are_compared_after_the_reasons_that_were_given(engine: Judge) -> None:
    request = Request(prompt="Tell.", params=SamplingParams(reason=20))
    written = llm("Tell.", schema=Review).completion
    reasoned = replace(written, reasoning="It broke.")
    assert answer_of(reasoned, shape_of(Review), request, engine).probabilities
    assert engine.requests[-1].reasoning == "It broke."
    assert engine.requests[-1].answer_prefix == TEXT[: TEXT.index(" 12")]
    assert engine.requests[-1].params.reason == 0


def test_of_a_choice_it_is_known_already_and_by_its_values(engine: Judge) -> None:
    LIKELY.update(Yes=0.2, No=0.6)
    answer = llm("Is it?", schema=bool)
    assert answer.value is False
    assert answer.probabilities == {True: pytest.approx(0.25), False: pytest.approx(0.75)}
    assert answer.elsewhere == pytest.approx(0.2)
    assert answer.confidence == pytest.approx(0.75)
    assert len(engine.requests) == 1


def test_an_answer_can_be_kept_with_what_is_known_of_it(engine: Judge) -> None:
    LIKELY.update(Yes=0.2, No=0.6)
    chosen = llm("Is it?", schema=bool)
    written = pickle.dumps([chosen, llm("Tell.", schema=Review)])
    kept = pickle.loads(written)  # noqa: S301  our own
    assert kept[0].value is False
    assert kept[0].confidence == chosen.confidence
    assert kept[0].probabilities == {"Yes": pytest.approx(0.25), "No": pytest.approx(0.75)}
    assert kept[1].value.stars == 12
    with pytest.raises(OptionError, match="cannot be asked for"):
        _ = kept[1].confidence


def test_of_any_other_text_it_is_that_of_the_whole(engine: Judge) -> None:
    engine.replies[0] = "12"
    answer = llm("How many?", schema=int)
    assert answer.probabilities == {"12": pytest.approx(0.7)}
    assert answer.confidence == pytest.approx(0.7)
    assert answer.elsewhere == pytest.approx(0.3)
    assert engine.requests[-1].constraint == OneOf(("12",))


def test_an_interrupt_while_they_are_compared_leaves_nothing_half_done(
    engine: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = llm("Tell.", schema=Review)
    engine.holds = True

    def interrupted(stream: Stream) -> None:
        raise stream.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "result", interrupted)
        with pytest.raises(PromptInterrupted):
            _ = answer.probabilities
    engine.holds = False
    assert sorted(answer.confidence) == ["is_long", "stars", "tone"]


def test_without_the_model_that_answered_one_line_says_so(engine: Judge) -> None:
    answer = llm("Tell.", schema=Review)
    alone: Any = answer_of(answer.completion, shape_of(Review))
    with pytest.raises(OptionError, match="cannot be asked for"):
        _ = alone.probabilities
    engine.close()
    with pytest.raises(EngineClosedError):
        _ = answer.confidence


def test_a_real_model_finds_fields_as_likely_as_their_texts_are(smollm2: Path) -> None:
    prompt = "Review: It broke after a day and nobody answered. 1 star."
    request = Question(prompt=prompt, params=FAST, shape=shape_of(Opinion)).request
    with closing(load(smollm2, n_ctx=512, checkpoints=False)) as engine:
        answer: Any = answer_of(
            engine.submit(request).result(60), shape_of(Opinion), request, engine
        )
        text = answer.text
        before = text[: text.index('"tone"')] + '"tone": '
        good, bad = engine.score(request.prompt, [f'{before}"{one}",' for one in ("good", "bad")])
        ratio = good.logprob - bad.logprob
        likely = answer.probabilities["tone"]
        assert math.log(likely["good"] / likely["bad"]) == pytest.approx(ratio, abs=0.2)
        assert sum(answer.probabilities["is_long"].values()) == pytest.approx(1)
        assert 0 < answer.confidence["stars"] <= 1
        assert all(0 <= elsewhere <= 1 for elsewhere in answer.elsewhere.values())
