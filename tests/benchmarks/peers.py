"""The peers: llama-server, llama-cpp-python's `Llama`, and llama-bench. Light to import."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestant import N_CTX, Contestant, StoppedEarlyError, require_full_length

THREADS = 2
N_CTX_BINDING = 8_192  # `Llama` holds one sequence, so it never needs the room of three
SLOTS = 16
START_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 600
LOOPBACK = "127.0.0.1"


class LlamaServer(Contestant):
    """llama-server over HTTP on loopback; it ends the connection after each streamed reply.

    `options`: more options of its command line.
    """

    SAMPLING: ClassVar[dict[str, Any]] = {
        "temperature": 0,
        "cache_prompt": True,
        "stream": True,
        "ignore_eos": True,
    }

    def __init__(self, model: Path, binary: Path, *options: str) -> None:
        super().__init__()
        self._port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [
                *(str(binary), "--model", str(model)),
                *("--host", LOOPBACK, "--port", str(self._port)),
                *("--ctx-size", str(N_CTX), "--parallel", str(SLOTS), "--kv-unified"),
                *("--threads", str(THREADS), "--threads-batch", str(THREADS)),
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it speaks OpenAI's protocol."""
        return f"http://{LOOPBACK}:{self._port}/v1"

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    def pieces(self, prompt: str, max_tokens: int) -> Iterator[str]:
        body = json.dumps({**self.SAMPLING, "prompt": prompt, "n_predict": max_tokens})
        headers = {"Content-Type": "application/json"}
        with closing(self._connect()) as connection:
            connection.request("POST", "/completion", body, headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise RuntimeError(f"llama-server answered {response.status}: {response.read()!r}")
            for line in response:
                if line.startswith(b"data: "):
                    event = json.loads(line.removeprefix(b"data: "))
                    yield event["content"]
                    if event["stop"]:
                        require_full_length(event["stop_type"], "limit")

    def map(self, prompts: Sequence[str], max_tokens: int) -> None:
        with ThreadPoolExecutor(SLOTS) as pool:
            list(pool.map(lambda prompt: self.generate(prompt, max_tokens), prompts))

    @contextmanager
    def bulk(self, prompts: Sequence[str], max_tokens: int) -> Iterator[None]:
        """Keep all slots but one busy with row after row; the end cuts what is being written."""
        is_over = threading.Event()
        num_threads = SLOTS - 1

        def work(first: int) -> None:
            for prompt in islice(prompts, first, None, num_threads):
                for _ in self.pieces(prompt, max_tokens):
                    if is_over.is_set():
                        return  # the connection closes, and the server gives up the row

        with ThreadPoolExecutor(num_threads) as pool:
            workers = [pool.submit(work, first) for first in range(num_threads)]
            try:
                yield
                if any(worker.done() for worker in workers):
                    raise StoppedEarlyError("The bulk had ended before what was measured beside it")
            finally:
                is_over.set()

    def close(self) -> None:
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
            with closing(self._connect()) as connection:
                connection.request("GET", "/health")
                return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(LOOPBACK, self._port, timeout=ANSWER_TIMEOUT_S)


class LlamaBinding(Contestant):
    """llama-cpp-python's `Llama` class, which leaves flash attention off unless told."""

    def __init__(self, model: Path, *, flash_attention: bool) -> None:
        super().__init__()
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


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def bench_decode(
    binary: Path, model: Path, num_tokens: int, repeats: int, *, flash_attention: bool
) -> list[float]:
    """Return llama-bench's decode speeds in tokens/s: no prompt, no sampling, no text."""
    command = [str(binary), "-m", str(model), "-t", str(THREADS), "-o", "json", "-p", "0"]
    command += ["-n", str(num_tokens), "-r", str(repeats), "-fa", str(int(flash_attention))]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    speeds: list[float] = json.loads(result.stdout)[0]["samples_ts"]
    return speeds
