"""A real llama-server: what it does when it is left, and what is said when it dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from benchmarks.peers import LlamaServer
from support.serving import LLAMA_SERVER
from support.waiting import until

from jupyter_llm.ask.many import run_batch
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.engine.request import Message, Priority, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import OptionError, ServerError

pytestmark = [
    *(pytest.mark.slow, pytest.mark.soak),
    pytest.mark.skipif(not LLAMA_SERVER.exists(), reason="benchmarks/build_peers.py makes it"),
]

HELLO = (Message("user", "Hello there"),)


@pytest.fixture
def server(tiny_gguf: Path) -> Iterator[LlamaServer]:
    with closing(LlamaServer(tiny_gguf, LLAMA_SERVER)) as server:
        yield server


@pytest.fixture
def engine(server: LlamaServer) -> Iterator[RemoteEngine]:
    with closing(RemoteEngine(Address(server.url))) as engine:
        yield engine


def submit(engine: RemoteEngine, priority: Priority = Priority.CHAT) -> Stream:
    params = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True, may_repeat=True)
    return engine.submit(Request(prompt=HELLO, params=params, priority=priority))


def num_busy(server: LlamaServer) -> int:
    with urlopen(f"{server.url.removesuffix('/v1')}/slots") as answer:  # noqa: S310  loopback
        return sum(slot["is_processing"] for slot in json.load(answer))


def test_whoever_leaves_is_left_by_the_server_too(
    server: LlamaServer, engine: RemoteEngine
) -> None:
    streams = [submit(engine) for _ in range(3)]
    until(lambda: all(stream.written for stream in streams))
    assert num_busy(server) == 3
    for stream in streams:
        stream.cancel()
        assert stream.result(30).finish_reason == "cancelled"
    until(lambda: num_busy(server) == 0)


def test_a_server_killed_in_the_midst_leaves_what_was_shown_and_says_so(
    server: LlamaServer, engine: RemoteEngine
) -> None:
    stream, row = submit(engine), submit(engine, Priority.BULK)
    until(lambda: stream.written and engine.status().num_running == 2)
    server.kill()
    with pytest.raises(ServerError, match="was lost"):
        stream.result(30)
    assert stream.written
    row.cancel()  # which would be tried for a minute
    assert row.result(30).finish_reason == "cancelled"


def test_rows_and_shapes_come_back_in_order_and_of_their_shape(engine: RemoteEngine) -> None:
    params = SamplingParams(temperature=0, max_tokens=30)
    digits = Request(prompt=HELLO, params=params, constraint=Grammar("regex", "[0-9]{3}"))
    rows = run_batch(engine, [digits] * 40, lambda _number, completion: completion.text)
    assert len(rows) == 40
    assert all(len(row) == 3 and row.isdigit() for row in rows)
    choice = engine.submit(Request(prompt=HELLO, constraint=OneOf(("good", "bad")))).result(60)
    assert choice.text in ("good", "bad")
    with pytest.raises(OptionError, match="Lark grammar"):
        engine.submit(Request(prompt=HELLO, constraint=Grammar("lark", 'start: "a"'))).result(60)
