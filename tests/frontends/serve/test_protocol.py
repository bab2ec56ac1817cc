"""What clients ask and are told by OpenAI's protocol; the official client is one of them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from support.engines import before_each_step, load
from support.scripted import ScriptedEngine
from support.serving import call, client_of, serving

from jupyter_llm import llm
from jupyter_llm.engine.constraint import OneOf
from jupyter_llm.engine.info import FimTokens
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.protocol import MEANS
from jupyter_llm.engine.request import Message, Priority, RawPrompt, Special
from jupyter_llm.frontends.serve.server import Serving

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
USER = (Message("user", "Hello there"),)


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf)


def test_the_models_that_are_loaded_are_there(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "jupyter_llm"


def test_a_chat_is_answered_as_the_engine_answers(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "temperature": 0}
    first = client.chat.completions.create(**asked, max_tokens=12)
    again = client.chat.completions.create(**asked, max_completion_tokens=12)
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].finish_reason == "length"
    assert first.usage is not None
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert first.usage.completion_tokens == 12
    assert again.usage.prompt_tokens_details.cached_tokens == first.usage.prompt_tokens - 1


def test_nobody_is_told_what_another_client_asked_before(served: Serving) -> None:
    def cached(client: OpenAI, **more: Any) -> int:
        asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 2, **more}
        usage = client.chat.completions.create(**asked).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0

    with client_of(served) as one, client_of(served) as other, client_of(served) as third:
        assert (cached(one), cached(other)) == (0, 0)
        whole = cached(one)
        assert whole == cached(other) > 10
        assert cached(one, prompt_cache_key="mine") == 0
        assert cached(third, prompt_cache_key="mine") == whole
        longer = [*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO]
        assert 10 < cached(third, messages=longer, prompt_cache_key="mine") <= whole + 1
        assert cached(third, messages=longer) == 0


def test_pieces_add_up_to_the_whole_and_end_with_what_it_cost(client: OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": "tiny",
        "messages": HELLO,
        "temperature": 0,
        "max_tokens": 12,
        "logprobs": True,
    }
    whole = client.chat.completions.create(**asked)
    *pieces, last = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == str(
        whole.choices[0].message.content
    )
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert [p.choices[0].finish_reason for p in pieces[:-1]] == [None] * (len(pieces) - 1)
    told, wanted = pieces[-1].choices[0].logprobs, whole.choices[0].logprobs
    assert told is not None
    assert wanted is not None
    assert [t.token for t in told.content or ()] == [t.token for t in wanted.content or ()]
    assert last.usage is not None
    assert last.usage.completion_tokens == 12
    assert last.choices == []


def test_several_answers_to_a_prompt_are_numbered_and_it_counts_once(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 8}
    answered = client.chat.completions.create(**asked, n=3, temperature=2, seed=1)
    alone = client.chat.completions.create(**asked)
    assert [choice.index for choice in answered.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answered.choices}) == 3
    assert answered.usage is not None
    assert alone.usage is not None
    assert answered.usage.prompt_tokens == alone.usage.prompt_tokens


def test_an_answer_has_the_shape_that_was_asked_for(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 200}
    answered = client.chat.completions.create(**asked, response_format=form)
    assert set(json.loads(str(answered.choices[0].message.content))) == {"name", "age"}
    wanted = {
        '%llguidance {}\nstart: "a" | "b"': ("a", "b"),
        choice("red", "blue"): ("red", "blue"),
    }
    for grammar, texts in wanted.items():
        shaped = {"grammar": grammar}
        answered = client.chat.completions.create(**asked, extra_body=shaped)
        assert answered.choices[0].message.content in texts


def choice(*texts: str) -> str:
    return str(MEANS["choice"][0].spell(OneOf(texts))["grammar"])


def test_thousands_of_choices_take_as_many_steps_as_the_answer_has_tokens(
    client: OpenAI, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, steps = [f"item {number}: a+b" for number in range(10_000)], list[int]()
    before_each_step(engine, monkeypatch, steps.append)
    body = {"grammar": choice(*texts)}
    answered = client.chat.completions.create(model="tiny", messages=HELLO, extra_body=body)
    assert answered.choices[0].message.content in texts
    assert len(steps) < 50


def test_vectors_are_those_of_the_engine(
    client: OpenAI, served: Serving, engine: LocalEngine
) -> None:
    texts = [f"text {number}" for number in range(70)]  # more than are read at once
    wanted = engine.embed(texts)
    for encoding in ("float", "base64"):
        asked = {"input": texts, "encoding_format": encoding}
        _, found = call(served, "/v1/embeddings", asked)
        rows = [one["embedding"] for one in found["data"]]
        if encoding == "base64":
            rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
        assert np.array(rows, np.float32) == pytest.approx(wanted, abs=1e-3)
        assert found["usage"]["prompt_tokens"] == sum(map(len, engine.tokenize_texts(texts)))
    told = client.embeddings.create(input=texts, model="tiny")  # which asks for bytes
    assert np.array([one.embedding for one in told.data]) == pytest.approx(wanted, abs=1e-3)


def test_vectors_of_tokens_are_those_of_their_text_and_short_ones_have_length_one(
    client: OpenAI, engine: LocalEngine
) -> None:
    def vectors(given: Any, **more: Any) -> np.ndarray:
        made = client.embeddings.create(model="tiny", input=given, **more)
        return np.array([one.embedding for one in made.data])

    texts = ["the quick", "a lazy dog"]
    tokens = [list(one) for one in engine.tokenize_texts(texts)]
    whole = engine.embed(texts)
    assert vectors(tokens) == pytest.approx(whole, abs=1e-3)
    assert vectors(tokens[0]) == pytest.approx(whole[:1], abs=1e-3)
    short = whole[:, :3] / np.linalg.norm(whole[:, :3], axis=1, keepdims=True)
    assert vectors(texts, dimensions=3) == pytest.approx(short, abs=1e-2)
    faults: dict[str, dict[str, Any]] = {
        f"vectors have {whole.shape[1]} dimensions": {"input": texts, "dimensions": 9999},
        "at most 2048 vectors": {"input": ["a"] * 2049},
        "by their numbers": {"input": []},
    }
    for fault, asked in faults.items():
        with pytest.raises(BadRequestError, match=fault):
            client.embeddings.create(model="tiny", **asked)


def test_text_before_a_suffix_is_filled_in_by_a_model_that_can(
    client: OpenAI, fresh_llm: None
) -> None:
    with pytest.raises(BadRequestError, match="a code model that fills in the middle; tiny cannot"):
        client.completions.create(model="tiny", prompt="def f(", suffix="):")
    fim = FimTokens(prefix="<P>", suffix="<S>", middle="<M>")
    engine = ScriptedEngine(["x"] * 2, fim=fim)
    with serving(engine) as served, client_of(served) as other:
        assert other.completions.create(model="", prompt="f(", suffix=")").choices[0].text == "x"
        other.completions.create(model="", prompt="", suffix=")")
        for more in ({"echo": True}, {"prompt": [1, 2]}):
            asked: dict[str, Any] = {"model": "", "prompt": "f(", "suffix": ")", **more}
            with pytest.raises(BadRequestError, match="takes the prompt as text, and no echo"):
                other.completions.create(**asked)
    marks = Special("<P>"), Special("<S>"), Special("<M>")
    assert [one.prompt for one in engine.requests] == [
        RawPrompt((marks[0], "f(", marks[1], ")", marks[2])),
        RawPrompt((marks[0], marks[1], ")", marks[2])),
    ]


def test_echo_tells_how_likely_each_token_of_the_prompt_was(
    client: OpenAI, engine: LocalEngine
) -> None:
    prompt = "the quick brown fox"
    token_ids = engine.tokenize(prompt)
    for given in (prompt, list(token_ids)):
        answered = client.completions.create(
            model="tiny",
            prompt=given,
            echo=True,
            logprobs=2,
            max_tokens=1,
            temperature=0,
        )
        (choice,) = answered.choices
        assert choice.text.startswith(prompt)
        assert choice.logprobs is not None
        told = choice.logprobs
        assert told.tokens is not None
        assert told.token_logprobs is not None
        assert told.top_logprobs is not None
        assert "".join(told.tokens) == choice.text
        assert told.text_offset == [len("".join(told.tokens[:n])) for n in range(len(told.tokens))]
        assert len(told.tokens) == len(token_ids) + 1
        assert told.token_logprobs[0] is None
        assert told.top_logprobs[0] is None
        (score,) = engine.score(told.tokens[0], [prompt[len(told.tokens[0]) :]])
        read = told.token_logprobs[1 : len(token_ids)]
        assert read == pytest.approx(list(score.logprobs), abs=1e-2)
        for logprob, tops in zip(told.token_logprobs[1:], told.top_logprobs[1:], strict=True):
            assert logprob in tops.values()
            assert len(tops) in (2, 3)
        # The last one is the likeliest, as it is told to be.
        assert told.token_logprobs[-1] == max(told.top_logprobs[-1].values())
        assert answered.usage is not None
        assert answered.usage.prompt_tokens == len(token_ids)
        assert answered.usage.completion_tokens == 1
        alone = client.completions.create(
            model="tiny", prompt=given, echo=True, logprobs=2, max_tokens=0
        )
        assert alone.usage is not None
        assert alone.usage.total_tokens == len(token_ids)
        assert alone.choices[0].text == prompt
        assert alone.choices[0].logprobs is not None
        assert alone.choices[0].logprobs.tokens == told.tokens[:-1]


def test_several_texts_go_on_in_one_call(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_tokens": 6}
    prompts = ["the quick", "a lazy"]
    together = client.completions.create(prompt=prompts, **asked)
    alone = [client.completions.create(prompt=prompt, **asked) for prompt in prompts]
    assert [choice.text for choice in together.choices] == [one.choices[0].text for one in alone]


def test_texts_and_tokens_turn_into_each_other(served: Serving, engine: LocalEngine) -> None:
    asked = {"content": "the quick", "parse_special": False}
    status, told = call(served, "/tokenize", asked)
    assert (status, tuple(told["tokens"])) == (200, engine.tokenize_texts(["the quick"])[0])
    _, named = call(served, "/tokenize", {**asked, "with_pieces": True})
    assert [one["id"] for one in named["tokens"]] == told["tokens"]
    assert "".join(one["piece"] for one in named["tokens"]) == "the quick"
    assert call(served, "/detokenize", {"tokens": told["tokens"]}) == (200, {"prompt": "the quick"})
    _, read = call(served, "/tokenize", {"content": engine.format(USER)})
    assert tuple(read["tokens"]) == engine.tokenize(USER)
    harness = {"prompt": "the quick", "add_special_tokens": False}
    assert call(served, "/tokenize", harness) == (200, told)
    status, told = call(served, "/detokenize", {"tokens": [10**6]})
    assert (status, "no token 1000000" in told["error"]["message"]) == (400, True)


def test_an_answer_that_is_begun_goes_on(fresh_llm: None) -> None:
    engine = ScriptedEngine(["yes"])
    said: list[Any] = [*HELLO, {"role": "assistant", "content": "Well, "}]
    how = {"continue_final_message": True, "add_generation_prompt": False}
    with serving(engine) as served, client_of(served) as client:
        client.chat.completions.create(model="", messages=said, extra_body=how)
        with pytest.raises(BadRequestError, match="an answer as the last message"):
            client.chat.completions.create(model="", messages=HELLO, extra_body=how)
    assert (engine.requests[0].prompt, engine.requests[0].answer_prefix) == (USER, "Well, ")


def test_halves_of_characters_harm_nothing(served: Serving) -> None:
    body = b'{"prompt": "a \\ud800 b", "echo": true, "logprobs": 1, "max_tokens": 2}'
    status, told = call(served, "/v1/completions", body)
    assert (status, told["choices"][0]["text"][:5]) == (200, "a \ud800 b")


def test_thoughts_are_told_apart_from_the_answer(fresh_llm: None) -> None:
    engine = ScriptedEngine(["<think>hm</think>yes"] * 2)
    with serving(engine) as served, client_of(served) as client:
        message = client.chat.completions.create(model="", messages=HELLO).choices[0].message
        pieces = [
            piece.choices[0].delta
            for piece in client.chat.completions.create(model="", messages=HELLO, stream=True)
        ]
    assert (message.content, message.model_extra) == ("yes", {"reasoning_content": "hm"})
    thoughts = [(piece.model_extra or {}).get("reasoning_content", "") for piece in pieces]
    assert "".join(thoughts) == "hm"
    assert "".join(piece.content or "" for piece in pieces) == "yes"


def test_a_guest_asks_behind_cells_and_leaves_nothing(fresh_llm: None) -> None:
    engine = ScriptedEngine(["yes"])
    with serving(engine) as served, client_of(served) as client:
        client.chat.completions.create(
            model="scripted",
            messages=[
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                *HELLO,
            ],
            temperature=0.5,
            top_p=0.9,
            seed=-1,
            stop="end",
            logit_bias={"5": -100},
            extra_body={
                "top_k": 3,
                "min_p": 0.1,
                "repeat_penalty": 1.1,
                "chat_template_kwargs": {"enable_thinking": False},
            },
        )
    (request,) = engine.requests
    params = request.params
    assert (request.priority, request.is_private, request.conversation) == (
        Priority.GUEST,
        True,
        None,
    )
    assert request.prompt == (Message("system", "Be brief."), *USER)
    assert (params.temperature, params.top_p, params.min_p, params.top_k) == (0.5, 0.9, 0.1, 3)
    assert (params.repeat_penalty, params.stop, params.exact, params.think) == (
        1.1,
        ("end",),
        False,
        False,
    )
    assert params.logit_bias == ((5, -100.0),)
    assert params.seed is not None
    assert params.max_tokens is None


def schema_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": schema}}


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(300):
    DEEP = {"type": "object", "properties": {"more": DEEP}}
REFUSED: dict[str, dict[str, Any]] = {
    "unknown field `frequency_penalty`": {"frequency_penalty": 1},
    "unknown field `colour`": {"colour": "red"},
    r"Invalid enum value 'image_url' - at `\$\.messages\[0\]\.content\[0\]\.type`": {
        "messages": [{"role": "user", "content": [{"type": "image_url"}]}]
    },
    r"unknown field `weight` - at `\$\.messages\[0\]`": {"messages": [{**HELLO[0], "weight": 1}]},
    "unknown field `best_of`": {"best_of": 2},
    "unknown field `modalities`": {"modalities": ["text", "audio"]},
    "of length >= 1": {"messages": []},
    r"Expected `float \| null`, got `str` - at `\$\.temperature`": {"temperature": "hot"},
    "temperature must be at least 0": {"temperature": -1},
    "max_tokens must be at least 1": {"max_tokens": 0},
    r"Expected `int`, got `str` - at `key` in `\$\.logit_bias`": {"logit_bias": {"a": 1}},
    "of range": {"logit_bias": {"9" * 5000: 1}},
    "Give one shape": {"response_format": {"type": "json_schema"}},
    "its schema in response_format": {
        "response_format": {"type": "text", "json_schema": {"schema": {"type": "null"}}}
    },
    "The field age cannot be asked": {
        "response_format": schema_of({"type": "object", "properties": {"age": False}})
    },
    "The schema is nested too deeply": {"response_format": schema_of(DEEP)},
    "grammar=.* Expected token": {"grammar": "%llguidance {}\nstart: ("},
    "A grammar has Lark's syntax": {"grammar": 'root ::= "a"'},
}


@pytest.mark.parametrize("said", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_refused_by_its_name(said: str, client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "extra_body": REFUSED[said]}
    for stream in (False, True):
        with pytest.raises(BadRequestError, match=said) as caught:
            client.chat.completions.create(**asked, stream=stream)
        assert caught.value.type == "invalid_request_error"


def test_fields_that_change_no_answer_are_accepted(client: OpenAI) -> None:
    said: dict[str, Any] = {
        "tools": [],
        "tool_choice": "none",
        "frequency_penalty": 0.0,
        "presence_penalty": 0,
        "user": "somebody",
        "metadata": {"run": "7"},
        "store": True,
        "service_tier": "auto",
        "parallel_tool_calls": True,
        "reasoning_effort": "low",
        "verbosity": "high",
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "Hi"},
        "best_of": 1,
        "n": 1,
        "logit_bias": {},
        "top_k": None,
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    spoken: Any = [*HELLO, {"role": "assistant", "tool_calls": []}, {**HELLO[0], "name": "Ann"}]
    client.chat.completions.create(model="tiny", messages=spoken, max_tokens=1, extra_body=said)


def test_what_is_on_another_machine_is_not_served_on(fresh_llm: None) -> None:
    engine = ScriptedEngine()
    engine.info = replace(engine.info, host="far.example")
    with serving(engine) as served, client_of(served) as client:
        assert list(client.models.list()) == []
        for name in ("", "scripted"):
            with pytest.raises(NotFoundError, match=r"on far\.example\. Only"):
                client.chat.completions.create(model=name, messages=HELLO)
        llm.current.residents.all = ()
        llm.current.choices.by_role["chat"] = (Address("http://far.example/v1"), EngineOptions())
        assert list(client.models.list()) == []
        for name in ("", "@far.example"):  # nobody asks the server what it has, either
            with pytest.raises(NotFoundError, match=r"on far\.example\. Only"):
                client.chat.completions.create(model=name, messages=HELLO)
    assert engine.requests == []


def test_one_model_answers_to_any_name_and_says_its_own(client: OpenAI) -> None:
    answered = client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=1)
    assert answered.model == "tiny"


def test_of_several_models_one_is_named(engine: LocalEngine, fresh_llm: None) -> None:
    other = ScriptedEngine()
    with serving(engine, other) as served, client_of(served) as client:
        said = r"This server has no model 'gpt-5'. It has .*scripted"
        with pytest.raises(NotFoundError, match=said) as missing:
            client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert missing.value.code == "model_not_found"


def test_errors_are_those_that_clients_know(client: OpenAI, served: Serving) -> None:
    long: Any = [{"role": "user", "content": "word " * 20_000}]
    with pytest.raises(BadRequestError, match=r"context window is \d+\.$") as overflow:
        client.chat.completions.create(model="tiny", messages=long)
    assert overflow.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError, match="The prompt is empty"):
        client.completions.create(model="tiny", prompt="")
    for body in (b"{", b"[]", b"[" * 100_000, b'"\xff"'):
        status, told = call(served, "/v1/chat/completions", body)
        assert (status, told["error"]["type"]) == (400, "invalid_request_error")
    assert call(served, "/v1/nothing")[0] == 404
    assert call(served, "/v1/chat/completions")[0] == 405
    assert call(served, "/v1/models/")[1]["data"][0]["id"] == "tiny"
    assert call(served, "/v1/models/gpt-5")[0] == 404
    assert call(served, "/v1/completions", b" " * (3 << 20))[0] == 413
