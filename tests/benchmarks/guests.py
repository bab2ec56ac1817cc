"""Eight clients at once: `jupyter llm serve` beside llama-server, and a cell beside them.

Called as `python tests/benchmarks/guests.py MODEL.gguf --rounds 5`. Both servers are processes of
their own with the same number of threads, asked by the same client, in turn. Then eight clients
keep this process busy, and the first token of a prompt is waited for, as a cell does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import THREADS, LlamaServer

from jupyter_llm import llm
from jupyter_llm.frontends.serve.notice import serve

NUM_CLIENTS = 8
NUM_TOKENS = 96
ROOT = Path(__file__).parents[2]
LLAMA_SERVER = ROOT / "build" / "peers" / "cmake" / "bin" / "llama-server"
TOPICS = ("rivers", "bread", "glass", "maps", "bees", "clocks", "tides", "paper")


def prompt(number: int) -> str:
    """A prompt of some fifty tokens; no two begin alike."""
    topic = TOPICS[number % len(TOPICS)]
    return f"{number}. Notes on {topic}, for somebody who has never heard of {topic}. " * 3


def tell(url: str, token: str, text: str, num_tokens: int) -> Iterator[float]:
    """When each piece of a completion comes."""
    where = urlsplit(url)
    body = {"prompt": text, "max_tokens": num_tokens, "stream": True, "temperature": 0}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(str(where.hostname), where.port)) as connection:
        asked = json.dumps({**body, "ignore_eos": True})
        connection.request("POST", f"{where.path}/completions", asked, headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{response.status}: {response.read()!r}")
        for line in response:
            if line.startswith(b"data: {"):
                yield time.perf_counter()


def ask_together(url: str, token: str, first: int) -> float:
    """The seconds that eight completions take, all at once."""
    began_s = time.perf_counter()

    def ask(number: int) -> None:
        for _ in tell(url, token, prompt(number), NUM_TOKENS):
            pass

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        list(pool.map(ask, range(first, first + NUM_CLIENTS)))
    return time.perf_counter() - began_s


def speed(url: str, token: str, first: int) -> float:
    """The tokens a second of eight clients, which run in a process of their own."""
    asked = [sys.executable, __file__, "--client", url, token, str(first)]
    taken = subprocess.run(asked, stdout=subprocess.PIPE, check=True, text=True).stdout
    return NUM_CLIENTS * NUM_TOKENS / float(taken)


@contextmanager
def ours(model: Path) -> Iterator[tuple[str, str]]:
    """Serve the model as the command does; where, and the token."""
    asked = [sys.executable, "-m", "jupyter_llm", "serve", "--json", "--model", str(model)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield told["url"], told["token"]
        finally:
            process.terminate()


def first_token_s(number: int) -> float:
    """How long a cell waits for its first token."""
    began_s = time.perf_counter()
    with llm.stream(prompt(number), max_tokens=8, temperature=0, exact=False) as stream:
        next(iter(stream))
        return time.perf_counter() - began_s


@contextmanager
def busy(url: str, token: str, first: int) -> Iterator[None]:
    """Keep eight clients busy meanwhile."""
    asked = [sys.executable, __file__, "--busy", url, token, str(first)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()  # all of them are being answered
            yield
        finally:
            process.terminate()


def keep_busy(url: str, token: str, first: int) -> None:
    """Ask without end, and say when all eight are being answered."""
    begun = threading.Barrier(NUM_CLIENTS + 1)

    def ask(number: int) -> None:
        pieces = tell(url, token, prompt(number), 4000)
        next(pieces)
        begun.wait()
        for _ in pieces:
            pass

    for number in range(first, first + NUM_CLIENTS):
        threading.Thread(target=ask, args=(number,), daemon=True).start()
    begun.wait()
    print("busy", flush=True)
    time.sleep(600)


def main() -> None:
    """Run and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", type=Path, default=LLAMA_SERVER)
    parser.add_argument("--client", nargs=3)
    parser.add_argument("--busy", nargs=3)
    options = parser.parse_args()
    if options.client:
        url, token, first = options.client
        print(ask_together(url, token, int(first)))
        return
    if options.busy:
        url, token, first = options.busy
        keep_busy(url, token, int(first))
        return
    number = 0
    speeds: dict[str, list[float]] = {"ours": [], "llama-server": []}
    with ours(options.model) as here, closing(LlamaServer(options.model, options.server)) as peer:
        where = {"ours": here, "llama-server": (f"http://127.0.0.1:{peer._port}/v1", "-")}
        for round_number in range(options.rounds + 1):
            for name, address in where.items():
                found = speed(*address, number)
                number += NUM_CLIENTS
                if round_number:  # the first one warms up
                    speeds[name].append(found)
                    print(f"{name:>14}: {found:6.1f} tokens/s", flush=True)
    ratio = median(a / b for a, b in zip(*speeds.values(), strict=True))
    print({name: round(median(found), 1) for name, found in speeds.items()}, f"{ratio:.2f} times")
    llm.use(options.model, n_threads=THREADS)
    served = serve(llm)
    first_token_s(number)
    alone, beside = [], []
    for _ in range(options.rounds):
        number += NUM_CLIENTS
        alone += [first_token_s(number + n) for n in range(4)]
        number += NUM_CLIENTS
        with busy(served.url, served.token, number):
            number += NUM_CLIENTS
            beside += [first_token_s(number + n) for n in range(4)]
        while llm.status().engine.num_guests:  # type: ignore[union-attr]
            time.sleep(0.05)
    served.stop()
    print(f"first token alone {1000 * median(alone):.0f} ms, beside eight clients", end=" ")
    print(f"{1000 * median(beside):.0f} ms: {median(beside) / median(alone):.2f} times")


if __name__ == "__main__":
    main()
