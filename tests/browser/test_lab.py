"""`%%llm` in a real JupyterLab, with the real model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser.answers import noting_complaints
from browser.extension import Extension
from browser.lab import Lab, Notebook, Traffic
from browser.live_panel import SCRIPTED
from common.test_markdown import HOSTILE
from playwright.sync_api import expect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LOAD = "%load_ext jupyter_llm"
SHORT = "%%llm -n 24 --seed 1\nWhat is a notebook?"
LONG = "%%llm -n 1000 --seed 1\nTell a very long story about a lighthouse and the sea."
BAR_AT_ONCE = "from jupyter_llm.common import bars\nbars.DELAY_S, bars.PERIOD_S = 0, 0.05"
FOR_A_VARIABLE = "%%llm -n 24 --seed 1 answer <<\nWhat is a notebook?"
NUM_PAGES = "len([*__import__('jupyter_llm').frontends.lab.target.sessions])"
NO_PAGES = "\nfrom jupyter_llm.frontends.lab import presence\npresence.go(get_ipython())"
ASK = "%%llm -f code -t 0\nAdd two numbers."
HISTORY = "%llm /history"
COMMANDS = {
    "%llm /help": "--temperature",
    "%llm /status": "smollm2",
    "%llm /models": "smollm2",
    "%llm /context": "turn 1",
}
SHOW = """
from IPython import get_ipython
from jupyter_llm.frontends.views import make_view

def show(*texts):
    for text in texts:
        make_view(get_ipython(), "text/markdown").close(text, "")
"""
FIND_FOREIGN = """() => {
  const outputs = Array.from(document.querySelectorAll('.jp-OutputArea-output'));
  const found = [];
  for (const node of outputs.flatMap(o => Array.from(o.querySelectorAll('*')))) {
    if (['SCRIPT', 'IMG', 'IFRAME', 'STYLE', 'OBJECT', 'FORM', 'LINK'].includes(node.tagName))
      found.push(node.outerHTML.slice(0, 200));
    for (const { name, value } of Array.from(node.attributes))
      if (name.startsWith('on') || (name === 'href' && !/^(https?:|mailto:|#|$)/.test(value)))
        found.push(node.outerHTML.slice(0, 200));
  }
  return found;
}"""


@pytest.fixture
def page(lab_page: Page) -> Page:
    """The page that the tests of this file share."""
    return lab_page


def test_an_answer_grows_while_its_cell_runs_and_is_one_output_that_asks_nobody(
    open_notebook: Callable[..., Notebook], page: Page
) -> None:
    traffic = Traffic(page)
    notebook = open_notebook(
        LOAD, BAR_AT_ONCE, SHORT, FOR_A_VARIABLE, LONG, SHORT, *COMMANDS, HISTORY
    )
    notebook.run(0)
    assert notebook.outputs(0) == []
    notebook.run(1)
    notebook.watch(2)
    notebook.run(2)
    seen = [frame["text"].strip() for frame in notebook.frames() if frame["is_running"]]
    texts = [text for text in seen if text and not re.search("Loading|Waiting|Reading", text)]
    assert len(texts) < len(list(filter(None, seen)))
    lengths = list(dict.fromkeys(map(len, texts)))
    assert len(lengths) > 2
    assert lengths == sorted(lengths)
    expect(notebook.rendered(2).locator("p").first).to_be_visible()
    expect(notebook.rendered(2)).not_to_contain_text("Loading")
    notebook.watch(3)
    notebook.run(3)  # which says how far it is, and leaves nothing
    assert "Writing: " in "".join(frame["text"] for frame in notebook.frames())
    expect(notebook.rendered(3)).to_have_count(0)
    interrupt_an_answer(notebook, 4)
    notebook.run(5)
    (next_answer,) = notebook.outputs(5)
    assert next_answer["output_type"] == "display_data"
    for index, word in enumerate(COMMANDS.values(), 6):
        notebook.run(index)
        expect(notebook.rendered(index).locator("table").filter(has_text=word)).to_have_count(1)
    notebook.run(10)
    expect(notebook.rendered(10)).to_contain_text("What is a notebook?")
    expect(notebook.rendered(10)).not_to_contain_text("not known which notebook")
    saved = notebook.save().cells
    (output,) = saved[2].outputs
    assert output.output_type == "display_data"
    assert saved[3].outputs == []
    words = re.findall(r"\w+", output.data["text/markdown"])
    assert len(words) > 10
    expect(notebook.rendered(2)).to_contain_text(re.compile(r"\W+".join(words)))
    notebook.reload()
    expect(notebook.rendered(2)).to_contain_text(re.compile(r"\W+".join(words)))
    assert traffic.urls
    assert traffic.beyond_loopback == []


def interrupt_an_answer(notebook: Notebook, index: int) -> None:
    """Interrupt a cell once its answer has begun, which keeps its text."""
    notebook.start(index)
    words = notebook.rendered(index).first.locator("p:not(:has(em)), li")  # not the progress
    expect(words.first).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    notebook.interrupt()
    notebook.finish()
    answer, error = notebook.outputs(index)
    assert re.match(r"\s*\w+ \w+ \w+", answer["data"]["text/markdown"])
    expect(notebook.rendered(index).first.locator("em").last).to_contain_text("interrupted")
    assert error["output_type"] == "error"
    expect(notebook.rendered(index).last).to_have_text(re.compile(r"^\s*PromptInterrupted: .*\s*$"))


def test_hostile_text_runs_nothing_and_asks_nobody(
    open_notebook: Callable[..., Notebook], page: Page
) -> None:
    traffic = Traffic(page)
    texts = list(HOSTILE.values())
    with noting_complaints(page, "dialogs alone") as complaints:
        notebook = open_notebook(SHOW, *(f"show(*{texts[at::8]!r})" for at in range(8)))
        for index in range(9):
            notebook.run(index)
    assert sum(len(notebook.outputs(index)) for index in range(9)) == len(texts)
    assert page.evaluate(FIND_FOREIGN) == []
    assert complaints == []
    assert traffic.beyond_loopback == []


RUN_ALL = """async () => {
    await jupyterapp.commands.execute('notebook:run-all-cells');
    return notebook.content.widgets.length;
}"""


def test_run_all_replaces_the_cells_that_were_made_and_leaves_those_that_were_changed(
    open_notebook: Callable[..., Notebook], page: Page
) -> None:
    count_on = "n = globals().get('n', -1) + 1\nengine.replies.append(f'a = {n}')"
    notebook = open_notebook(SCRIPTED, count_on, ASK)
    notebook.run(0)
    Extension(notebook).wait_for_state("open")  # a scripted answer may come before the page does
    count = page.evaluate(RUN_ALL)
    assert (count, notebook.source(3).splitlines()[1:]) == (4, ["a = 0"])
    for number in (1, 2):
        assert page.evaluate(RUN_ALL) == 4
        assert notebook.source(3).splitlines()[1:] == [f"a = {number}"]
    expect(notebook.cell(2)).to_contain_text("of an earlier run")
    expect(notebook.cell(2)).to_contain_text("run it again")  # what was sent before has run
    notebook.restart()
    notebook.set_source(1, count_on + NO_PAGES)  # as where the extension is not installed
    assert page.evaluate(RUN_ALL) == 4
    notebook.set_source(3, "a = 'mine'")
    assert page.evaluate(RUN_ALL) == 5
    expect(notebook.cell(2)).to_contain_text("1 other cell of an earlier run stays")
    assert notebook.source(4) == "a = 'mine'"
    assert page.evaluate(RUN_ALL) == 5


def test_a_copy_of_a_cell_that_was_made_is_the_users(
    open_notebook: Callable[..., Notebook],
) -> None:
    notebook = open_notebook(SCRIPTED, "engine.replies.extend(['a = 1', 'a = 2'])", ASK)
    for index in range(3):
        notebook.run(index)
    copy = notebook.source(3)
    notebook.activate(3)
    notebook.command("notebook:duplicate-below")
    notebook.activate(3)
    notebook.command("notebook:move-cell-down")
    notebook.run(2)
    assert notebook.source(3) == copy
    assert notebook.source(4).splitlines()[1:] == ["a = 2"]


def test_of_two_pages_with_one_notebook_only_the_one_that_runs_a_cell_is_changed(
    open_notebook: Callable[..., Notebook], other_page: Page, lab: Lab
) -> None:
    replies = "engine.replies.extend(['a = 1', 'a = 2', 'total = 1 / 4\\n```', 'a = 3'])"
    one = open_notebook(SCRIPTED, replies, ASK, "total = 1 / 0", "%llm /fix --replace", NUM_PAGES)
    for index in (0, 1, 2):
        one.run(index)
    other_page.goto(lab.page_url(one.path.name))
    # As it was saved, without the cell that was made.
    other = Notebook.found_in(other_page, one.path)

    def is_the_other_there() -> bool:
        one.run(6)  # a cell that waits would keep the other page from what it asks the kernel
        return bool(one.outputs(6)[0]["data"]["text/plain"] == "2")

    until(is_the_other_there)
    for index in (2, 4, 5):
        other.run(index)
    one.run(2)  # so it has heard all that was said to the other
    assert [one.source(index).splitlines()[-1] for index in (3, 4)] == ["a = 3", "total = 1 / 0"]
    found = [other.source(index).splitlines()[-1] for index in (3, 4)]
    assert found == ["a = 2", "total = 1 / 4"]


def test_code_lands_over_the_connection_of_the_page_as_one_small_step_or_says_why_not(
    open_notebook: Callable[..., Notebook], page: Page
) -> None:
    replies = "engine.replies.extend(['a = 1', 'a = 2', 'b = 1', 'b = 2', 'b = 3'])"
    opened = "get_ipython().magics_manager.registry['LLMMagics']._opened"
    notebook = open_notebook(
        SCRIPTED, replies, ASK, f"{ASK} ".replace("-t", "--replace -t"), opened
    )
    notebook.run(0)
    Extension(notebook).wait_for_state("open")
    for index in (1, 2):
        notebook.run(index)
    editor = "notebook.content.widgets[3].editor"
    page.evaluate(f"{editor}.setCursorPosition({{ line: 1, column: 2 }})")
    notebook.run(2)
    assert notebook.source(3).splitlines()[1:] == ["a = 2"]
    (announced,) = notebook.outputs(2)
    record = announced["metadata"]["jupyter_llm"]  # the cell's, too
    assert re.match(f"# Generated by .* .jupyter_llm {record}", notebook.source(3))
    assert notebook.outputs(3) == []
    expect(notebook.rendered(2)).to_contain_text("inserted below")
    assert notebook.cell(2).locator(".jp-OutputArea-output pre").count() == 0
    assert page.evaluate(f"{editor}.getCursorPosition()") == {"line": 1, "column": 2}
    page.evaluate(f"{editor}.undo()")
    assert notebook.source(3).splitlines()[1:] == ["a = 1"]
    prompt = notebook.source(4)
    page.evaluate(
        "() => notebook.content.widgets[4].model.sharedModel.setMetadata('editable', false)"
    )
    notebook.run(4)
    assert notebook.source(4) == prompt
    assert notebook.source(5).splitlines()[1:] == ["b = 1"]
    expect(notebook.cell(4)).to_contain_text("inserted below: this cell is read-only")
    page.evaluate("() => { notebook.context.model.readOnly = true; }")
    notebook.run(4)
    assert notebook.source(5).splitlines()[1:] == ["b = 1"]
    expect(notebook.rendered(4)).to_contain_text("in a read-only notebook")
    expect(notebook.rendered(4).locator("pre")).to_contain_text("b = 2")
    page.evaluate("() => { notebook.context.model.readOnly = false; }")
    notebook.run(6)
    assert notebook.outputs(6) == []  # no widget was needed
    page.evaluate(
        "() => notebook.content.widgets[4].model.sharedModel.setMetadata('editable', true)"
    )
    notebook.run(4)
    assert notebook.source(4).splitlines()[1:] == ["b = 3"]
