"""Models served to clients in this process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from benchmarks.peers import LlamaServer
from openai import OpenAI
from support.paths import ROOT
from support.residents import make_resident

from jupyter_llm import llm
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.frontends.serve.server import Serving

LLAMA_SERVER = ROOT / "build" / "peers" / "cmake" / "bin" / "llama-server"
"""Made by benchmarks/build_peers.py."""


@contextmanager
def serving(*engines: Any, **options: Any) -> Iterator[Serving]:
    """Serve engines as those of all models that are loaded."""
    make_resident(*engines)
    served = Serving(llm.current, **options)
    try:
        yield served
    finally:
        served.stop()


@contextmanager
def client_of(served: Serving) -> Iterator[OpenAI]:
    """The official client, which asks nothing twice."""
    with OpenAI(base_url=served.url, api_key=served.token, max_retries=0) as client:
        yield client


@contextmanager
def llama_server(model: Path) -> Iterator[RemoteEngine]:
    """An engine that another program runs: llama.cpp's own server."""
    with closing(LlamaServer(model, LLAMA_SERVER)) as server:
        remote = RemoteEngine(Address(server.url))
        with closing(remote):
            yield remote


@contextmanager
def served_here(engine: Any) -> Iterator[RemoteEngine]:
    """An engine as another kernel has it to which it is served."""
    with serving(engine) as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVED_KEY", served.token)
        remote = RemoteEngine(Address(served.url, engine.info.name, "SERVED_KEY"))
        try:
            yield remote
        finally:
            remote.close()


def call(
    served: Serving,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    host: str | None = None,
) -> tuple[int, Any]:
    """The status and the JSON that a plain call is answered with; a body is posted."""
    where = urlsplit(served.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    with closing(connection):
        headers = {"Authorization": f"Bearer {served.token if token is None else token}"}
        headers |= {"Host": host} if host else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            connection.request("POST", path, data, headers)
        response = connection.getresponse()
        said = response.read()
        return response.status, json.loads(said) if said[:1] in b"{[" else said
