"""Who is let in, who is cancelled, and what is left when nothing is served any more."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from IPython.core.interactiveshell import InteractiveShell
from openai import APIConnectionError, APIError, OpenAI
from support.engines import before_each_step, load
from support.kernel import running_kernel
from support.scripted import ScriptedEngine
from support.serving import call, client_of, serving
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.residents import Resident
from jupyter_llm.errors import MagicUsageError, OptionError, ServeError
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call
from jupyter_llm.frontends.serve import app, notice, server
from jupyter_llm.frontends.serve.address import Whereabouts, all_served
from jupyter_llm.frontends.serve.notice import serve_here
from jupyter_llm.frontends.serve.server import Serving

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
ASKED: dict[str, Any] = {"model": "scripted", "messages": HELLO}


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Jupyter's own for what runs."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


def is_free(served: Serving) -> bool:
    """Whether another program may listen where we did."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", urlsplit(served.url).port))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/tokenize", "/nothing"])
def test_nobody_comes_in_without_the_token(path: str, served: Serving) -> None:
    for token in ("", "wrong", served.token[:-1], served.token + "x", "é"):
        for body in (None, ASKED):
            status, told = call(served, path, body, token=token.encode().decode("latin-1"))
            assert (status, told["error"]["code"]) == (401, "invalid_api_key")
            assert served.token not in json.dumps(told)


def line_to(served: Serving) -> socket.socket:
    """A connection on which nothing was said yet."""
    where = urlsplit(served.url)
    return socket.create_connection((str(where.hostname), where.port or 0), timeout=30)


def test_connections_without_the_token_keep_nobody_out(served: Serving) -> None:
    with ExitStack() as lines:
        silent = [lines.enter_context(line_to(served)) for _ in range(200)]
        silent[-1].sendall(b"GET /v1/models HTTP/1.1\r\nHost:")
        assert call(served, "/v1/models")[0] == 200
        with client_of(served) as client:
            assert [model.id for model in client.models.list()] == ["scripted"]
        assert silent[0].recv(1) == b""


def test_a_hundred_clients_may_connect_at_once(served: Serving) -> None:
    asked = f"GET /v1/models HTTP/1.0\r\nAuthorization: Bearer {served.token}\r\n"
    with ExitStack() as stack:
        lines = [stack.enter_context(line_to(served)) for _ in range(100)]
        for line in lines:
            line.sendall(f"{asked}Host: {urlsplit(served.url).netloc}\r\n\r\n".encode())
        assert {line.recv(12) for line in lines} == {b"HTTP/1.1 200"}


def test_who_does_not_show_the_token_is_hung_up_on_and_who_does_is_not(
    engine: ScriptedEngine, fresh_llm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_S", 0.2)
    engine.holds = True
    with serving(engine) as served, client_of(served) as client, line_to(served) as slow:
        pieces = client.chat.completions.create(**ASKED, stream=True)
        next(iter(pieces))
        slow.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1")
        while slow.recv(1000):
            pass
        assert [p().state for p in engine._progress] == ["writing"]
        pieces.close()


def test_calls_beyond_many_at_a_time_are_asked_to_come_again(
    engine: ScriptedEngine, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_CALLS", 1)
    engine.holds = True
    with client_of(served) as client:
        with client.chat.completions.create(**ASKED, stream=True) as pieces:
            next(iter(pieces))
            status, told = call(served, "/v1/models")
        assert (status, told["error"]["type"]) == (503, "overloaded_error")
        until(lambda: call(served, "/v1/models")[0] == 200)


def test_other_names_than_this_machines_are_refused(served: Serving) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]:80", "["):
        assert call(served, "/v1/models", host=host)[0] == 400
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1:1"):
        assert call(served, "/v1/models", host=host)[0] == 200


def test_health_needs_no_token(served: Serving) -> None:
    assert call(served, "/health", token="") == (200, {"status": "ok"})


def test_only_pages_of_named_sites_may_call_and_they_need_the_token(
    engine: ScriptedEngine, fresh_llm: None
) -> None:
    site, stranger = "https://app.example", "https://evil.example"

    def asked(served: Serving, origin: str, method: str, **more: str) -> tuple[int, str | None]:
        headers = {"Origin": origin, **more}
        answered = httpx2.request(method, f"{served.url}/models", headers=headers, trust_env=False)
        return answered.status_code, answered.headers.get("access-control-allow-origin")

    preflight = {"Access-Control-Request-Method": "GET"}
    preflight |= {"Access-Control-Request-Headers": "authorization, x-stainless-lang"}
    with serving(engine, origins=[site]) as served:
        shown = {"Authorization": f"Bearer {served.token}"}
        assert asked(served, site, "OPTIONS", **preflight) == (200, site)
        assert asked(served, site, "GET", **shown) == (200, site)
        assert asked(served, site, "GET") == (401, site)
        assert asked(served, stranger, "OPTIONS", **preflight) == (400, None)
        assert asked(served, stranger, "GET", **shown) == (200, None)
    with serving(engine) as served:
        assert asked(served, site, "OPTIONS", **preflight) == (400, None)
    for bad in ("*", "null", "https://app.example/path", "app.example"):
        with pytest.raises(ServeError, match="is no origin"):
            Serving(llm.current, origins=[bad])


def test_only_this_machine_is_listened_to(served: Serving) -> None:
    assert served._listening.getsockname()[0] == "127.0.0.1"


def hang_up(
    served: Serving,
    body: dict[str, Any],
    until_so: Callable[[], object],
    path: str = "/v1/chat/completions",
) -> None:
    """Ask, wait for something, and close the connection."""
    where = urlsplit(served.url)
    data = json.dumps(body).encode()
    with socket.create_connection((str(where.hostname), where.port or 0)) as line:
        line.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Authorization: Bearer {served.token}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        until(until_so)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("has_begun", [True, False])
def test_who_hangs_up_is_cancelled(
    stream: bool,  # noqa: FBT001
    has_begun: bool,  # noqa: FBT001
    engine: ScriptedEngine,
    served: Serving,
) -> None:
    engine.holds = True
    if not has_begun:
        engine.may_write.clear()
    hang_up(
        served,
        {**ASKED, "stream": stream, "n": 2},
        lambda: (
            [p().state for p in engine._progress] == ["writing" if has_begun else "reading"] * 2
        ),
    )
    until(lambda: [p().state for p in engine._progress] == ["finished"] * 2)


def test_of_many_answers_few_are_asked_for_at_a_time(
    engine: ScriptedEngine, served: Serving
) -> None:
    engine.holds = True
    many: Any = {"prompt": ["a"] * 128, "n": 16}
    hang_up(served, many, lambda: len(engine.requests) == 32, "/v1/completions")
    until(lambda: {p().state for p in engine._progress} == {"finished"})
    assert len(engine.requests) == 32
    status, told = call(served, "/v1/completions", {**many, "prompt": ["a"] * 129})
    assert (status, told["error"]["message"]) == (400, "A call asks for at most 2048 answers.")


def test_who_leaves_the_loop_is_cancelled(engine: ScriptedEngine, served: Serving) -> None:
    engine.holds = True
    with client_of(served) as client:
        with client.chat.completions.create(**ASKED, stream=True) as pieces:
            next(iter(pieces))
        until(lambda: engine._progress[0]().state == "finished")


def test_the_status_tells_where_it_is_served(served: Serving) -> None:
    assert f"served at: {served.url}\n" in str(llm.status())
    served.stop()
    assert "served at" not in str(llm.status())


def test_guests_are_answered_together_and_counted(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, fresh_llm: None
) -> None:
    engine = load(tiny_gguf)
    scheduler, sizes = engine._model.lanes.all[0].scheduler, [0]
    before_each_step(engine, monkeypatch, lambda _: sizes.append(scheduler.num_running))
    with serving(engine) as served, client_of(served) as client:
        more = {"ignore_eos": True}
        asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "n": 3, "extra_body": more}
        with client.chat.completions.create(**asked, stream=True) as pieces:
            next(iter(pieces))
            until(lambda: max(sizes) == 3)
            assert "3 of them from guests" in str(llm.status())
        until(lambda: engine.status().num_guests == 0)


def test_an_error_in_the_midst_ends_the_stream_with_a_reason(
    tiny_gguf: Path, fresh_llm: None
) -> None:
    engine = load(tiny_gguf)
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "extra_body": {"ignore_eos": True}}
    with serving(engine) as served, client_of(served) as client:
        pieces = iter(client.chat.completions.create(**asked, stream=True))
        next(pieces)
        engine.close()
        with pytest.raises(APIError, match="The model was unloaded"):
            list(pieces)


def test_stopping_hangs_up_and_frees_the_port_and_leaves_no_file(
    engine: ScriptedEngine, runtime: Path, fresh_llm: None
) -> None:
    engine.holds = True
    with serving(engine) as served, client_of(served) as client:
        (path,) = runtime.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (told,) = all_served()
        assert (told.url, told.token, told.pid) == (served.url, served.token, os.getpid())
        pieces = iter(client.chat.completions.create(**ASKED, stream=True))
        next(pieces)
        served.stop()
        assert is_free(served)
        assert served.over.is_set()
        with pytest.raises(APIConnectionError):
            list(pieces)
        until(lambda: engine._progress[0]().state == "finished")
    assert list(runtime.iterdir()) == []
    with serving(ScriptedEngine(), port=urlsplit(served.url).port) as again:
        assert again.url == served.url
        assert again.token != served.token


def test_what_dead_kernels_wrote_is_removed(runtime: Path) -> None:
    dead = Whereabouts(url="http://127.0.0.1:1/v1", token="x", started_s=0)  # noqa: S106
    path = dead.publish()
    others = path.rename(path.with_name(path.name.replace("@", "@another-")))
    dead.publish()
    no_file = path.with_name(path.name.replace(str(os.getpid()), "2"))
    no_file.write_text("[]")
    assert all_served() == []  # a process of another machine is not known to be dead
    assert set(runtime.iterdir()) == {others, no_file}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_keeps_neither_the_port_nor_a_guest(served: Serving) -> None:
    where = urlsplit(served.url)
    with socket.create_connection((str(where.hostname), where.port or 0)) as guest:
        guest.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert guest.recv(20).startswith(b"HTTP/1.1 401")
        ended, end = os.pipe()
        if (child := os.fork()) == 0:
            os.close(end)
            os.read(ended, 1)
            os._exit(0)
        try:
            served.stop()
            guest.settimeout(10)
            while guest.recv(1000):
                pass
            assert is_free(served)
            with serving(ScriptedEngine(), port=where.port) as again:
                assert call(again, "/v1/models")[0] == 200
        finally:
            os.close(end)
            os.close(ended)
            os.waitpid(child, 0)


def test_a_kernel_is_not_its_own_server(engine: ScriptedEngine, served: Serving) -> None:
    port = urlsplit(served.url).port
    for url in (served.url, f"http://LOCALHOST:{port}/v1", f"http://127.0.0.1:{port}"):
        with pytest.raises(OptionError, match="is this kernel, so name the model"):
            llm.use(url)
    assert llm.current.resident is engine
    assert call(served, "/v1/models")[0] == 200


def test_a_model_of_another_machine_is_not_said_to_be_served(
    engine: ScriptedEngine, fresh_llm: None
) -> None:
    engine.info = replace(engine.info, host="far.example")
    address, options = Address("http://far.example/v1"), EngineOptions()
    there: Any = engine
    llm.current.residents.all = (Resident(address, options, there),)
    llm.current.choices.by_role["chat"] = (address, options)
    said = serve_here(llm, "")
    assert said.startswith("Programs on this machine can use its models at")
    assert serve_here(llm, "stop").startswith("The server at")


def test_a_notebook_whose_name_is_no_text_is_served_too(
    shell: InteractiveShell, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "notebook_path", lambda _names: Path("/data/\udcff.ipynb"))
    monkeypatch.setattr(llm.current, "get", lambda: engine)
    serve_here(llm, "")
    assert [one.notebook for one in all_served()] == ["/data/[U+DCFF].ipynb"]
    serve_here(llm, "stop")


def test_a_port_that_is_taken_is_one_line(served: Serving, fresh_llm: None) -> None:
    port = urlsplit(served.url).port or 0
    with pytest.raises(ServeError, match=rf"^Port {port} cannot be used \(.+\)\. "):
        Serving(llm.current, port=port)
    with pytest.raises(ServeError, match="port 99999"):
        Serving(llm.current, port=99999)


def test_a_token_of_ones_own_must_be_long(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> None:
    monkeypatch.setenv("JUPYTER_LLM_TOKEN", chosen := "0123456789abcdef")
    with serving(ScriptedEngine()) as served:
        assert served.token == chosen
    monkeypatch.setenv("JUPYTER_LLM_TOKEN", "short")
    with pytest.raises(ServeError, match="needs 16 characters or more"):
        Serving(llm.current)


def test_the_command_serves_and_stops_and_shows_the_token_only_when_asked(
    tiny_gguf: Path, fresh_llm: None
) -> None:
    def serve(argument: str = "") -> str:
        asked = Call(llm=llm, chat=llm.chat(), argument=argument)
        return str(COMMANDS["serve"].run(asked))

    llm.use(tiny_gguf, n_threads=1)
    for word in ("stop", "token"):
        with pytest.raises(MagicUsageError, match="The server does not run"):
            serve(word)
    with pytest.raises(MagicUsageError, match="takes a port"):
        serve("x")
    said = serve()
    (told,) = all_served()
    assert f"can use its models at `{told.url}`" in said
    assert told.token not in said
    assert serve("token") == f"`{told.token}`"
    assert serve() == said
    with OpenAI(base_url=told.url, api_key=told.token) as client:
        client.completions.create(model="tiny", prompt="the quick", max_tokens=3)
        llm.unload()  # the next prompt loads it again, whoever asks, but no look at what there is
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").id == "tiny"
        assert llm.current.resident is None
        client.completions.create(model="tiny", prompt="the quick", max_tokens=3)
    assert serve("stop") == f"The server at `{told.url}` has stopped."
    assert all_served() == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_tells_programs_where_in_one_line_and_ends_with_ctrl_c(
    how: signal.Signals, tiny_gguf: Path, runtime: Path
) -> None:
    asked = [sys.executable, "-m", "jupyter_llm", "serve", "--json", "-m", str(tiny_gguf)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"url", "token"}
        with OpenAI(base_url=told["url"], api_key=told["token"]) as client:
            assert client.completions.create(model="", prompt="the", max_tokens=3).choices
        process.send_signal(how)
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
        assert list(runtime.iterdir()) == []


@pytest.mark.slow
def test_it_ends_with_the_kernel(tiny_gguf: Path, tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        kernel.execute(f"%load_ext jupyter_llm\n%llm /use {tiny_gguf}\n%llm /serve")
        until(all_served)
        (told,) = all_served()
        where = urlsplit(told.url)
        socket.create_connection((str(where.hostname), where.port or 0)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(where.hostname), where.port or 0))
    assert all_served() == []


def test_many_guests_come_and_go_and_the_kernel_lives(
    engine: ScriptedEngine, served: Serving
) -> None:
    engine.replies.extend(["yes"] * 40)
    with client_of(served) as client:
        work = [
            threading.Thread(target=lambda: client.chat.completions.create(**ASKED))
            for _ in range(40)
        ]
        for one in work:
            one.start()
        for one in work:
            one.join()
    assert len(engine.requests) == 40
    served.stop()
    until(lambda: not [one for one in threading.enumerate() if "AnyIO" in one.name])
