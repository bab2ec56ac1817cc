"""Measure how long it takes to refuse a model that needs more memory than there is.

Run as: python tests/benchmarks/refusing.py MODEL [--resident OTHER]

MODEL is asked for with a context window that no machine has room for. The first refusal of a kernel
imports llama.cpp; the file's header is read each time. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time

from jupyter_llm import llm
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.errors import NotEnoughMemoryError

ROUNDS = 20
N_CTX = 1_000_000_000


def refused(model: str) -> tuple[float, str]:
    """How long a refusal took, in seconds, and what it said."""
    begin = time.perf_counter()
    try:
        llm.use(model, n_ctx=N_CTX)
    except NotEnoughMemoryError as error:
        return time.perf_counter() - begin, str(error)
    raise SystemExit(f"{model} was loaded; that is no figure.")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--resident")
    given = parser.parse_args()
    if given.resident:
        llm.use(given.resident)
    first_s, said = refused(given.model)
    times = [refused(given.model)[0] for _ in range(ROUNDS)]
    rows = [
        ("the first time", f"{1000 * first_s:.0f} ms"),
        ("median after that", f"{1000 * statistics.median(times):.1f} ms"),
        ("slowest after that", f"{1000 * max(times):.1f} ms"),
    ]
    print(markdown_table(("a refusal", "takes"), rows), said, sep="\n\n")


if __name__ == "__main__":
    main()
