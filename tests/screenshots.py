"""Takes the README's pictures: `python3 dev.py screenshots MODEL`.

A real JupyterLab shows them, and all that is said and written there is the model's own, word for
word and at its own speed, drawn at temperature 0. The pictures in the README were made with
Qwen2.5-Coder-0.5B-Instruct: the small model of the extra `smollm2` has too little to say.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from browser.lab import CHROMIUM_HINT, Notebook, find_chromium, running_chromium, running_lab
from browser.live_panel import LivePanel
from browser.side_bar import SideBar
from PIL import Image
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser, Page

TESTS = Path(__file__).parent
FOLDER = TESTS.parent / "notebooks"
WIDTH, HEIGHT = 1280, 940

TREES = """species,height_m,girth_cm
oak,18.2,212
beech,24.5,188
pine,21.0,141
birch,15.4,96
lime,19.8,203
ash,22.7,175
"""
CELLS = (
    '%load_ext jupyter_llm\nimport pandas as pd\n\ntrees = pd.read_csv("trees.csv")\ntrees.head(3)',
    "%llm /chat",
)
ASK = "%%llm -f code\nplot girth against height as dots, with labels"
PROMPT = "Code for the 3 trees of @trees with the largest girth."
# What no cell shows: which model is there, and that it takes the likeliest words.
PREPARE = """
from jupyter_llm import llm
llm.use(%r)
get_ipython().magics_manager.registry["LLMMagics"].temperature = 0
"""
WRONG = 'tallest = tree.nlargest(3, "height_m")\ntallest'  # a traceback without anybody's paths
BEGUN = 'slim = trees["gi'
EXECUTE_QUIETLY = """async code => {
    const kernel = notebook.sessionContext.session.kernel;
    const reply = await kernel.requestExecute({ code, silent: true, store_history: false }).done;
    if (reply.content.status !== 'ok') throw new Error(reply.content.evalue);
}"""
SET_THEME = """async theme => {
    await jupyterapp.commands.execute('apputils:change-theme', { theme });
    const isDark = () => document.body.dataset.jpThemeLight === 'false';
    while (isDark() !== theme.endsWith('Dark')) await new Promise(requestAnimationFrame);
    await document.fonts.ready;
}"""


@contextmanager
def opened(
    browser: Browser, lab: Lab, model: str, name: str, *cells: str
) -> Iterator[tuple[Notebook, Page]]:
    """A notebook beside the trees, whose first cell has run, without the file browser."""
    (lab.folder / "trees.csv").write_text(TREES, "utf-8")
    path = lab.write(name, *cells)
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.goto(lab.page_url(path.name))
    notebook = Notebook.found_in(page, path)
    notebook.command("application:toggle-left-area")
    notebook.run(0)
    page.evaluate(EXECUTE_QUIETLY, PREPARE % model)
    yield notebook, page
    notebook.shut_down()
    context.close()


def take_first_picture(browser: Browser, lab: Lab, model: str, folder: Path) -> Iterator[Path]:
    """Have code written and run it, and have a cell mended that fails."""
    cells = (CELLS[0], ASK, WRONG, "%llm /fix")
    with opened(browser, lab, model, "First.ipynb", *cells) as (notebook, page):
        for index in range(1, 5):  # the code that is asked for comes as cell 2
            notebook.run(index)
        notebook.save()
        notebook.cell(1).scroll_into_view_if_needed()
        yield take_picture(page, folder / "03_code.png")


def take_pictures(browser: Browser, lab: Lab, model: str, folder: Path) -> Iterator[Path]:
    """Have a conversation, and take a picture of it in each theme of JupyterLab's."""
    with opened(browser, lab, model, "Trees.ipynb", *CELLS) as (notebook, page):
        notebook.run(1)
        LivePanel(notebook).ask(PROMPT)
        expect(page.locator(".jllm-code > p:not(:empty)").first).to_be_visible()
        notebook.save()  # no star in the tab
        for theme in ("Light", "Dark"):
            page.evaluate(SET_THEME, f"JupyterLab {theme}")
            yield take_picture(page, folder / f"06_chat_{theme.lower()}.png")


class Recording:
    """What a page shows, moment by moment."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._durations_ms: list[int] = []

    def look(self, duration_ms: int) -> None:
        """Show for so long what the page shows now."""
        shot = self._page.screenshot(animations="disabled", caret="hide")
        self._frames.append(Image.open(io.BytesIO(shot)).convert("RGB"))
        self._durations_ms.append(duration_ms)

    def save(self, path: Path) -> Path:
        """Save it as one animated picture."""
        first, *others = self._frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self._durations_ms,
            loop=0,
            quality=70,
            method=6,
        )
        return path


def record_extension(browser: Browser, lab: Lab, model: str, folder: Path) -> Iterator[Path]:
    """Mend a cell, take ghost text and ask in the side bar, and record how that looks."""
    with opened(browser, lab, model, "Forest.ipynb", CELLS[0], WRONG, "") as (notebook, page):
        recording = Recording(page)
        mend(notebook, recording)
        take_ghost_text(notebook, recording)
        side_bar = SideBar(notebook)
        side_bar.open()
        recording.look(800)
        side_bar.ask(PROMPT)
        expect(page.locator(".jllm-code > p:not(:empty)").first).to_be_visible()
        recording.look(4000)
        for theme in ("Light", "Dark"):
            page.evaluate(SET_THEME, f"JupyterLab {theme}")
            yield take_picture(page, folder / f"08_lab_{theme.lower()}.png")
        yield recording.save(folder / "08_lab.webp")


def mend(notebook: Notebook, recording: Recording) -> None:
    """Run the cell that is wrong, have it mended, and run it again."""
    notebook.run(1)
    notebook.cell(1).scroll_into_view_if_needed()
    recording.look(1500)
    notebook.activate(1)
    notebook.command("jupyter-llm:fix")
    accept = (
        notebook.cell(1).locator(".jllm-action").get_by_role("button", name="Accept", exact=True)
    )
    expect(accept).to_be_visible()
    recording.look(2500)
    accept.click()
    notebook.run(1)
    recording.look(1500)


def take_ghost_text(notebook: Notebook, recording: Recording) -> None:
    """Begin a line, and let the model write on."""
    for end in range(0, len(BEGUN), 4):
        notebook.type(2, BEGUN[end : end + 4])
        recording.look(150)
    expect(notebook.page.locator(".jp-GhostText").first).to_be_visible()
    recording.look(2000)
    notebook.page.keyboard.press("Tab")
    recording.look(1500)


def take_picture(page: Page, path: Path) -> Path:
    """Save what the page shows, without a pointer and without a cursor that blinks."""
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, animations="disabled", caret="hide")
    return path


def main() -> int:
    """Take all pictures of a model into `notebooks/`, or into the folder that was named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="a GGUF file, or the name of a model")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        print(CHROMIUM_HINT, file=sys.stderr)
        return 1
    expect.set_options(timeout=240_000)  # while the model writes
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_lab(Path(scratch)) as lab,
        running_chromium(chromium) as browser,
    ):
        for take in (take_first_picture, take_pictures, record_extension):
            for path in take(browser, lab, options.model, options.folder):
                print(path, f"{path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
