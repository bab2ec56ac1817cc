"""The contestants, one class each with the same small interface, and llama-bench.

Imports nothing heavy: each contestant lives alone in a process of its own.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.build_peers import peer_paths

THREADS = 2
N_CTX = 16_384
N_CTX_BINDING = 8_192  # `Llama` holds one sequence, so it never needs the room of three
SLOTS = 16
START_TIMEOUT_S = 60
LOOPBACK = "127.0.0.1"


class StoppedEarlyError(RuntimeError):
    """A contestant wrote fewer tokens than it was asked for, so its times mean nothing."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion with its wall times, both counted from the call."""

    first_token_s: float
    total_s: float
    text: str


def time_pieces(pieces: Iterable[str]) -> Generation:
    """Drain a lazy stream; the first non-empty piece counts as the first token."""
    started = time.perf_counter()
    first: float | None = None
    text = ""
    for piece in pieces:
        if piece and first is None:
            first = time.perf_counter() - started
        text += piece
    total = time.perf_counter() - started
    return Generation(total if first is None else first, total, text)


class Contestant(ABC):
    """A loaded model that continues raw text: greedily, and past the end-of-text token."""

    @abstractmethod
    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        """Yield text as it is written; starts no work before the first piece is asked for."""

    @abstractmethod
    def close(self) -> None:
        """Free the model, and end what was started for it."""

    def generate(self, prompt: str, max_tokens: int) -> Generation:
        """Write exactly `max_tokens` tokens and say how long that took."""
        return time_pieces(self.pieces(prompt, max_tokens))


class Ours(Contestant):
    """`jupyter_llm`, through its public object as a cell would use it."""

    def __init__(self, model: Path) -> None:
        from jupyter_llm import llm

        self._llm = llm
        llm.use(model, n_ctx=N_CTX)

    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        stream = self._llm.stream(
            prompt, raw=True, max_tokens=max_tokens, temperature=0, ignore_eos=True
        )
        for chunk in stream:
            yield chunk.text
        require_full_length(stream.result().finish_reason, "length")

    def close(self) -> None:
        self._llm.unload()


class LlamaServer(Contestant):
    """llama-server over HTTP on loopback; it ends the connection after each streamed reply."""

    SAMPLING: ClassVar[dict[str, Any]] = {
        "temperature": 0,
        "cache_prompt": True,
        "stream": True,
        "ignore_eos": True,
    }

    def __init__(self, model: Path, binary: Path) -> None:
        port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [
                *(str(binary), "--model", str(model), "--host", LOOPBACK, "--port", str(port)),
                *("--ctx-size", str(N_CTX), "--parallel", str(SLOTS), "--kv-unified"),
                *("--threads", str(THREADS), "--threads-batch", str(THREADS)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=600)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        body = json.dumps({**self.SAMPLING, "prompt": prompt, "n_predict": max_tokens})
        headers = {"Content-Type": "application/json"}
        self._connection.close()
        self._connection.request("POST", "/completion", body, headers)
        response = self._connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"llama-server answered {response.status}: {response.read()!r}")
        for line in response:
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                yield event["content"]
                if event["stop"]:
                    require_full_length(event["stop_type"], "limit")

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                tail = self._log.read()[-2000:].decode(errors="replace")
                raise RuntimeError(f"llama-server did not start. Its last words:\n{tail}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            self._connection.request("GET", "/health")
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return response.status == http.HTTPStatus.OK


class LlamaBinding(Contestant):
    """llama-cpp-python's `Llama` class, which leaves flash attention off unless told."""

    def __init__(self, model: Path, *, flash_attention: bool) -> None:
        from llama_cpp import Llama, llama_model_get_vocab, llama_vocab_is_eog

        self._llama = Llama(
            str(model),
            n_ctx=N_CTX_BINDING,
            n_threads=THREADS,
            n_threads_batch=THREADS,
            flash_attn=flash_attention,
            verbose=False,
        )
        vocab = llama_model_get_vocab(self._llama.model)
        tokens = range(self._llama.n_vocab())
        self._no_end = {token: -1e9 for token in tokens if llama_vocab_is_eog(vocab, token)}

    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        chunks = self._llama.create_completion(
            prompt, max_tokens=max_tokens, temperature=0, stream=True, logit_bias=self._no_end
        )
        reason: str | None = None
        for chunk in chunks:
            choice = chunk["choices"][0]
            reason = choice["finish_reason"]
            yield choice["text"]
        require_full_length(reason, "length")

    def close(self) -> None:
        self._llama.close()


def require_full_length(reason: str | None, wanted: str) -> None:
    """Raise `StoppedEarlyError` unless the number of tokens is what ended a completion."""
    if reason != wanted:
        raise StoppedEarlyError(f"The completion ended with {reason!r} instead of {wanted!r}.")


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start(name: str, model: Path, peers: Path) -> Contestant:
    """Load the model with the contestant of that name."""
    if name == "ours":
        return Ours(model)
    if name == "llama-server":
        return LlamaServer(model, peer_paths(peers)["llama-server"])
    return LlamaBinding(model, flash_attention=name == "Llama-flash")


def bench_decode(
    binary: Path, model: Path, num_tokens: int, repeats: int, *, flash_attention: bool
) -> list[float]:
    """Return llama-bench's decode speeds in tokens/s: no prompt, no sampling, no text."""
    command = [str(binary), "-m", str(model), "-t", str(THREADS), "-o", "json", "-p", "0"]
    command += ["-n", str(num_tokens), "-r", str(repeats), "-fa", str(int(flash_attention))]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    speeds: list[float] = json.loads(result.stdout)[0]["samples_ts"]
    return speeds
