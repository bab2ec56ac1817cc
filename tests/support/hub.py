"""A hub on this machine: a server that speaks what huggingface_hub asks, and fails on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
_PIECE = 1 << 14


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repo:
    """A repository of the hub: files kept by their hash, texts kept in git, and its card."""

    files: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=lambda: {"license": "apache-2.0"})
    gated: bool = False
    key: str = ""  # the token of those who may read it, where not all may


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]


class Hub:
    """Repositories by their names, what goes wrong, and what was asked.

    Large files are sent by a second server, as by the hub's own store elsewhere.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[Asked] = []
        self.cuts: list[int] = []  # after so many bytes each answer with a file breaks off
        self.statuses: list[int] = []  # what the next questions for a file are answered with
        self.has_ranges = True
        self.lies: dict[str, bytes] = {}  # what is sent in place of a file
        self.description: bytes | None = None  # what is said of any repository, in place of facts
        self.headers: dict[str, str] = {}  # of what leads to a file, in place of the right ones
        self.kind = ""  # of what is sent; of one that has a kind, the length is not told
        self.gate = threading.Event()  # what is sent waits for it…
        self.gate.set()
        self.gate_after = 0  # …after so many bytes
        self.is_slow = False  # and waits again for each piece
        self.has_begun = threading.Event()
        self.store = _server(self, _Store)
        self.front = _server(self, _Front)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.front.server_port}"

    @property
    def fetched(self) -> list[Asked]:
        """What was asked of the store with a GET."""
        return [one for one in self.asked if one.path.startswith("/store/") and one.method == "GET"]

    def close(self) -> None:
        self.gate.set()
        for server in (self.front, self.store):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Say nothing of those who went away."""


def _server(hub: Hub, handler: type[_Answers]) -> ThreadingHTTPServer:
    server = _Server(("127.0.0.1", 0), type("Answers", (handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._note()

    def do_GET(self) -> None:
        self._note()

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.asked.append(Asked(self.command, self.path, headers))
        self.answer(unquote(urlsplit(self.path).path))

    def answer(self, path: str) -> None:
        raise NotImplementedError

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Front(_Answers):
    """What describes repositories and says where files are."""

    def answer(self, path: str) -> None:
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(\S+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        match = api or file
        repo = self.hub.repos.get(match[1]) if match else None
        if match is None or repo is None:
            self.say(
                401 if "authorization" not in self.headers else 404, X_Error_Code="RepoNotFound"
            )
            return
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer == "stale":
            self.say(401, X_Error_Message="Invalid credentials in Authorization header")
        elif repo.key and bearer != repo.key and not (repo.gated and api):
            self.say(401, X_Error_Code="GatedRepo" if repo.gated else "RepoNotFound")
        elif api:
            self._describe(match[1], match[2] or "main", repo)
        else:
            self._lead(match[2], match[3], repo)

    def _describe(self, name: str, revision: str, repo: Repo) -> None:
        if revision not in ("main", COMMIT):
            self.say(404, X_Error_Code="RevisionNotFound")
            return
        siblings: list[dict[str, Any]] = [
            {
                "rfilename": file,
                "size": len(data),
                "blobId": "0" * 40,
                "lfs": {"sha256": sha256(data), "size": len(data), "pointerSize": 130},
            }
            for file, data in repo.files.items()
        ]
        siblings += [{"rfilename": file, "blobId": "1" * 40} for file in repo.texts]
        facts = {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "private": bool(repo.key and not repo.gated),
            "gated": "manual" if repo.gated else False,
            "tags": [],
            "cardData": repo.card,
            "siblings": siblings,
        }
        body = json.dumps(facts).encode() if self.hub.description is None else self.hub.description
        self.say(200, body, Content_Type="application/json")

    def _lead(self, revision: str, file: str, repo: Repo) -> None:
        if self.hub.statuses:
            self.say(self.hub.statuses.pop(0))
        elif revision not in ("main", COMMIT):
            self.say(404, X_Error_Code="RevisionNotFound")
        elif file in repo.texts:
            self.say(200, repo.texts[file].encode(), X_Repo_Commit=COMMIT, ETag='"text"')
        elif file not in repo.files:
            self.say(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        else:
            digest = sha256(repo.files[file])
            headers = {
                "X_Repo_Commit": COMMIT,
                "X_Linked_ETag": f'"{digest}"',
                "X_Linked_Size": str(len(repo.files[file])),
            }
            address = f"http://localhost:{self.hub.store.server_port}/store/{digest}"
            self.say(302, b"", **{"Location": address} | headers | self.hub.headers)


class _Store(_Answers):
    """What sends large files, whole or from some byte on."""

    def answer(self, path: str) -> None:
        digest = path.rpartition("/")[2]
        every = {sha256(d): d for repo in self.hub.repos.values() for d in repo.files.values()}
        data = self.hub.lies.get(digest, every[digest])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.hub.has_ranges else 0
        self.send_response(206 if asked and self.hub.has_ranges else 200)
        if asked and self.hub.has_ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.hub.kind:
            self.send_header("Content-Type", self.hub.kind)
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = min(len(data), start + self.hub.cuts.pop(0)) if self.hub.cuts else len(data)
        try:
            for begin in range(start, end, _PIECE):
                if begin >= self.hub.gate_after:
                    self.hub.has_begun.set()
                    self.hub.gate.wait()
                    if self.hub.is_slow:
                        self.hub.gate.clear()
                self.wfile.write(data[begin : min(begin + _PIECE, end)])
                self.wfile.flush()
        except OSError:
            pass  # whoever asked has gone
        if end < len(data):
            self.close_connection = True


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that listens, to its end."""
    hub = Hub()
    try:
        yield hub
    finally:
        hub.close()


_numbers = count(1)


def some_bytes(size: int) -> bytes:
    """Bytes that are like no others."""
    begin = f"GGUF {next(_numbers)} ".encode()
    return (begin + hashlib.shake_128(begin).digest(size))[:size]
