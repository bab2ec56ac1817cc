"""What goes wrong on the way to a server and back: how often it is asked, and what is said."""

from __future__ import annotations

import logging
import ssl
import subprocess
from pathlib import Path
from shutil import which
from traceback import TracebackException
from typing import Any

import pytest
from support.scripted_server import (
    Fault,
    ScriptedServer,
    cut,
    drop,
    page,
    serving,
    silent,
    slow,
    status,
)
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote import wire
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.engine.request import Message, Priority, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import ServerError

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
@pytest.mark.parametrize("priority", [Priority.CHAT, Priority.BULK])
def test_what_may_pass_is_tried_again_before_a_word_was_shown(
    fault: Fault, priority: Priority
) -> None:
    with serving([REPLY], faults=[fault, fault]) as server:
        assert answer(server, priority) == REPLY
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
    monkeypatch.setattr(wire, "_SILENCE_S", 0.2)
    with serving(faults=[silent]) as server:
        with pytest.raises(ServerError, match=r"has said nothing for 0\.2 s"):
            answer(server)
        assert len(server.answers) == 1
        until(lambda: server.num_hung_up == 1)


def test_a_server_that_says_nothing_of_itself_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "_TELL_S", 0.2)
    with serving([REPLY]) as server:
        for faults in (server.details_faults, server.token_faults):
            faults.append(silent)
            with pytest.raises(ServerError, match=r"has said nothing for 0\.2 s"):
                server.connect()
        assert "read=600.0" in repr(server.connect()._wire._client.timeout)  # for an answer


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
