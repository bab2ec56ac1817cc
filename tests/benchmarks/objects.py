"""An object of four fields: ours beside llama-server with `json_schema`, one after the other.

`python tests/benchmarks/objects.py MODEL.gguf PEERS --rounds 3`, PEERS being build_peers.py's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from benchmarks.build_peers import peer_paths  # noqa: E402
from benchmarks.contestants import SERVER  # noqa: E402
from benchmarks.peers import THREADS, LlamaServer  # noqa: E402
from support.schemas import FLAG, STRING, between, record  # noqa: E402
from support.specials import with_specials  # noqa: E402

from jupyter_llm.engine.constraint import Grammar  # noqa: E402
from jupyter_llm.engine.local.engine import LocalEngine  # noqa: E402
from jupyter_llm.engine.options import EngineOptions, SamplingParams  # noqa: E402
from jupyter_llm.engine.request import Request  # noqa: E402
from jupyter_llm.models.discover import find_model  # noqa: E402

SCHEMA = record(name=STRING, age=between(0, 120), city=STRING, is_member=FLAG)
MOST = 100
PEOPLE = (
    "Ada Lovelace, 36, lives in London and pays her fee every year.",
    "We met Jonas Berg (52) in Oslo; he left the club in spring.",
    "María Pérez is 29, comes from Sevilla and has just joined.",
    "My neighbour Tom Baker of Leeds turned 71; he was never a member.",
    "Dr. Wei Chen, aged 45, has been a member in Singapore since 2011.",
    "Fatima from Casablanca is 18 and wants to join next month.",
    "Old Mr. Smith, 88, still comes to every meeting in Boston.",
    "Lena Vogt (33) moved to Graz and gave up her membership.",
)


@dataclass(frozen=True, slots=True)
class Written:
    """One object: how long it took, from the call, and its text."""

    total_s: float
    text: str
    num_tokens: int


def prompt_of(person: str) -> str:
    asked = f"Tell who this is as JSON with name, age, city and is_member.\n{person}"
    return f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"


def ours(engine: LocalEngine, *, exact: bool) -> Callable[[str], Written]:
    constraint = Grammar("json", json.dumps(SCHEMA))
    params = SamplingParams(temperature=0, max_tokens=MOST, exact=exact)

    def write(person: str) -> Written:
        started = time.perf_counter()
        prompt = with_specials(prompt_of(person))
        answer = engine.submit(Request(prompt=prompt, params=params, constraint=constraint))
        completion = answer.result(600)
        total_s = time.perf_counter() - started
        return Written(total_s, completion.text, completion.usage.completion_tokens)

    return write


class Server(LlamaServer):
    """The server with a schema; it streams nothing, and says how many tokens it wrote."""

    SAMPLING: ClassVar[dict[str, Any]] = {"temperature": 0, "cache_prompt": True}

    def write(self, person: str) -> Written:
        started = time.perf_counter()
        body = {"prompt": prompt_of(person), "n_predict": MOST, "json_schema": SCHEMA}
        with closing(self._connect()) as connection:
            connection.request("POST", "/completion", json.dumps({**self.SAMPLING, **body}))
            reply = json.loads(connection.getresponse().read())
        total_s = time.perf_counter() - started
        return Written(total_s, reply["content"], reply["tokens_predicted"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    options = EngineOptions(n_threads=THREADS, checkpoints=False)
    engine = LocalEngine(find_model(args.model), options)
    with closing(engine), closing(Server(args.model, peer_paths(args.peers)[SERVER])) as server:
        writers = {"ours": ours(engine, exact=False), "ours-exact": ours(engine, exact=True)}
        writers[SERVER] = server.write
        for write in writers.values():
            write(
                "Nobody, 1, of Nowhere."
            )  # what all prompts share, and what is made on first need
        taken: dict[str, list[Written]] = {name: [] for name in writers}
        for _ in range(args.rounds):
            for name, write in writers.items():  # whose threads spin for a while after the last one
                write("Somebody, 2, of Somewhere.")
                taken[name] += map(write, PEOPLE)
    base = median(one.total_s for one in taken[SERVER])
    for name, some in taken.items():
        total_s = median(one.total_s for one in some)
        num_whole = sum(one.text.endswith("}") for one in some)
        tokens = median(one.num_tokens for one in some)
        print(
            f"{args.model.stem:40} {name:12} {total_s:.3f} s an object, {total_s / base:.2f} of "
            f"the server's, {tokens} tokens, {num_whole} of {len(some)} whole; {some[0].text}"
        )


if __name__ == "__main__":
    main()
