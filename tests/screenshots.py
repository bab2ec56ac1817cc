"""Takes the README's pictures of the chat panel: `python3 dev.py screenshots`.

A real JupyterLab shows them, and the real model of the extra `smollm2` reads and writes, at its own
speed. It is too small to write an answer worth a picture, so that its words are ours (see
`dictation.py`), and the README says so.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from browser.lab import CHROMIUM_HINT, Notebook, find_chromium, running_chromium, running_lab
from browser.live_panel import LivePanel
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
PROMPT = "Are tall @trees thicker, too?"
ANSWER = r"""**Pearson's correlation** says how closely two columns follow a line:

$$r = \frac{\sum_i (x_i - \mu_x)(y_i - \mu_y)}
{\sqrt{\sum_i (x_i - \mu_x)^2}\,\sqrt{\sum_i (y_i - \mu_y)^2}}$$

It is 1 if thickness grows steadily with height, and near 0 if the two have nothing in common.

```python
r = trees["height_m"].corr(trees["girth_cm"])
print(f"r = {r:.2f}")  # of six trees only
```
"""
# What no cell shows: the model is there already, and told what to say.
PREPARE = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from support.scripted_words import dictate
from jupyter_llm import llm
dictate(llm.engine(), [{ANSWER!r}])
"""
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


def take_pictures(browser: Browser, lab: Lab, folder: Path) -> Iterator[Path]:
    """Have a conversation, and take a picture of it in each theme of JupyterLab's."""
    (lab.folder / "trees.csv").write_text(TREES, "utf-8")
    path = lab.write("Trees.ipynb", *CELLS)
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.goto(lab.page_url(path.name))
    notebook = Notebook(page, path)
    have_conversation(notebook)
    for theme in ("Light", "Dark"):
        page.evaluate(SET_THEME, f"JupyterLab {theme}")
        yield take_picture(page, folder / f"06_chat_{theme.lower()}.png")
    notebook.shut_down()
    context.close()


def have_conversation(notebook: Notebook) -> None:
    """Run the cells and send the prompt, without the file browser and without a trace of us."""
    page = notebook.page
    notebook.command("application:toggle-left-area")
    page.evaluate(EXECUTE_QUIETLY, PREPARE)
    notebook.run(0)
    notebook.run(1)
    panel = LivePanel(notebook)
    panel.ask(PROMPT)
    notebook.save()  # no star in the tab


def take_picture(page: Page, path: Path) -> Path:
    """Save what the page shows, without a pointer and without a cursor that blinks."""
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, animations="disabled", caret="hide")
    return path


def main() -> int:
    """Take both pictures into `notebooks/`, or into the folder that was named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chromium = find_chromium()
    if chromium is None:
        print(CHROMIUM_HINT, file=sys.stderr)
        return 1
    expect.set_options(timeout=60_000)  # while the model writes
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_lab(Path(scratch)) as lab,
        running_chromium(chromium) as browser,
    ):
        for path in take_pictures(browser, lab, folder):
            print(path, f"{path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
