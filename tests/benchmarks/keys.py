"""Measure what a key in a long notebook costs with the extension and without it.

Run as: python tests/benchmarks/keys.py [--cells 300] [--outputs 50] [--keys 100] [--json FILE]

A cell in the middle of a notebook, with so many others of so many outputs each, is typed in by two
pages in turn, of which one has the extension switched off. A key costs all that the page does of it
until the second frame after it. Prints Markdown and asserts nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.extension import Extension
from browser.lab import CHROMIUM_HINT, Notebook, find_chromium, running_chromium, running_lab

from jupyter_llm.common.tables import markdown_table

if TYPE_CHECKING:
    from browser.lab import Lab
    from playwright.sync_api import Browser

IN_TURN = 10
# What the page's thread is busy with after a key, frames that it waits for left out.
MEASURE = """async num => {
    const view = notebook.content.activeCell.editor.editor;
    const channel = new MessageChannel();
    const inFrames = num => new Promise(done => {
        let sum = 0;
        const step = left => requestAnimationFrame(() => {
            const began = performance.now();
            if (left > 1) step(left - 1);
            channel.port1.onmessage = () => { // behind all that was to be done in this frame
                sum += performance.now() - began;
                if (left === 1) done(sum);
            };
            channel.port2.postMessage(null);
        });
        step(num);
    });
    const took = [];
    for (let key = 0; key < num; key += 1) {
        await inFrames(1);
        const later = inFrames(2); // the first to be called in each of them
        const began = performance.now();
        view.dispatch(view.state.replaceSelection('x'), { userEvent: 'input.type' });
        took.push(performance.now() - began + await later);
    }
    return took;
}"""


def write(lab: Lab, num_cells: int, num_outputs: int) -> Path:
    """Write the notebook; its first cell loads jupyter_llm."""
    cells = [f"value_{number} = {number}" for number in range(num_cells)]
    path = lab.write("long.ipynb", "%load_ext jupyter_llm", *cells)
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells[1:]):
        line = {"text/plain": f"'an output of {number}'"}
        cell.outputs = [nbformat.v4.new_output("display_data", line) for _ in range(num_outputs)]
    nbformat.write(notebook, path)
    return path


def opened(chromium: Browser, lab: Lab, path: Path, *, has_extension: bool) -> Notebook:
    """Open the notebook in a page, and be in the cell in its middle."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(300_000)
    page.goto(lab.page_url(path.name))
    notebook = Notebook(page, path)
    if has_extension:
        Extension(notebook).wait_for_state("absent")
        notebook.run(0)
        Extension(notebook).wait_for_state("open")
    middle = page.evaluate("() => Math.floor(notebook.content.widgets.length / 2)")
    notebook.type(middle, "")
    return notebook


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--outputs", type=int, default=50)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = find_chromium() or sys.exit(CHROMIUM_HINT)
    took: dict[str, list[float]] = {"without": [], "with": []}
    with ExitStack() as stack:
        chromium = stack.enter_context(running_chromium(found))
        pages = {}
        for name in took:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            lab = stack.enter_context(running_lab(folder))
            if name == "without":
                config = folder / "config" / "labconfig" / "page_config.json"
                config.parent.mkdir(parents=True)
                config.write_text('{"disabledExtensions": {"jupyter-llm": true}}', "utf-8")
            path = write(lab, arguments.cells, arguments.outputs)
            pages[name] = opened(chromium, lab, path, has_extension=name == "with")
        for _ in range(arguments.keys // IN_TURN + 1):
            for name, notebook in pages.items():
                notebook.page.bring_to_front()
                took[name] += notebook.page.evaluate(MEASURE, IN_TURN)
    kept = {name: some[IN_TURN:] for name, some in took.items()}  # the first keys compile code
    medians = {name: statistics.median(some) for name, some in kept.items()}
    rows = [(name, str(len(kept[name])), f"{medians[name]:.2f}") for name in kept]
    difference = f"{medians['with'] - medians['without']:+.2f}"
    rows.append(("difference", "", difference))
    print(markdown_table(("the extension", "keys", "median, ms"), rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(kept), "utf-8")


if __name__ == "__main__":
    main()
