"""Rows of W3 answered in a shape, ours beside llama-server with its grammar: rows/s.

Run as: python tests/benchmarks/choices.py [--only label,fields] [--flash on] [--after chat]

label   one of three labels: ours compares them, the server writes one by a grammar
fields  an object of four fields, by a JSON Schema
free    W3 itself: 24 tokens, no shape

`--after row` asks one row before, so that all have read the instruction; `--after chat` asks for a
greeting behind the same system text, so that the instruction is read within the measured time.
"""

from __future__ import annotations

import http
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.build_peers import DEFAULT_FOLDER, peer_paths
from benchmarks.contestants import SERVER
from benchmarks.ours import Ours, parts
from benchmarks.peers import SLOTS, LlamaServer
from benchmarks.prompts import GREETING, map_rows
from benchmarks.side_by_side import default_model, parser_for
from benchmarks.workloads import ROW_TOKENS

LABELS = ("today", "this week", "at once")
FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "desk": {"enum": ["front desk", "service desk", "plumbers", "heating team"]},
        "when": {"enum": list(LABELS)},
        "room": {"type": "integer", "minimum": 0, "maximum": 400},
        "is_urgent": {"type": "boolean"},
    },
    "required": ["desk", "when", "room", "is_urgent"],
    "additionalProperties": False,
}
MOST_TOKENS = 64
KINDS = ("label", "fields", "free")


class ShapedServer(LlamaServer):
    """llama-server, asked for whole answers in a shape."""

    SHAPES: dict[str, dict[str, Any]] = {  # noqa: RUF012
        "label": {"grammar": "root ::= " + " | ".join(f'"{label}"' for label in LABELS)},
        "fields": {"json_schema": FIELDS},
        "free": {"ignore_eos": True},
    }

    def answer(self, rows: Sequence[str], kind: str) -> list[str]:
        with ThreadPoolExecutor(SLOTS) as pool:
            return list(pool.map(lambda row: self._answer(row, kind), rows))

    def _answer(self, row: str, kind: str) -> str:
        asked = {**self.SAMPLING, "stream": False, "ignore_eos": False, "prompt": row}
        asked["n_predict"] = ROW_TOKENS if kind == "free" else MOST_TOKENS
        body = json.dumps({**asked, **self.SHAPES[kind]})
        with closing(self._connect()) as connection:
            connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == http.HTTPStatus.OK, response.read()
            return str(json.loads(response.read())["content"])


class ShapedOurs(Ours):
    """Our engine, asked as `llm.map` asks it."""

    def __init__(self, *given: Any, flash: str | None, **more: Any) -> None:
        super().__init__(*given, **more)
        if flash is not None:
            self._llm.use(flash_attention=flash == "on")

    def answer(self, rows: Sequence[str], kind: str) -> list[str]:
        from jupyter_llm.ask.many import run_batch
        from jupyter_llm.engine.constraint import Constraint, Grammar, OneOf
        from jupyter_llm.engine.options import SamplingParams
        from jupyter_llm.engine.request import Request, chat_prompt

        constraints: dict[str, Constraint | None] = {
            "label": OneOf(LABELS),
            "fields": Grammar("json", json.dumps(FIELDS)),
            "free": None,
        }
        constraint = constraints[kind]
        max_tokens = ROW_TOKENS if kind == "free" else MOST_TOKENS
        params = SamplingParams(
            temperature=0, exact=False, max_tokens=max_tokens, ignore_eos=kind == "free"
        )
        requests = [
            Request(prompt=chat_prompt(parts(row), raw=True), params=params, constraint=constraint)
            for row in rows
        ]
        engine = self._llm.current.get(None)
        return run_batch(engine, requests, lambda _number, one: one.text)


def measure(
    start: Callable[[], Any], kinds: Sequence[str], num_rows: int, after: str
) -> dict[str, Any]:
    """The rows/s of a contestant that starts afresh for each kind, after a row or a chat."""
    found = {}
    for kind in kinds:
        contestant = start()
        try:
            rows = map_rows(num_rows)
            contestant.generate("Once upon a time", 8)
            if after == "row":
                contestant.answer(rows[:1], kind)
            else:
                contestant.generate(GREETING, 2)
            started = time.perf_counter()
            answers = contestant.answer(rows, kind)
            found[kind] = num_rows / (time.perf_counter() - started)
            print(f"  {kind}: {found[kind]:.2f} rows/s, such as {answers[:3]}", file=sys.stderr)
        finally:
            contestant.close()
    return found


def main() -> None:
    """Print the medians' ratios, round by round."""
    parser = parser_for(__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--after", choices=["row", "chat"], default="row")
    parser.add_argument("--flash", choices=["on", "off"], help="else as the first load measured")
    parser.add_argument("--alone", action="store_true", help="ours without the server")
    parser.add_argument("--peers", type=Path, default=DEFAULT_FOLDER)
    args = parser.parse_args()
    model, kinds = args.model or default_model(), args.only.split(",")
    binary = peer_paths(args.peers)[SERVER]
    for number in range(1, args.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            start = partial(ShapedOurs, model, Path(folder), is_exact=False, flash=args.flash)
            ours = measure(start, kinds, args.rows, args.after)
        if args.alone:
            continue
        server = measure(lambda: ShapedServer(model, binary), kinds, args.rows, args.after)
        for kind in kinds:
            ratio = ours[kind] / server[kind]
            print(f"{number} {kind}: {ours[kind]:.2f} / {server[kind]:.2f} rows/s = {ratio:.2f}")


if __name__ == "__main__":
    main()
