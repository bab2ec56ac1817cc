"""`%%llm` in a real JupyterLab, with the real model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from browser.lab import Notebook, Traffic
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.lab import Lab
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LOAD = "%load_ext jupyter_llm"
SHORT = "%%llm -n 24 --seed 1\nWhat is a notebook?"
LONG = "%%llm -n 1000 --seed 1\nTell a very long story about a lighthouse and the sea."


@pytest.fixture
def ask(open_notebook: Callable[..., Notebook]) -> Callable[..., Notebook]:
    """Open a notebook whose cell 0 has loaded the extension; the cells given follow."""

    def ask(*sources: str) -> Notebook:
        notebook = open_notebook(LOAD, *sources)
        notebook.run(0)
        assert notebook.outputs(0) == []
        return notebook

    return ask


def test_an_answer_grows_while_its_cell_runs(ask: Callable[..., Notebook]) -> None:
    notebook = ask(SHORT, SHORT)
    notebook.run(1)  # loads the model, which may show a bar first
    notebook.watch(2)
    notebook.run(2)
    seen = [frame["text"] for frame in notebook.frames() if frame["is_running"]]
    lengths = list(dict.fromkeys(len(text) for text in seen if text.strip()))
    assert len(lengths) > 2
    assert lengths == sorted(lengths)
    expect(notebook.rendered(2).locator("p").first).to_be_visible()


def test_an_answer_takes_the_place_of_the_loading_bar(ask: Callable[..., Notebook]) -> None:
    notebook = ask("from jupyter_llm.common import bars\nbars._DELAY_S = 0", SHORT)
    notebook.run(1)
    notebook.watch(2)
    notebook.run(2)
    assert any("Loading" in frame["text"] for frame in notebook.frames())
    assert len(notebook.outputs(2)) == 1
    expect(notebook.rendered(2)).to_be_visible()
    expect(notebook.rendered(2)).not_to_contain_text("Loading")


def test_an_answer_is_one_output_and_saved_as_markdown(ask: Callable[..., Notebook]) -> None:
    notebook = ask(SHORT)
    notebook.run(1)
    (output,) = notebook.save().cells[1].outputs
    assert output.output_type == "display_data"
    words = re.findall(r"\w+", output.data["text/markdown"])
    assert len(words) > 10
    expect(notebook.rendered(1)).to_contain_text(re.compile(r"\W+".join(words)))


def test_a_saved_answer_is_there_when_the_page_is_opened_again(
    ask: Callable[..., Notebook],
) -> None:
    notebook = ask(SHORT)
    notebook.run(1)
    words = re.findall(r"\w+", notebook.outputs(1)[0]["data"]["text/markdown"])
    notebook.save()
    notebook.reload()
    expect(notebook.rendered(1)).to_contain_text(re.compile(r"\W+".join(words)))


def test_an_interrupted_answer_keeps_its_text_and_the_next_cell_works(
    ask: Callable[..., Notebook],
) -> None:
    notebook = ask(SHORT, LONG, SHORT)
    notebook.run(1)
    notebook.start(2)
    expect(notebook.rendered(2).first).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    notebook.interrupt()
    notebook.finish()
    answer, error = notebook.outputs(2)
    assert re.match(r"\s*\w+ \w+ \w+", answer["data"]["text/markdown"])
    expect(notebook.rendered(2).first.locator("em").last).to_contain_text("interrupted")
    assert error["output_type"] == "error"
    expect(notebook.rendered(2).last).to_have_text(re.compile(r"^\s*PromptInterrupted: .*\s*$"))

    notebook.run(3)
    (next_answer,) = notebook.outputs(3)
    assert next_answer["output_type"] == "display_data"


def test_tab_completes_an_option(ask: Callable[..., Notebook], page: Page) -> None:
    notebook = ask("")
    notebook.type(1, "%%llm --te")
    page.keyboard.press("Tab")
    page.locator(".jp-Completer-item").get_by_text("--temperature").wait_for()
    page.keyboard.press("Tab")
    page.locator(".jp-Completer").wait_for(state="hidden")
    assert notebook.source(1).strip() == "%%llm --temperature"


def test_commands_render_as_tables(ask: Callable[..., Notebook]) -> None:
    notebook = ask(SHORT, "%llm /help", "%llm /status", "%llm /models")
    for index in range(1, 5):
        notebook.run(index)
    for index, word in ((2, "--temperature"), (3, "smollm2"), (4, "smollm2")):
        table = notebook.rendered(index).locator("table").filter(has_text=word)
        expect(table).to_have_count(1)


def test_running_a_cell_again_replaces_its_turn(ask: Callable[..., Notebook]) -> None:
    notebook = ask(SHORT, "%llm /history")
    notebook.run(1)
    notebook.run(1)
    notebook.run(2)
    expect(notebook.rendered(2).locator("blockquote")).to_have_text(["What is a notebook?"])


def test_an_unknown_option_is_one_line(ask: Callable[..., Notebook]) -> None:
    notebook = ask("%%llm --temprature 1\nHello")
    notebook.run(1)
    (output,) = notebook.outputs(1)
    assert output["output_type"] == "error"
    expect(notebook.rendered(1)).to_have_text(re.compile(r"^.*--temperature.*\s*$"))


def test_the_page_asks_nobody_but_its_server(ask: Callable[..., Notebook], page: Page) -> None:
    traffic = Traffic(page)
    notebook = ask(SHORT)
    notebook.run(1)
    assert traffic.urls
    assert traffic.beyond_loopback == []


def test_the_first_notebook_runs_in_jupyterlab(lab: Lab, page: Page) -> None:
    source = Path(__file__).parents[2] / "notebooks" / "01_first_prompt.ipynb"
    path = Path(shutil.copy(source, lab.folder))
    page.goto(lab.page_url(path.name))
    notebook = Notebook(page, path)
    try:
        cells = nbformat.read(path, as_version=4)["cells"]
        for index, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                notebook.run(index)
                assert all(output["output_type"] != "error" for output in notebook.outputs(index))
        expect(notebook.rendered(3)).to_contain_text("cached")
        notebook.cell(0).scroll_into_view_if_needed()
    finally:
        notebook.shut_down()
