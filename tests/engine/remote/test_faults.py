"""What goes wrong on the way to a server and back: how often it is asked, and what is said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from traceback import TracebackException
from typing import Any

import httpx2
import pytest
from support.kernel import running_kernel
from support.scripted_server import (
    Fault,
    ScriptedServer,
    cut,
    drop,
    page,
    raw,
    serving,
    silent,
    slow,
    status,
)
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.common.controls import one_line
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote import wire
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.engine.remote.replies import BoundedBody
from jupyter_llm.engine.remote.served import Served
from jupyter_llm.engine.request import Message, Priority, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import JupyterLLMError, ServerError

HELLO = (Message("user", "Hello there"),)
REPLY = "one two three"


def submit(engine: RemoteEngine, priority: Priority = Priority.CHAT, **sampling: Any) -> Stream:
    params = SamplingParams(**{"temperature": 0, **sampling})
    return engine.submit(Request(prompt=HELLO, params=params, priority=priority))


def answer(server: ScriptedServer, priority: Priority = Priority.CHAT) -> str:
    return submit(server.connect(), priority).result(30).text


BROKEN = {
    "dropped without a word": drop,
    "cut before the first word": cut(),
    "half a chunk": cut(end=b'data: {"choices": [{"ind'),
    "half a character": cut(end=b'data: {"choices": "\xc5\n\n'),
    "no JSON": cut(end=b"data: {[]\n\n"),
    "another protocol": cut(end=b'data: {"choices": 7}\n\n'),
    "a number": cut(end=b"data: 7\n\n"),
    "an error in the stream": cut(end=b'data: {"error": {"message": "out of memory"}}\n\n'),
    "busy": status(429),
    "time-out": status(408),
    "conflict": status(409),
    "crashed": status(500),
    "a gateway's page": page(502),
    "starts": status(503, "Loading model"),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_what_may_pass_is_tried_again_before_a_word_was_shown(fault: Fault) -> None:
    with serving([REPLY], faults=[fault, fault]) as server:
        assert answer(server) == REPLY
        assert len(server.answers) == 3


FINAL = {
    "refused": (status(400, "no such thing"), "refuses (400): no such thing."),
    "unknown": (status(404), "refuses (404): no."),
    "not there": (status(501), "refuses (501): no."),
    "a long pause": (status(429, retry_after="3600"), "asked again in 3600 s."),
    "wrong key": (status(401), "asks for a key: api_key_env='MY_KEY' (401: no)."),
    "a page": (page(), "answered with a web page, not as a model does."),
    "sent on": (status(307, location="http://elsewhere.example/v1"), "on to elsewhere.example;"),
}


@pytest.mark.parametrize(("fault", "said"), FINAL.values(), ids=FINAL)
def test_what_does_not_pass_is_said_in_one_line_and_not_tried_again(
    fault: Fault, said: str
) -> None:
    with serving([REPLY], faults=[fault]) as server:
        with pytest.raises(ServerError) as caught:
            answer(server)
        assert said in str(caught.value)
        assert str(caught.value).startswith(caught.value.host + " ")
        assert "\n" not in str(caught.value)
        assert "<" not in str(caught.value)
        assert len(server.answers) == 1


def test_a_storm_ends_after_five_tries_and_for_rows_after_ten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "jupyter_llm")
    for priority, tries in ((Priority.CHAT, 5), (Priority.BULK, 10)):
        with serving(faults=[status(429, retry_after="0.001")] * 20) as server:
            with pytest.raises(ServerError, match=r"refuses \(429\)") as caught:
                answer(server, priority)
            assert caught.value.status == 429
            assert len(server.answers) == tries
    assert "Again in 0.0 s" in caplog.text


def test_how_long_a_server_wants_to_be_left_alone_is_heeded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "jupyter_llm")
    with serving([REPLY], faults=[status(503, retry_after="0.3")]) as server:
        assert answer(server) == REPLY
    assert "Again in 0.3 s" in caplog.text


def test_what_was_shown_stays_and_is_not_asked_again() -> None:
    with serving([REPLY], faults=[cut("one ", "two ")]) as server:
        stream = submit(server.connect())
        with pytest.raises(ServerError, match="was lost"):
            list(stream)
        assert stream.written == "one two "
        assert len(server.answers) == 1


def test_a_row_that_nobody_saw_is_asked_again_from_its_start() -> None:
    with serving([REPLY], faults=[cut("one ", "tw"), cut("on")]) as server:
        stream = submit(server.connect(), Priority.BULK)
        assert "".join(chunk.text for chunk in stream) == REPLY
        assert stream.result().text == REPLY
        assert len(server.answers) == 3


def test_a_slow_server_is_waited_for() -> None:
    with serving([REPLY], faults=[slow(0.0001)]) as server:
        assert answer(server) == REPLY
        assert len(server.answers) == 1


def test_a_server_that_says_nothing_is_given_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SILENCE_S", 0.2)
    with serving(faults=[silent]) as server:
        with pytest.raises(ServerError, match=r"sent no complete reply within 0\.2 s"):
            answer(server)
        assert len(server.answers) == 1
        until(lambda: server.num_hung_up == 1)


def test_a_server_that_says_nothing_of_itself_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving([REPLY]) as server:
        engine = server.connect()
        monkeypatch.setattr(wire, "QUERY_S", 0.2)
        for faults in (server.details_faults, server.token_faults):
            faults.append(silent)
            with pytest.raises(ServerError, match=r"sent no complete reply within 0\.2 s"):
                server.connect()
        server.faults.append(slow(0.002))  # for an answer there is more time
        assert submit(engine).result(30).text == REPLY


def test_a_server_that_is_busy_is_not_taken_for_one_that_has_less() -> None:
    with serving() as server:
        told = server.connect().info
        server.details_faults.extend([status(429, retry_after="0.001")] * 2)
        with pytest.raises(ServerError, match=r"refuses \(429\)"):
            server.connect()
        server.details_faults.append(status(503, retry_after="0.001"))
        assert server.connect().info == told


@pytest.mark.parametrize("fault", [silent, None], ids=["before a word", "in the midst"])
def test_a_cancelled_request_closes_its_connection(fault: Fault | None) -> None:
    with serving(faults=[fault] if fault else [], holds=True) as server:
        stream = submit(server.connect())
        until(lambda: bool(server.answers) and (fault is not None or stream.written != ""))
        stream.cancel()
        assert stream.result(30).finish_reason == "cancelled"
        until(lambda: server.num_hung_up == 1)
        until(lambda: server.engine.work == "idle")


def test_whoever_waits_to_try_again_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(faults=[status(429, retry_after="60")]) as server:
        stream = submit(server.connect())
        until(lambda: len(server.answers) == 1)
        stream.cancel()
        assert stream.result(30).finish_reason == "cancelled"


def test_an_error_of_a_choice_is_the_error_output_of_its_cell(tmp_path: Path) -> None:
    """Or nbclient and papermill take the cell for one that succeeded."""
    ask = "llm('Hello', choices=['one', 'two'])"
    with serving(faults=[status(400, "no such thing")] * 2) as server:
        start = f"from jupyter_llm import llm\nllm.use({server.url!r}, model='scripted')\n{ask}"
        with running_kernel(tmp_path, HOME=str(tmp_path)) as kernel:
            done = kernel.execute(start)
    assert [one["output_type"] for one in done.outputs] == ["error"]
    assert "refuses (400): no such thing." in done.text


def test_a_server_that_is_not_there_is_named() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:\d+ cannot be reached") as caught:
        RemoteEngine(Address(url))
    assert caught.value.status == 0


ENVIRONMENTS = {
    "a bad proxy": ("HTTPS_PROXY", "gopher://127.0.0.1:9"),
    "a proxy without its package": ("HTTPS_PROXY", "socks5://127.0.0.1:9"),
    "no certificates": ("SSL_CERT_FILE", "/nowhere/ca.pem"),
}


@pytest.mark.parametrize(("name", "value"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_what_is_wrong_in_the_environment_is_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ServerError, match=r"^gpu\.example cannot be (asked|reached)"):
        RemoteEngine(Address("https://gpu.example/v1"))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_reads_what_is_sent_in_clear(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        with pytest.raises(ServerError, match="cannot be reached"):
            RemoteEngine(Address("http://gpu.invalid:1/v1", "scripted"))


def test_a_column_ends_with_its_server_and_keeps_what_is_done() -> None:
    with serving(faults=[slow(0)] * 3 + [status(401)] * 99) as server:
        engine = server.connect()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(llm.current, "get", lambda *_args, **_options: engine)
            with pytest.raises(ServerError, match="asks for a key"):
                llm.map([f"row {n}" for n in range(500)], "Turn: {{item}}")
        assert len(server.answers) < 50


def test_a_model_that_is_not_there_is_named_with_the_nearest() -> None:
    with serving() as server:
        with pytest.raises(ServerError, match=r"has no model 'scriptde'\. Did you mean scripted\?"):
            RemoteEngine(Address(server.url, "scriptde"))
        with pytest.raises(ServerError, match="needs a name: model=…"):
            RemoteEngine(Address(server.url))


def test_a_wrong_key_is_told_by_its_name_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("A_KEY", "not-the-right-one")
    with serving(key="right") as server:
        with pytest.raises(ServerError, match="refuses the key in A_KEY") as caught:
            server.connect(api_key_env="A_KEY")
        assert caught.value.status == 401
        assert caught.value.__cause__ is caught.value.__context__ is None  # they hold the key
        held = TracebackException.from_exception(caught.value, capture_locals=True)
        monkeypatch.setenv("A_KEY", " right\n")
        assert submit(server.connect(api_key_env="A_KEY")).result(30).text
    told = f"{caught.value} {caught.value.args} {caplog.text}"
    assert "not-the-right-one" not in told + "".join(held.format())


@pytest.mark.skipif(which("openssl") is None, reason="makes a certificate by openssl")
def test_https_that_is_none_and_a_certificate_that_nobody_knows_are_refused(
    tmp_path: Path,
) -> None:
    with serving() as server:
        with pytest.raises(ServerError, match="does not speak https; try http://"):
            RemoteEngine(Address(server.url.replace("http:", "https:")))
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
                *("-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.wrap(context)
        with pytest.raises(ServerError, match="no certificate that this machine trusts"):
            RemoteEngine(Address(server.url.replace("http:", "https:")))
    assert server.asked == []


# -- replies of any kind --------------------------------------------------------------------------

END = b"\r\n"
FILL = b"x" * (1 << 16)
ZEROS = gzip.compress(bytes(200 << 20))


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(content: object = "a ", **more: object) -> bytes:
    return event({"choices": [{"delta": {"content": content}, **more}]})


def streamed(*pieces: bytes, endless: bytes = b"") -> Fault:
    return raw(END, *pieces, kind="text/event-stream", endless=endless)


def listed(*models: object) -> Fault:
    return raw(END, json.dumps({"data": models}).encode())


OF_ITSELF = {
    "a list without an end": raw(END, b'{"data": [', endless=b'{"id": "a"},' * 5000),
    "a text without an end": raw(END, b'"', endless=FILL),
    "numbers without an end": raw(END, b"[", endless=b"1000," * 20_000),
    "other names without an end": raw(
        END, b"{", *(f'"{n}":1,'.encode() for n in range(900_000)), b'"":1}'
    ),
    "bytes that unpack to more": raw(b"content-encoding: gzip\r\n", END, ZEROS),
    "another compression": raw(b"content-encoding: br\r\n", END, FILL),
    "a blank now and then": raw(END, endless=b" "),
    "a header now and then": raw(endless=b"a"),
    "headers without an end": raw(endless=b"a: b\r\n" * 9999),
    "hints without an end": raw(b"\r\n", endless=b"HTTP/1.1 103 Hints\r\n\r\n"),
    "a length that is a lie": raw(b"content-length: 9999999999999999\r\n", END, endless=b" "),
    "lists in lists": raw(END, b"[" * 200_000 + b"]" * 200_000),
    "lists in lists, closed": raw(END, b"[" * 90_000 + b"]" * 90_000),
    "objects in objects": raw(END, b'{"a":' * 90_000 + b"1" + b"}" * 90_000),
    "a number of many digits": raw(END, b"1" * 100_000),
    "no number": raw(END, b"NaN"),
    "a text": raw(END, b'"' + b"y" * 100_000 + b'"'),
    "nothing": raw(END),
    "no Unicode": raw(END, b"\xff\xfe" * 999),
    "a dict for a list": raw(END, b'{"data": {"id": "scripted"}}'),
    "numbers for models": listed(1, 2.5, None),
    "lists for models": listed([{"id": "scripted"}], ["scripted"]),
    "no names": listed({"id": 7}, {"id": None}, {"id": ["scripted"]}, {"id": {"a": 1}}),
    "a name without an end": listed({"id": "a\n\x1b[31m" * 30_000}),
    "names that command": listed(*({"id": f"\x1b]0;{n}\x07\n\u202e"} for n in range(99))),
    "a hundred thousand names": listed(*({"id": str(n)} for n in range(99_000))),
    "a model that is half a character": listed({"id": "\ud800"}),
}
"""What a server says that was asked which models it has."""


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[ScriptedServer, RemoteEngine]]:
    """A server that does anything, and an engine of it, for all tests here."""
    with serving() as server:
        engine = RemoteEngine(Address(server.url, "scripted"))
        yield server, engine
        engine.close()


@pytest.mark.parametrize("fault", OF_ITSELF.values(), ids=OF_ITSELF)
def test_whatever_a_server_says_of_itself_takes_little_and_is_one_line(
    shared: tuple[ScriptedServer, RemoteEngine],
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server, engine = shared
    server.details_faults.extend([fault] * 2)
    with monkeypatch.context() as patch, small():
        patch.setattr(wire, "QUERY_S", 0.5)
        with pytest.raises(JupyterLLMError) as caught:
            engine._wire.call(Served(engine._wire).open)
    check_line(caught.value)
    server.details_faults.clear()
    engine._wire.call(Served(engine._wire).open)
    assert "Traceback" not in capfd.readouterr().err


DETAILS: dict[str, Any] = {
    "counts below one": {"n_ctx": -1, "total_slots": -3, "n_params": -1},
    "counts beyond bounds": {"n_ctx": 2**70, "total_slots": 2**52, "size": 10**300},
    "words for counts": {"n_ctx": "many", "total_slots": True, "build_info": 7},
    "a build without an end": {"build_info": "b\n\x1b[31m" * 9999, "chat_template": 7},
    "a template without an end": {"chat_template": "<think>" * 300_000},
    "sampling that is none": {"params": {"temperature": float("nan"), "top_k": "x", "top_p": -1}},
    "depth": json.loads('{"a":' * 900 + "1" + "}" * 900),
}


@pytest.mark.parametrize("told", DETAILS.values(), ids=DETAILS)
def test_details_that_cannot_be_are_as_if_they_were_not_told(
    shared: tuple[ScriptedServer, RemoteEngine], told: dict[str, Any]
) -> None:
    server, engine = shared
    listing = {"data": [{"id": "scripted", "owned_by": {"a": 1}}]}
    server.details_faults.append(lambda handler: handler.tell(listing))
    server.details_faults.append(lambda handler: handler.tell(told))
    served = Served(engine._wire)
    engine._wire.call(served.open)
    assert served.info.n_ctx == 8192
    assert served.info.sampling.by_file <= {"repeat_penalty", "min_p", "top_k"}
    assert len(served.info.build) <= 100
    assert one_line(served.info.build) == served.info.build


LOGPROBS = {"token": "a", "logprob": -1.0, "top_logprobs": []}
ANSWERS = {
    "a line without an end": streamed(b"data: ", endless=FILL),
    "an event without an end": streamed(endless=b"data: x\n" * 5000),
    "comments without an end": streamed(endless=b":\n\n" * 9999),
    "empty pieces without an end": streamed(endless=piece("") * 999),
    "events of nothing without an end": streamed(endless=b"data: {}\n\n" * 999),
    "words without an end": streamed(endless=piece() * 999),
    "thoughts without an end": streamed(
        endless=event({"choices": [{"delta": {"reasoning_content": "hm "}}]}) * 999
    ),
    "a hundred thousand words": streamed(*[piece()] * 100_000, piece("", finish_reason="stop")),
    "a hundred thousand words at once": streamed(piece("word " * 100_000, finish_reason="stop")),
    "a piece of 20 MB": streamed(b"data: ", *[FILL] * 320, b"\n\n"),
    "a blank now and then": streamed(endless=b" "),
    "a comment now and then": streamed(endless=b": wait\n\n"),
    "an empty event now and then": streamed(endless=b"data: {}\n\n"),
    "bytes that unpack to more": raw(
        b"content-encoding: gzip\r\n", END, ZEROS, kind="text/event-stream"
    ),
    "a page without an end": raw(END, kind="text/html", endless=FILL),
    "more after the end": streamed(
        piece("ok", finish_reason="stop"), b"data: [DONE]\n\n", endless=FILL
    ),
    "depth": streamed(b"data: " + b"[" * 50_000 + b"]" * 50_000 + b"\n\n"),
    "a list for a piece": streamed(event([[1], 2])),
    "choices of numbers": streamed(event({"choices": [7]})),
    "choices in lists": streamed(event({"choices": [[{"delta": {"content": "a"}}]]})),
    "a number for a text": streamed(piece(7), piece({"a": 1}), piece(None)),
    "a dict for the reason": streamed(piece(finish_reason={"a": 1})),
    "a reason without an end": streamed(piece(finish_reason="\x1b[31m\n" * 9999)),
    "words for usage": streamed(
        piece(finish_reason="stop"), event({"usage": {"completion_tokens": "many"}})
    ),
    "usage beyond bounds": streamed(
        piece(finish_reason="stop"),
        event({"usage": {"completion_tokens": 10**400, "prompt_tokens": -5}}),
    ),
    "a number for log-probabilities": streamed(piece(logprobs={"content": 7})),
    "texts for log-probabilities": streamed(piece(logprobs={"content": ["a", None]})),
    "no number for a log-probability": streamed(
        piece(logprobs={"content": [{**LOGPROBS, "logprob": float("nan")}]}, finish_reason="stop")
    ),
    "more log-probabilities than tokens": streamed(
        piece(logprobs={"content": [LOGPROBS] * 9000}, finish_reason="stop")
    ),
    "a refusal without an end": lambda handler: (
        handler.wfile.write(b"HTTP/1.1 400 No\r\nconnection: close\r\n\r\n"),
        [handler.wfile.write(FILL) for _ in range(999)],
    ),
    "a deep refusal": lambda handler: handler.send(
        b'{"error":' * 900 + b"1" + b"}" * 900, "application/json", 400, {}
    ),
    "a refusal that commands": status(400, "\x1b[31m\nred\u202e" * 999),
    "sent on to what is no address": status(307, location="http://[bad"),
    "a window below zero": lambda handler: handler.tell(
        {"error": {"message": "no", "n_prompt_tokens": 7, "n_ctx": -1}}, 400
    ),
    "no HTTP": lambda handler: handler.wfile.write(b"hello\r\n\r\n"),
    "chunks of no size": lambda handler: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_a_server_answers_takes_little_and_ends_as_what_was_asked_for_or_in_one_line(
    shared: tuple[ScriptedServer, RemoteEngine],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server, engine = shared
    server.faults.extend([ANSWERS[name]] * 5)
    sampling: dict[str, Any] = {"logprobs": 0} if "log-prob" in name else {}
    with monkeypatch.context() as patch, small():
        patch.setattr(wire, "SILENCE_S", 0.5)
        try:
            completion = submit(engine, max_tokens=20, **sampling).result(60)
        except JupyterLLMError as error:
            check_line(error)
        else:
            assert len(completion.text) <= 64 * 40
            assert completion.usage.completion_tokens <= 40
            assert len(completion.logprobs or ()) <= 40
            assert str(engine.status())
            assert completion.finish_reason != "stop" or "words" not in name or "usage" in name
    server.faults.clear()
    assert submit(engine).result(30).text
    assert "Traceback" not in capfd.readouterr().err


ENDLESS = [name for name in ANSWERS if "without an end" in name or "now and then" in name]


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_an_end_can_be_stopped(
    shared: tuple[ScriptedServer, RemoteEngine], name: str
) -> None:
    server, engine = shared
    server.asked.clear()
    server.faults.append(ANSWERS[name])
    stream = submit(engine, max_tokens=9999)
    until(lambda: bool(server.answers))
    stream.cancel()
    with suppress(ServerError):  # which came first
        assert stream.result(30).finish_reason in ("cancelled", "length")


@pytest.mark.parametrize("wanted", ["nan", "-1", "-inf", "inf", "1e300", "soon"])
def test_a_pause_that_is_no_time_is_not_waited_for(wanted: str) -> None:
    with serving([REPLY], faults=[status(429, retry_after=wanted)]) as server:
        assert answer(server) == REPLY


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "1", None, [1.0]])
def test_a_vector_of_what_is_no_number_is_refused(
    shared: tuple[ScriptedServer, RemoteEngine], number: object
) -> None:
    server, engine = shared
    told = {"data": [{"embedding": [0.5, number]}]}
    server.vector_faults.append(lambda handler: handler.tell(told))
    with pytest.raises(ServerError, match="sent no vector for each text"):
        engine.embed(["a"])


@contextmanager
def small() -> Iterator[None]:
    """Check that the process takes no more than 300 MB of memory beside what it has."""
    process = Path("/proc/self")
    process.joinpath("clear_refs").write_text("5")
    before = peak()
    yield
    assert peak() - before < 300_000


def peak() -> int:
    """The most memory that this process has had since its peak was reset, in kB."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1])


def check_line(error: JupyterLLMError) -> None:
    """Check that an error is one line as a cell shows it, and short."""
    (line,) = error._render_traceback_()
    assert line == one_line(line)
    assert len(line) < 600
    assert error.__context__ is None or error.__suppress_context__


def test_a_reply_that_is_closed_halfway_leaves_no_generator_to_the_garbage_collector() -> None:
    left = []

    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            try:
                yield b"one"
                yield b"two"
            finally:
                left.append("closed")

    async def read_a_piece() -> None:
        body = BoundedBody(httpx2.Response(200, stream=Body()), "host")
        pieces = aiter(body)
        assert await anext(pieces) == b"one"
        await body.aclose()
        assert left == ["closed"]

    asyncio.run(read_a_piece())
