"""What a model on a server does as a local one, and what is refused since it cannot."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.scripted_server import EVERYTHING, ScriptedServer, cut, drop, serving, status
from support.waiting import until

from jupyter_llm.ask.many import run_batch
from jupyter_llm.engine.constraint import BeginsWith, Constraint, Exactly, Grammar, OneOf
from jupyter_llm.engine.info import FimTokens
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.engine.remote.protocol import MEANS
from jupyter_llm.engine.remote.served import _REMEMBERED
from jupyter_llm.engine.request import Message, Priority, RawPrompt, Request, Special
from jupyter_llm.errors import EngineClosedError, JupyterLLMError, OptionError, ServerError
from jupyter_llm.frontends.views import remarks

HELLO = (Message("user", "Hello there"),)
SCHEMA = Grammar("json", '{"type": "object"}')


def request(constraint: Constraint | None = None, prefix: str = "", **sampling: Any) -> Request:
    params = SamplingParams(**{"temperature": 0, **sampling})
    return Request(prompt=HELLO, params=params, constraint=constraint, answer_prefix=prefix)


# -- the address ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:8080/v1/", "localhost:8080"),
        (" HTTPS://Models.Example/v1", "models.example"),
        ("http://[::1]:80/v1", "[::1]:80"),
        ("http://10.0.0.7:11434/v1", "10.0.0.7:11434"),
    ],
)
def test_an_address_says_which_host_it_is(url: str, host: str) -> None:
    address = Address(url)
    assert address.host == host
    assert address == Address(address.url)
    assert not address.url.endswith("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8080", "file:///etc/passwd", "ftp://host/v1", "http://", "http:///v1"),
        *("http://host:99999/v1", "http://host:x/v1", "http://höst/v1", "http://[::1/v1", 7, None),
        *("http://me:secret@host/v1", "http://secret@host/v1", "http://host/v1?api_key=secret"),
        "http://host/v1#secret",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused_without_telling_it(url: Any) -> None:
    with pytest.raises(OptionError) as caught:
        Address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["sk-123456", "gsk_123456", "", "a b", 7])
def test_the_name_of_a_variable_is_no_key(name: Any) -> None:
    with pytest.raises(OptionError, match="name of an environment variable") as caught:
        Address("http://host/v1", api_key_env=name)
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  ", "line\nbreak", "clé"])
def test_a_key_that_is_none_is_asked_for_by_its_name(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("A_KEY", value)
    with pytest.raises(ServerError, match="A_KEY") as caught:
        RemoteEngine(Address("http://127.0.0.1:9/v1", api_key_env="A_KEY"))
    assert value is None or not value.strip() or value not in str(caught.value)


def test_only_what_is_needed_goes_along_and_the_key_stands_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "another-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: another-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("A_KEY", "the-secret")
    with serving(["the answer"], key="the-secret") as server:
        engine = server.connect(api_key_env="A_KEY")
        completion = engine.submit(request()).result(30)
        assert {name.lower() for headers in server.headers for name in headers} <= {
            *("host", "accept", "accept-encoding", "authorization", "connection", "user-agent"),
            *("content-type", "content-length"),
        }
        told = [h.items() - {("authorization", "Bearer the-secret")} for h in server.headers]
        sent = json.dumps([server.asked, list(map(list, told))])
        kept = [repr(engine.info), repr(engine.address), repr(completion), str(engine.status())]
        kept.append(pickle.dumps(engine.address).decode("latin-1"))
        assert completion.provenance is not None
        kept.append(json.dumps(completion.provenance.to_json()))
        shown = "".join([sent, *kept, caplog.text])
        assert "the-secret" not in shown
        assert "another-secret" not in "".join([shown, json.dumps(server.headers)])


def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", "the-secret")
    with serving(key="another") as server:
        with pytest.raises(ServerError, match="Incorrect key: Bearer …") as caught:
            server.connect(api_key_env="A_KEY")
        assert "the-secret" not in str(caught.value)


# -- answers --------------------------------------------------------------------------------------


def test_an_answer_says_what_it_cost_and_promises_nothing() -> None:
    with serving(["one two three"]) as server:
        engine = server.connect()
        completion = engine.submit(request(seed=7, temperature=0.5)).result(30)
        assert completion.text == "one two three"
        assert completion.usage.cached_tokens == 3
        assert completion.usage.completion_tokens == len("one two three")
        assert completion.seed == 7
        assert not completion.exact
        assert engine.info.host == server.url.split("/")[2]
        assert completion.model == engine.info.name == f"scripted@{engine.info.host}"
        assert engine.info.n_ctx == 4096
        assert server.answers[-1]["seed"] == 7


def test_prompts_differ_in_their_records() -> None:
    with serving() as server:
        engine = server.connect()
        asked = [request(), replace(request(), prompt=(Message("user", "Hello you"),)), request()]
        records = [engine.submit(each).result(30).provenance for each in asked]
        hashes = [record.prompt_sha256 for record in records if record is not None]
        assert hashes[0] == hashes[2] != hashes[1]


def test_thoughts_are_told_from_the_answer_however_the_server_sends_them() -> None:
    reply = "<think>let me see</think>The answer."
    with serving([reply]) as server:
        completion = server.connect().submit(request()).result(30)
        assert (completion.reasoning, completion.text) == ("let me see", "The answer.")
    server_side = cut(end=b'data: {"choices": [{"delta": {"reasoning": "so"}}]}\n\n')
    with serving(faults=[server_side] * 9) as server:
        stream = server.connect().submit(request())
        with pytest.raises(ServerError):
            stream.result(30)
        assert stream.reasoning == "so"


def test_halves_of_characters_are_none() -> None:
    told = r'data: {"choices": [{"delta": {"content": "a\ud83db"}, "finish_reason": "stop"}]}'
    with serving(faults=[cut(end=f"{told}\n\n".encode())]) as server:
        assert server.connect().submit(request()).result(30).text == "a�b"


def test_an_answer_that_was_ended_early_says_why() -> None:
    told = b'data: {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}\n\n'
    with serving(faults=[cut("one ", end=told)]) as server:
        stream = server.connect().submit(request())
        with pytest.raises(ServerError, match="ended the answer early: 'content_filter'"):
            stream.result(30)
        assert stream.written == "one "


def test_a_text_that_repeats_itself_is_ended() -> None:
    with serving() as server:
        completion = server.connect().submit(request(max_tokens=None)).result(30)
        assert completion.finish_reason == "repetition"
        until(lambda: server.num_hung_up == 1)


def test_rows_wait_for_each_other_and_nobody_else_for_them() -> None:
    with serving(holds=True) as server:
        engine = server.connect()
        rows = [engine.submit(replace(request(), priority=Priority.BULK)) for _ in range(20)]
        until(lambda: len(server.answers) == 4)  # as many as the server has slots
        chat = engine.submit(request())
        until(lambda: chat.written)
        assert len(server.answers) == 5
        assert engine.status().num_waiting >= 16
        for row in rows:
            row.cancel()
        chat.cancel()
        until(lambda: engine.work == "idle")
        assert len(server.answers) <= 24


def test_vectors_have_the_length_one() -> None:
    with serving() as server:
        vectors = server.connect().embed(["a", "bb", "ccc"] * 50)
        assert vectors.shape == (150, 8)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_scores_are_those_of_the_texts_and_in_a_choice_of_their_ends_too() -> None:
    with serving() as server:
        long, short = server.connect().score("The sky is", [" green", " blue"])
        assert (long.text, long.logprob, short.logprob) == (" green", -6.0, -5.0)
        assert {body["logprobs"] for body in server.answers} == {1}
        choice = server.connect().submit(request(OneOf(("a", "bc")))).result(30).choice
        assert choice is not None
        assert [score.logprob for score in choice.scores] == [-1 - 9999, -2 - 9999]  # their ends


def test_the_likeliest_of_some_texts_is_chosen_by_their_log_probabilities() -> None:
    with serving() as server:
        completion = server.connect().submit(request(OneOf(("maybe", "no", "yes")))).result(30)
        assert completion.text == "no"
        assert completion.choice is not None
        assert completion.choice.probabilities["no"] == pytest.approx(0.705, abs=0.001)
        assert not completion.exact


SPELLINGS: dict[str, tuple[object, bool]] = {
    "as the model reads it": (["n", "o"], False),
    "in as many other tokens": (["no", ""], True),
    "in other tokens": (["no"], True),
    "by their numbers alone": ([7, 8], False),
    "by other numbers": ([7], True),
    "not at all": (None, True),
}


@pytest.mark.parametrize(("read", "is_approximate"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_text_that_a_server_spells_in_other_tokens_is_marked_as_approximate(
    read: list[Any] | None, *, is_approximate: bool
) -> None:
    """The server writes "no" in two tokens, and reads it as the case says."""
    tokens = [{"id": 1, "piece": one} if isinstance(one, str) else one for one in read or ()]
    refused = status(404)
    with serving() as server:
        engine = server.connect()
        told = (lambda handler: handler.tell({"tokens": tokens})) if read is not None else refused
        server.token_faults.extend([told] * (1 if read is not None else 9))
        (score,) = engine.score("Is it?", ["no"])
        assert score.is_approximate == is_approximate
        (again,) = engine.score("Or is it?", ["no"])  # a refusal alone is asked for again
        assert again.is_approximate == is_approximate
        choice = engine.submit(request(OneOf(("no", "yes")))).result(30)
        assert choice.choice is not None
        assert choice.choice.is_approximate == is_approximate
        assert ("rough" in remarks(choice)) == is_approximate


def test_to_be_counted_nothing_is_sent() -> None:
    with serving() as server:
        engine = server.connect()
        num_asked = len(server.asked)
        assert engine.count_tokens(HELLO) == 12
        assert [len(ids) for ids in engine.tokenize_texts(["", "a", "four"])] == [0, 1, 2]
        assert engine.count_tokens(RawPrompt(("four",))) == engine.count_tokens("four") == 10
        assert len(server.asked) == num_asked
        engine.close()
        with pytest.raises(EngineClosedError):
            engine.count_tokens("four")


@pytest.mark.parametrize(("texts", "is_scored"), [(("10", "1"), False), (("10", "2"), True)])
def test_a_choice_that_begins_another_is_left_to_the_server(
    texts: tuple[str, ...], *, is_scored: bool
) -> None:
    with serving() as server:
        completion = server.connect().submit(request(OneOf(texts))).result(30)
        assert (completion.choice is not None) == is_scored
        assert completion.text in texts
        assert len(server.answers) == (2 if is_scored else 1)
        # Within an object what follows is a part of each text.
        inner = server.connect().submit(request(OneOf(("1", "10"), is_whole=False))).result(30)
        assert inner.choice is not None


@pytest.mark.parametrize("priority", [Priority.CHAT, Priority.BULK])
def test_choices_are_scored_as_many_at_a_time_as_the_server_takes(priority: Priority) -> None:
    may_go = threading.Event()

    def wait(handler: Any) -> None:
        may_go.wait(30)
        handler.answer()

    with serving(faults=[wait] * 4) as server:
        engine = server.connect()
        texts = tuple(f"text {n:02}" for n in range(20))
        choice = engine.submit(replace(request(OneOf(texts)), priority=priority))
        until(lambda: len(server.answers) >= 4)
        others = Priority.CHAT if priority == Priority.BULK else Priority.BULK
        assert engine.submit(replace(request(), priority=others)).result(30).text
        assert len(server.answers) == 5
        may_go.set()
        assert choice.result(30).choice is not None
        assert len(server.answers) == 21


def test_one_text_that_cannot_be_scored_ends_the_others() -> None:
    with serving(faults=[status(400)]) as server:
        engine = server.connect()
        with pytest.raises(ServerError, match="refuses"):
            engine.submit(request(OneOf(tuple(f"text {n:02}" for n in range(60))))).result(30)
        assert engine.submit(request()).result(30).text  # which waits for its turn behind them
        assert len(server.answers) < 60


def test_tokens_that_a_server_does_not_tell_are_not_made_up() -> None:
    with serving() as server:
        engine = server.connect()
        for prompt in ("a", HELLO):
            with pytest.raises(OptionError, match="does not report the tokens"):
                engine.tokenize(prompt)
        with pytest.raises(OptionError, match="the text that the model reads for a chat"):
            engine.format(HELLO)


def test_how_a_model_fills_in_the_middle_is_asked_for() -> None:
    fim = FimTokens(prefix="<fim_prefix>", suffix="<fim_suffix>", middle="<fim_middle>")
    for known in (fim, None):
        with serving(fim=known) as server:
            assert server.connect().info.fim == known


def test_of_a_server_that_tells_little_that_is_told() -> None:
    def terse(handler: Any) -> None:
        handler.begin()
        for text in "ab":  # as Together has it, without usage
            told = {"tokens": [text], "token_logprobs": [-1.0]}
            handler.event({"choices": [{"delta": {"content": text}, "logprobs": told}]})
        handler.event({"choices": [{"finish_reason": "stop"}]})
        handler.wfile.write(b"0\r\n\r\n")

    with serving(faults=[terse, terse]) as server:
        engine = server.connect()
        for priority in (Priority.CHAT, Priority.BULK):
            asked = replace(request(logprobs=1), priority=priority)
            completion = engine.submit(asked).result(30)
            assert [(one.text, one.logprob) for one in completion.logprobs or ()] == [
                ("a", -1.0),
                ("b", -1.0),
            ]
            assert completion.usage.completion_tokens == 2


# -- what a server can ----------------------------------------------------------------------------

CANNOT: dict[str, tuple[Request, str]] = {
    "json": (request(SCHEMA), "keep to a JSON Schema"),
    "regex": (request(Grammar("regex", "[0-9]+")), "keep to a regular expression"),
    "lark": (request(Grammar("lark", 'start: "a"')), "keep to a Lark grammar"),
    "choice": (request(OneOf(("a", "b"))), "choose one of some texts"),
    "judging": (request(OneOf(("a",))), "report how likely a given text is"),
    "beginning": (request(BeginsWith(("a", "b"))), "begin with one of some texts"),
    "tokens": (request(Exactly((1, 2))), "read tokens by their numbers"),
    "continuing": (request(prefix="Sure:"), "continue an answer that is begun"),
    "logprobs": (request(logprobs=3), "reports no log-probabilities"),
    "exact": (request(exact=True), "promises no same text"),
    "exact, of a choice": (request(OneOf(("a", "b")), exact=True), "promises no same text"),
    "reason of a choice": (request(OneOf(("a", "b")), reason=20), "writes no reasons before"),
    "think of a choice": (request(OneOf(("a", "b")), think=True), "cannot switch thoughts on"),
    "reason": (request(SCHEMA, reason=20), "writes no reasons before a shape"),
    "top_k": (request(top_k=3), "takes no top_k"),
    "ignore_eos": (request(ignore_eos=True), "takes no ignore_eos"),
    "think": (request(think=True), "cannot switch thoughts on"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_a_server_cannot_is_one_clear_line_and_nothing_like_it(name: str) -> None:
    asked, said = CANNOT[name]
    can = (
        {"choice", "logprobs"} if "of a choice" in name else {"json"} if name == "reason" else set()
    )
    with serving(["Hello!"] * 9, can=can, owner="somebody") as server:
        with pytest.raises(OptionError, match=said) as caught:
            server.connect().submit(asked).result(30)
        assert str(caught.value).startswith("127.0.0.1:")
        assert "\n" not in str(caught.value)
        assert len(server.answers) == (name == "logprobs")


def test_what_a_server_can_is_asked_once_and_written_down() -> None:
    with serving(['{"a": 1}'] * 9) as server:
        server.connect().submit(request(SCHEMA)).result(30)
        engine = server.connect()
        engine.submit(request(SCHEMA)).result(30)
        assert engine._served.ways_by_ability == {"json": "response_format"}
        assert _num_probes(server) == 1


def test_what_an_older_version_wrote_down_of_a_server_is_asked_again() -> None:
    with serving(["one"] * 9) as server:
        engine = server.connect()
        for ability in ("choice", "scoring"):
            _REMEMBERED.put(f"{engine.info.identity} {ability}", "structured_outputs")
        assert engine.submit(request(OneOf(("no", "yes")))).result(30).choice is not None


def test_a_key_that_is_gone_is_not_taken_for_what_a_server_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", "right")
    with serving(['{"a": 1}'], key="right") as server:
        engine = server.connect(api_key_env="A_KEY")
        monkeypatch.delenv("A_KEY")
        with pytest.raises(ServerError, match="there is nothing in it"):
            engine.submit(request(SCHEMA)).result(30)
        monkeypatch.setenv("A_KEY", "right")
        assert engine.submit(request(SCHEMA)).result(30).text == '{"a": 1}'


def test_what_it_cannot_is_asked_again_by_the_next_engine_only() -> None:
    with serving(['{"a": 1}'] * 9, can=()) as server:
        engine = server.connect()
        for _ in range(3):
            with pytest.raises(OptionError):
                engine.submit(request(SCHEMA)).result(30)
        assert _num_probes(server) == (once := len(MEANS["json"]))
        server.can = set(EVERYTHING)
        assert server.connect().submit(request(SCHEMA)).result(30).text == '{"a": 1}'
        assert _num_probes(server) == once + 1


def test_a_row_of_requests_asks_once_what_the_server_can() -> None:
    with serving(['{"a": 1}'] * 30) as server:
        engine = server.connect()
        for stream in [engine.submit(request(SCHEMA)) for _ in range(30)]:
            stream.result(30)
        assert _num_probes(server) == 1


def test_a_choice_by_a_schema_is_read_as_its_text_and_shown_whole() -> None:
    can = EVERYTHING - {"choice"} | {"enum"}
    with serving(['"no"'], can=can, owner="somebody") as server:
        engine = server.connect()
        stream = engine.submit(request(OneOf(("👩‍👩‍👧‍👦", "no"))))
        assert [chunk.text for chunk in stream] == ["no"]
        assert stream.result().choice is None
        assert server.answers[-1]["max_tokens"] >= len("👩‍👩‍👧‍👦".encode()) + 2  # and the quotes
        assert engine._served.ways_by_ability == {"choice": "enum", "scoring": ""}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        *(('"ab', "ab"), ('"a\\u00e', "a"), ('"a\\"b\\', 'a"b'), ('"ab"', "ab"), ("", "")),
        *((' "ż', "ż"), ('"a\\ud83d', "a")),
    ],
)
def test_a_text_that_was_cut_as_json_has_it_is_read_as_far_as_it_goes(
    written: str, text: str
) -> None:
    assert MEANS["regex"][-1].text_of(written, is_cut=True) == text


def test_a_choice_that_is_none_of_its_texts_is_no_answer() -> None:
    can = EVERYTHING - {"choice"} | {"enum"}
    told = '{"choices": [{"delta": {"content": "\\"y"}, "finish_reason": "length"}]}'
    with serving(
        can=can, owner="somebody", faults=[cut(end=f"data: {told}\n\n".encode())] * 5
    ) as server:
        stream = server.connect().submit(request(OneOf(("yes", "no"))))
        with pytest.raises(ServerError, match="did not keep to the shape"):
            stream.result(30)
        assert len(server.answers) == 5


def test_raw_text_without_a_limit_is_gone_on_with_as_far_as_there_is_room() -> None:
    with serving() as server:
        engine = server.connect()
        engine.submit(replace(request(max_tokens=None), prompt="four")).result(30)
        assert server.answers[-1]["max_tokens"] == engine.info.n_ctx - engine.count_tokens("four")


def test_raw_text_goes_as_it_stands_with_the_texts_of_control_tokens() -> None:
    with serving() as server:
        engine = server.connect()
        prompt = RawPrompt(("say ", Special("<|im_end|>")))
        engine.submit(replace(request(prefix="so"), prompt=prompt)).result(30)
        assert server.answers[-1]["prompt"] == "say <|im_end|>so"
        with pytest.raises(OptionError, match="no text where their model is not"):
            engine.submit(replace(request(), prompt=RawPrompt.of_tokens([1]))).result(30)


def test_a_model_that_thinks_though_told_not_to_is_no_silent_thing() -> None:
    with serving(["<think>hm</think>Yes."]) as server:
        stream = server.connect().submit(request(think=False))
        with pytest.raises(OptionError, match="lets this model think"):
            stream.result(30)
        assert server.answers[-1]["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_server_that_cannot_be_told_not_to_think_answers_where_its_model_does_not() -> None:
    with serving(["Yes.", "<think>hm</think>Yes."], owner="somebody") as server:
        engine = server.connect()
        assert engine.submit(request(think=False)).result(30).text == "Yes."
        with pytest.raises(OptionError, match="lets this model think"):
            engine.submit(request(think=False)).result(30)


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b"])
def test_texts_that_are_no_unicode_are_sent_as_what_they_are_shown_as(text: str) -> None:
    with serving() as server:
        stream = server.connect().submit(replace(request(), prompt=(Message("user", text),)))
        assert stream.result(30).text
        assert "�" in server.answers[-1]["messages"][0]["content"]


def test_a_map_of_rows_over_a_server_that_fails_now_and_then_has_them_all() -> None:
    with serving([f"row {n}" for n in range(50)]) as server:
        server.faults.extend([drop, status(503), cut("ro"), status(429)] * 5)
        got: list[str | JupyterLLMError] = run_batch(
            server.connect(), [request()] * 50, lambda _number, completion: completion.text
        )
        assert sorted(map(str, got)) == sorted(f"row {n}" for n in range(50))
        assert len(server.answers) == 70


def _num_probes(server: ScriptedServer) -> int:
    bodies = [body for path, body in server.asked if path.endswith("completions")]
    return len(bodies) - len(server.answers)
