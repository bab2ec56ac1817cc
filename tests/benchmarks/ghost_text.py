"""Measure ghost text in a page: how long until it shows, and what the model has to read for it.

Run as: python tests/benchmarks/ghost_text.py [--positions 100] [--model FILE.gguf] [--json FILE]

Somebody types the second half of two notebooks of ours in a real JupyterLab, runs each cell, thinks
for a moment in the next one, and stops at so many places until all is quiet. From the `complete`
message on the wire to the first text in the page is one figure; what of that the engine took until
its first token is another. Everything is on one machine. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from benchmarks.workloads import THINKING_S
from browser.ghost_page import SHOWN, GhostPage
from browser.lab import CHROMIUM_HINT, find_chromium, running_chromium, running_lab
from support.typed import NAMES, read_typed

from jupyter_llm.common.tables import markdown_table

# When something was shown in grey first after each request.
WATCH = (
    """() => {
    const isShown = """
    + SHOWN.replace("return isWriting ? '' :", "return")
    + """;
    new MutationObserver(() => {
        const asked = window.said.findLast(({ type }) => type === 'complete');
        if (asked && asked.shown === undefined && isShown()) asked.shown = performance.now();
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One place: milliseconds, None where nothing was suggested; and tokens that had to be read."""

    shown_ms: float | None
    first_token_ms: float
    num_new: int
    is_first: bool  # in its notebook
    is_new_cell: bool  # the first in its cell


def figures(model: Path, positions: int) -> Iterator[Figures]:
    """Type, and yield what each place took."""
    chromium = find_chromium() or sys.exit(CHROMIUM_HINT)
    with (
        TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        running_chromium(chromium) as browser,
    ):
        for name in NAMES:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            sources = [cell.source for cell in read_typed(name).cells if cell.kind == "code"]
            half = len(sources) // 2
            use = f"llm.use({str(model)!r})"
            typist = GhostPage(page, lab, f"{name}.ipynb", use, *sources[:half])
            for index in range(3, typist.last):
                typist.run(index)
            page.evaluate(WATCH)
            yield from _typed(typist, sources[half:], positions // len(NAMES))
            typist.shut_down()


def _typed(typist: GhostPage, sources: Sequence[str], positions: int) -> Iterator[Figures]:
    step = sum(map(len, sources)) / positions
    due, num_typed, is_first = step, 0, True
    for source in sources:
        is_new_cell = True
        typist.type(typist.last, "")
        typist.page.wait_for_timeout(1000 * THINKING_S)
        for line_number, line in enumerate(source.split("\n")):
            if line_number:
                typist.page.keyboard.press("Enter")
                typist.page.keyboard.press("Shift+Home")  # what the editor has indented
                typist.page.keyboard.press("Backspace")
            for character in line:
                typist.page.keyboard.type(character)
                num_typed += 1
                if num_typed < due or character == " ":
                    continue
                due += step
                found = _place(typist, is_first=is_first, is_new_cell=is_new_cell)
                if found is not None:
                    yield found
                    is_first = is_new_cell = False
        typist.run(typist.last)
        typist.command("notebook:insert-cell-below")
        typist.last += 1


def _place(typist: GhostPage, *, is_first: bool, is_new_cell: bool) -> Figures | None:
    typist.settle(350)
    asked, ended = (typist.said(kind)[-1:] for kind in ("complete", "completed"))
    if not asked or not ended or ended[0]["id"] != asked[0]["id"] or not ended[0]["usage"]:
        return None
    if asked[0]["prefix"] != typist.written:  # what was typed matched
        return None
    usage = ended[0]["usage"][0]
    shown = asked[0].get("shown")
    return Figures(
        shown_ms=shown - asked[0]["time"] if shown is not None else None,
        first_token_ms=1000 * usage["first_token_s"],
        num_new=usage["prompt_tokens"] - usage["cached_tokens"],
        is_first=is_first,
        is_new_cell=is_new_cell,
    )


def _row(what: str, values: Sequence[float], asked: str) -> tuple[str, ...]:
    if not values:
        return (what, "0", "", "", "", asked)
    ordered = sorted(values)
    share = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    numbers = (statistics.median(ordered), share, ordered[-1])
    return (what, str(len(ordered)), *(f"{number:.0f}" for number in numbers), asked)


def table(measured: Sequence[Figures]) -> str:
    """What came out, beside what is asked."""
    shown = [one for one in measured if one.shown_ms is not None]
    later = [one for one in measured if not one.is_first]
    header = ("", "places", "median", "95 %", "most", "asked")
    rows = [
        _row("message to text, ms", [one.shown_ms or 0 for one in shown], "≤ 250; 95 %: ≤ 500"),
        _row(
            "above the engine's first token, ms",
            [(one.shown_ms or 0) - one.first_token_ms for one in shown],
            "≤ 80",
        ),
        _row("the engine's first token, ms", [one.first_token_ms for one in measured], ""),
        _row("new tokens, after the first", [one.num_new for one in later], "≤ 16; most: ≤ 64"),
        _row("of these in a new cell", [one.num_new for one in later if one.is_new_cell], "≤ 64"),
    ]
    return markdown_table(header, rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--positions", type=int, default=100)
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    measured = list(figures(model, arguments.positions))
    setting = describe(model, 1)
    write_json(arguments.json, setting, places=[asdict(one) for one in measured])
    show(setting, table(measured))


if __name__ == "__main__":
    main()
