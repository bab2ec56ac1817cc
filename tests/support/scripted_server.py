"""A server of OpenAI's protocol over an engine, on loopback; it misbehaves as it is told."""

from __future__ import annotations

import json
import re
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.scripted import ScriptedEngine

from jupyter_llm.engine.constraint import BeginsWith, Constraint, Grammar, OneOf
from jupyter_llm.engine.info import FimTokens
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.remote.engine import RemoteEngine
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.engine.stream import Stream
from jupyter_llm.errors import ContextOverflowError

Fault = Callable[["_Handler"], None]
"""What is done in place of an answer."""

EVERYTHING = frozenset({"json", "regex", "lark", "choice", "beginning", "continuing", "logprobs"})
PROBE = "jupyter-7301"
_DRIP = 16  # bytes: what is repeated and shorter comes now and then
_END = {"token": "", "logprob": -3.4e38, "top_logprobs": []}  # as llama-server tells of it


class ScriptedServer:
    """Answers by an engine's script, in a thread a connection, and remembers what it was asked.

    Each request for an answer meets the next one of `faults` instead, if there is one. `can` is
    what it is able to do, `owner` the kind of server it passes for. With a `key` nobody else is
    served. `num_hung_up` counts those who went away before the end.
    """

    def __init__(
        self,
        replies: Iterable[str] = (),
        *,
        faults: Iterable[Fault] = (),
        can: Iterable[str] = EVERYTHING,
        owner: str = "llamacpp",
        key: str | None = None,
        holds: bool = False,
        fim: FimTokens | None = None,
    ) -> None:
        self.engine = ScriptedEngine(list(replies), holds=holds, fim=fim)
        self.faults = deque(faults)
        self.can = set(can)
        self.owner = owner
        self.key = key
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.details_faults: deque[Fault] = deque()  # what becomes of questions of what it has
        self.token_faults: deque[Fault] = deque()  # and of those for tokens
        self.vector_faults: deque[Fault] = deque()  # and of those for vectors
        self.num_hung_up = 0
        self._http = _Listener(("127.0.0.1", 0), _Handler)
        self._http.scripted = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What it was asked to answer, but for what it is able to do."""
        bodies = (body for path, body in self.asked if path.endswith("completions"))
        return [body for body in bodies if not _is_probe(body)]

    def connect(self, **options: Any) -> RemoteEngine:
        """An engine that runs the model here; `closing` closes it."""
        engine = RemoteEngine(Address(self.url, "scripted", **options))
        _connected.append(engine)
        return engine

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    def close(self) -> None:
        self.engine.close()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


_connected: list[RemoteEngine] = []


@contextmanager
def serving(replies: Iterable[str] = (), **options: Any) -> Iterator[ScriptedServer]:
    """A server, and in the end none of it is left."""
    server = ScriptedServer(replies, **options)
    try:
        yield server
    finally:
        while _connected:
            _connected.pop().close()
        server.close()


# -- faults ---------------------------------------------------------------------------------------


def status(code: int, message: str = "no", **headers: str) -> Fault:
    """Refuse with a status."""
    error = {"error": {"message": message, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.tell(error, code, named)


def page(code: int = 200) -> Fault:
    """Answer as a proxy does."""
    html = "<html><body>Please sign in</body></html>"
    return lambda handler: handler.send(html.encode(), "text/html; charset=utf-8", code, {})


def cut(*pieces: str, end: bytes = b"") -> Fault:
    """Begin an answer and let the connection go, with the last bytes of what should be more."""

    def fault(handler: _Handler) -> None:
        handler.begin()
        for piece in pieces:
            handler.event({"choices": [{"index": 0, "delta": {"content": piece}}]})
        if end:
            handler.wfile.write(f"{len(end):x}\r\n".encode() + end + b"\r\n")
        handler.connection.shutdown(socket.SHUT_RDWR)

    return fault


def drop(handler: _Handler) -> None:
    """Let the connection go without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler: _Handler) -> None:
    """Say nothing until the other side has gone."""
    while not handler.is_left(0.02):
        pass
    handler.server.scripted.num_hung_up += 1


def raw(*pieces: bytes, kind: str = "application/json", endless: bytes = b"") -> Fault:
    """Answer with bytes as they are, the last ones again and again until the other side goes.

    A piece that begins with a header's name and a colon is sent before the body.
    """

    def fault(handler: _Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n")
        handler.wfile.write(f"content-type: {kind}\r\n".encode() if kind else b"")
        for piece in pieces:
            handler.wfile.write(piece)
        with suppress(OSError):
            while endless:
                handler.wfile.write(endless)
                if len(endless) <= _DRIP and handler.is_left(0.01):
                    break
        handler.close_connection = True

    return fault


def slow(pause_s: float) -> Fault:
    """Answer byte by byte."""

    def fault(handler: _Handler) -> None:
        write = handler.wfile.write

        def slowly(data: bytes) -> int:
            for byte in data:
                write(bytes([byte]))
                time.sleep(pause_s)
            return len(data)

        handler.wfile.write = slowly  # type: ignore[method-assign,assignment]
        handler.answer()

    return fault


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    scripted: ScriptedServer

    def handle_error(self, *_args: object) -> None:
        """Whoever hung up is counted elsewhere."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        engine = self.server.scripted.engine
        if self.server.scripted.details_faults:
            self.server.scripted.details_faults.popleft()(self)
        elif self.path == "/v1/models":
            model = {"id": engine.info.name, "owned_by": self.server.scripted.owner}
            other = {"id": "another", "owned_by": self.server.scripted.owner}
            self.tell({"data": [model, other]})
        elif self.path == "/props":
            n_ctx = {"n_ctx": engine.info.n_ctx}
            self.tell({"default_generation_settings": n_ctx, "total_slots": 4})
        else:
            status(404)(self)

    def do_POST(self) -> None:
        if not self._is_let_in():
            return
        scripted = self.server.scripted
        self.has_begun = False  # a connection may bring several requests
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        scripted.asked.append((self.path, self.body))
        scripted.headers.append(dict(self.headers))
        if self.path == "/tokenize" and scripted.token_faults:
            scripted.token_faults.popleft()(self)
        elif self.path == "/tokenize":
            control = "|".join(map(re.escape, scripted.engine._control_ids)) or "(?!)"
            pieces = re.sub(control, "X", self.body["content"])
            has_pieces = self.body.get("with_pieces")
            self.tell({"tokens": [{"id": 0, "piece": c} if has_pieces else 0 for c in pieces]})
        elif self.path == "/v1/embeddings" and scripted.vector_faults:
            scripted.vector_faults.popleft()(self)
        elif self.path == "/v1/embeddings":
            rows = scripted.engine.embed(self.body["input"]) * 3  # of any length
            self.tell({"data": [{"embedding": row.tolist()} for row in rows]})
        elif _is_probe(self.body):
            self._answer_probe()
        elif scripted.faults:
            scripted.faults.popleft()(self)
        else:
            self.answer()

    # -- answers -------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer by the script."""
        scripted = self.server.scripted
        request = self._request()
        constraint, is_streamed = request.constraint, "stream" in self.body
        if isinstance(constraint, OneOf) and self._can("choice") and not is_streamed:
            self._answer_whole(constraint.texts[0])
            return
        stream = scripted.engine.submit(request)
        try:
            if self.body.get("stream"):
                self._answer_in_pieces(stream)
            else:
                self._answer_whole(stream.result(30).text)
        except ContextOverflowError as error:
            told = {"message": "too long", "n_prompt_tokens": error.num_tokens}
            self.tell({"error": {**told, "n_ctx": error.n_ctx}}, 400)
        except OSError:
            scripted.num_hung_up += 1
            stream.cancel()

    def _answer_in_pieces(self, stream: Stream) -> None:
        is_chat = "messages" in self.body
        for chunk in stream.chunks(0.02):
            if not self.has_begun:
                self.begin()
            if chunk.text or chunk.reasoning:
                said = {"content": chunk.text, "reasoning_content": chunk.reasoning}
                piece: dict[str, Any] = {"delta": said} if is_chat else {"text": chunk.text}
                if self.body.get("logprobs") and self._can("logprobs"):
                    piece["logprobs"] = {"content": _likely(chunk.text)}
                self.event({"choices": [{"index": 0, **piece}]})
            elif self.is_left(0):
                raise ConnectionError
        completion = stream.result()
        if not self.has_begun:
            self.begin()
        self.event({"choices": [{"index": 0, "finish_reason": completion.finish_reason}]})
        usage = completion.usage
        told = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        self.event(
            {"choices": [], "usage": {**told, "prompt_tokens_details": {"cached_tokens": 3}}}
        )
        self.write(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _answer_whole(self, text: str) -> None:
        is_chat = "messages" in self.body
        said: dict[str, Any] = {"message": {"content": text}} if is_chat else {"text": text}
        if self.body.get("logprobs") and self._can("logprobs"):
            said["logprobs"] = {"content": [*_likely(text), _END]}
        self.tell({"choices": [{"index": 0, "finish_reason": "stop", **said}]})

    def _answer_probe(self) -> None:
        shape = _shape(self.body)
        if "continue_final_message" in self.body:
            self._answer_whole(" 7, 8, 9" if self._can("continuing") else "1, 2, 3")
        elif "enum" in json.dumps(self.body) and self._can("enum"):
            self._answer_whole(json.dumps(PROBE))
        elif shape is None or not self._can(shape):
            self._answer_whole("Hello!")
        else:
            told: Any = {"json": {"name": PROBE}, "regex": PROBE}.get(shape)
            self._answer_whole(json.dumps(told) if told else PROBE)

    def _can(self, ability: str) -> bool:
        return ability in self.server.scripted.can

    def _request(self) -> Request:
        body, prefix = self.body, ""
        prompt: Any = _messages(body) if "messages" in body else body["prompt"]
        if body.get("continue_final_message"):
            *prompt, last = prompt
            prompt, prefix = tuple(prompt), last.content
        names = ("temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "ignore_eos")
        told = {name: body[name] for name in names if body.get(name) is not None}
        params = SamplingParams(**{"max_tokens": None, **told}, stop=tuple(body.get("stop", ())))
        return Request(
            prompt=prompt, params=params, answer_prefix=prefix, constraint=_constraint(body)
        )

    # -- bytes ---------------------------------------------------------------------------------

    def tell(self, data: object, code: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(data).encode(), "application/json", code, headers or {})

    def send(self, data: bytes, kind: str, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "content-type": kind}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.has_begun = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, data: object) -> None:
        self.write(f"data: {json.dumps(data)}\n\n".encode())

    def write(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def is_left(self, wait_s: float) -> bool:
        """Whether the other side has gone."""
        if not select.select([self.connection], [], [], wait_s)[0]:
            return False
        with suppress(OSError):
            return not self.connection.recv(1, socket.MSG_PEEK)
        return True

    def _is_let_in(self) -> bool:
        key = self.server.scripted.key
        if key is None or self.headers.get("authorization") == f"Bearer {key}":
            return True
        told = self.headers.get("authorization", "nothing")
        status(401, f"Incorrect key: {told}")(self)
        self.close_connection = True
        return False


def _is_probe(body: dict[str, Any]) -> bool:
    """Whether somebody asks what it is able to do."""
    text = json.dumps(body)
    return "Say hello." in text or "Count from 1 to 20." in text


def _shape(body: dict[str, Any]) -> str | None:
    grammar = body.get("grammar", "")
    if grammar.startswith("%llguidance"):
        return "lark"
    if grammar:
        return "beginning" if grammar.endswith("*") else "choice"
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    return "json" if schema.get("type") == "object" else "regex" if "pattern" in schema else None


def _constraint(body: dict[str, Any]) -> Constraint | None:
    shape = _shape(body)
    if shape in ("choice", "beginning"):
        quoted = re.findall('"(.+?)"', body["grammar"])
        texts = tuple(re.sub(r"\\U(.{8})", lambda one: chr(int(one[1], 16)), t) for t in quoted)
        return OneOf(texts) if shape == "choice" else BeginsWith(texts)
    return Grammar("json", "{}") if shape is not None else None


def _messages(body: dict[str, Any]) -> tuple[Message, ...]:
    return tuple(Message(one["role"], one["content"]) for one in body["messages"])


def _likely(text: str) -> list[dict[str, Any]]:
    """A token a character, each of them with -1."""
    return [
        {"token": one, "logprob": -1.0, "top_logprobs": [{"token": one, "logprob": -1.0}]}
        for one in text
    ]
