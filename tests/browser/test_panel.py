"""The chat panel in a real JupyterLab; `test_notebook_7.py` has it in Notebook 7."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nbformat
import pytest
from browser.cell_actions import ASK_KERNEL
from browser.live_panel import REAL_MODEL, SCRIPTED, LivePanel
from browser.shared_notebook import one_test, shared_notebook
from nbconvert import HTMLExporter, MarkdownExporter
from playwright.sync_api import expect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab, Notebook
    from playwright.sync_api import Browser, Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SLEEP = "import time\ntime.sleep(90)"
BURN = """
import hashlib, os, threading
done, block = threading.Event(), bytes(1 << 20)

def burn():
    while not done.is_set():
        hashlib.sha256(block).digest()  # without the interpreter's lock, so on every core

threads = [threading.Thread(target=burn) for _ in range(os.cpu_count())]
for thread in threads:
    thread.start()
try:
    done.wait(90)
finally:
    done.set()
"""

COUNT_SPEAKERS = """
from ipywidgets.widgets.widget import _instances
from jupyter_llm import ChatPanel
panels = [widget for widget in _instances.values() if isinstance(widget, ChatPanel)]
print(sum(panel._line.views.has_views for panel in panels), "has views")
"""

# Names a promise for the end of the next save.
NOTE_SAVE = """() => {
    const { commandExecuted } = jupyterapp.commands;
    // Until its checkpoint is made as well, JupyterLab takes no other.
    window.is_saved = new Promise(resolve => commandExecuted.connect(
        (_, { id, result }) => { if (id === 'docmanager:save') resolve(result); }));
}"""


@pytest.fixture(scope="module")
def notebook(chromium: Browser, lab: Lab) -> Iterator[Notebook]:
    """One notebook for all tests here."""
    with shared_notebook(chromium, lab, "panel", SCRIPTED) as notebook:
        yield notebook


@pytest.fixture
def open_panel(
    notebook: Notebook, request: pytest.FixtureRequest
) -> Iterator[Callable[..., LivePanel]]:
    """Show a panel with a chat of its own in cell 1, above the cells given."""

    def open_panel(*sources: str, max_tokens: int = 24) -> LivePanel:
        notebook.page.evaluate(ASK_KERNEL, "__import__('ipywidgets').Widget.close_all()")
        options = f"temperature=1, max_tokens={max_tokens}, ignore_eos=True"
        notebook.append(f"ChatPanel({request.node.name!r}, {options})", *sources)
        notebook.run(0)  # gives the kernel an engine without replies of another test
        return shown(notebook)

    with one_test(notebook, request):
        yield open_panel


# Closes all tabs of the main area but the notebook's.
CLOSE_OTHERS = """() => {
    for (const widget of Array.from(jupyterapp.shell.widgets('main')))
        if (widget !== notebook) widget.close();
}"""


def shown(notebook: Notebook) -> LivePanel:
    notebook.run(1)
    return LivePanel(notebook)


def end(notebook: Notebook) -> None:
    notebook.interrupt()
    notebook.finish()


def test_an_answer_grows_and_the_status_says_what_it_took(
    open_panel: Callable[..., LivePanel],
) -> None:
    panel = open_panel(REAL_MODEL, max_tokens=60)
    panel.notebook.run(2)
    panel.send("Tell a story about a lighthouse.")
    panel.wait_until_writing()
    early = panel.answers.last.inner_text()
    panel.wait_until_finished()
    assert panel.answers.last.inner_text().startswith(early.strip()[:10])
    assert len(panel.answers.last.inner_text()) > len(early)
    status = panel.root.locator(".jllm-status")
    expect(status).to_contain_text("smollm2")
    expect(status).to_contain_text("tokens/s")
    panel.ask("And then?")
    expect(status).to_have_text(re.compile(r"(?<!\d)[1-9]\d?% cached"))  # not the first one's 0 %


def test_everything_works_while_a_cell_burns_all_cores(
    open_panel: Callable[..., LivePanel],
) -> None:
    panel = open_panel(REAL_MODEL, BURN, max_tokens=2000)  # no answer ends before it is stopped
    notebook = panel.notebook
    notebook.run(2)
    notebook.start(3)
    expect(notebook.cell(3).locator(".jp-InputPrompt")).to_contain_text("*")
    panel.send("Are you there?")
    panel.wait_until_writing()
    panel.stop_ms()
    expect(panel.turns.last).to_contain_text("tokens")
    # By a key: on such a machine what is below moves between the two halves of a click.
    panel.turns.last.get_by_role("button", name="Edit", exact=True).press("Enter")
    panel.turns.last.get_by_role("textbox").fill("Count to three.")
    panel.page.keyboard.press("Enter")
    expect(panel.turns.last).to_contain_text("2/2")
    panel.wait_until_writing()
    panel.stop_ms()
    assert "*" in notebook.cell(3).locator(".jp-InputPrompt").inner_text()
    end(notebook)


def stop_twice(panel: LivePanel) -> list[float]:
    """Press Stop while an answer is written and while a prompt is read; how long each took."""
    panel.send("Tell a very long story.")
    panel.wait_until_writing()
    writing_ms = panel.stop_ms()
    assert panel.answers.last.inner_text().strip()
    panel.send("word " * 3000)
    expect(panel.root.locator(".jllm-progress").last).to_contain_text("of")
    return [writing_ms, panel.stop_ms()]


@pytest.mark.benchmark
def test_stop_is_felt_within_300_ms(open_panel: Callable[..., LivePanel]) -> None:
    panel = open_panel(REAL_MODEL, max_tokens=2000)
    panel.notebook.run(2)
    assert max(stop_twice(panel)) < 300


def saved_after(panel: LivePanel) -> str:
    """Return the conversation as text, once the last turn has reached the notebook."""
    panel.page.wait_for_function(
        """prompt => notebook.content.widgets[1].model.outputs.toJSON().some(
            output => output.data && String(output.data['text/plain']).includes(prompt))""",
        arg=panel.root.locator(".jllm-turn .jllm-prompt-text").last.inner_text(),
    )
    outputs = panel.notebook.save()["cells"][1]["outputs"]
    (transcript,) = (out for out in outputs if "jupyter_llm_transcript" in out.get("metadata", {}))
    return str(transcript["data"]["text/plain"])


def test_a_conversation_outlives_the_page_a_restart_and_its_kernel(
    open_panel: Callable[..., LivePanel],
) -> None:
    formulas = "from IPython.display import HTML\nHTML('$y$')"
    panel = open_panel("engine.replies.append('It is $x^2$.')", formulas, COUNT_SPEAKERS)
    notebook = panel.notebook
    notebook.run(2)
    panel = shown(notebook)
    panel.ask("What is it?")
    expect(panel.answers.locator("math")).to_have_count(1)

    def speakers() -> str:
        notebook.run(4)
        return notebook.text(4).strip()

    until(lambda: speakers() == "1 has views")  # what has gone may say so after the cell
    before = panel.texts()
    panel.box.fill("And then")
    notebook.save()
    notebook.reload()
    panel = LivePanel(notebook)
    assert panel.texts() == before
    expect(panel.box).to_have_value("And then")
    panel.ask("And now?")
    expect(panel.turns).to_have_count(2)
    before = panel.texts()
    assert "And now?" in saved_after(panel)
    notebook.restart()
    expect(panel.root.locator(".jllm-alert")).to_contain_text("Run its cell again")
    notebook.run(0)
    panel = shown(notebook)
    assert panel.texts() == before
    panel.ask("And last?")
    saved_after(panel)
    transcript = notebook.cell(1).locator(".jupyter-llm-transcript")
    expect(transcript).to_contain_text("What is it?")
    expect(transcript).to_be_hidden()
    notebook.run(3)
    expect(notebook.cell(3).locator("mjx-container")).to_have_count(1)
    expect(transcript.locator("mjx-container")).to_have_count(0)  # it is not drawn before
    saved = notebook.save()
    for exporter in (HTMLExporter(), MarkdownExporter()):
        assert "What is it?" in exporter.from_notebook_node(saved)[0]
    notebook.shut_down()
    notebook.reload()
    expect(transcript.locator("mjx-container")).to_have_count(1)
    outputs = notebook.cell(1).locator(".jp-OutputArea-child")
    expect(outputs).to_have_count(2)
    expect(outputs.first).to_have_text(re.compile("model not found"))
    expect(outputs.first).to_be_hidden()  # the transcript stands there alone
    expect(transcript).to_be_visible()


def accept_button(notebook: Notebook, index: int) -> Locator:
    """Return the button that accepts what is proposed in a cell."""
    return notebook.cell(index).get_by_role("button", name="Accept", exact=True)


CODE = "Two ways:\n\n```python\nfirst = 1\n```\n\nor\n\n```python\nsecond = nowhere + 1\n```\n"


def test_cells_go_along_and_code_goes_into_cells_also_while_one_runs(
    open_panel: Callable[..., LivePanel],
) -> None:
    fixed = "total = 1 / 4\n```"
    panel = open_panel(
        f"engine.replies.extend([{CODE!r}, {fixed!r}])",
        "old = 0\nprint(4711)",
        SLEEP,
        "total = 1 / 0",
        max_tokens=1000,
    )
    notebook, page = panel.notebook, panel.page
    for index in (2, 3):
        notebook.run(index)
    notebook.activate(3)
    for name in ("Attach cell", "Attach output"):
        panel.button(name).click()
    expect(panel.root.locator(".jllm-chip")).to_have_count(2)
    panel.ask("Show me.")
    expect(panel.root.locator(".jllm-chips .jllm-chip")).to_have_count(0)
    expect(panel.turns.last.locator(".jllm-tag")).to_have_count(2)
    expect(panel.root.locator(".jllm-code").last).to_contain_text("nowhere")
    notebook.start(4)
    notebook.activate(3)
    panel.root.get_by_role("button", name="Insert below", exact=True).first.click()
    expect(notebook.cell(4)).to_contain_text("first = 1")
    assert "Generated by" in notebook.source(4)
    assert notebook.outputs(4) == []
    notebook.activate(3)
    panel.button("Replace cell").click()
    expect(notebook.cell(3).locator(".jllm-removed-line")).to_have_text(["old = 0", "print(4711)"])
    expect(accept_button(notebook, 3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(notebook.cell(3)).to_contain_text("second = nowhere + 1")
    cells = notebook.save()["cells"]
    assert all("digest" in cell["metadata"]["jupyter_llm"] for cell in cells[3:5])
    notebook.cell(3).locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+z")
    expect(notebook.cell(3)).to_contain_text("old = 0")
    (cell,) = notebook.save()["cells"][3:4]
    assert "jupyter_llm" not in cell["metadata"]
    end(notebook)
    notebook.run(6)
    panel.send("/fix")
    offer = panel.root.locator(".jllm-notice").last
    expect(offer).to_contain_text("1 / 4")
    expect(accept_button(notebook, 6)).to_be_visible()
    expect(offer.get_by_role("button", name="Replace cell", exact=True)).to_have_count(0)
    expect(panel.box).to_be_focused()
    accept_button(notebook, 6).click()
    expect(notebook.cell(6)).to_contain_text("total = 1 / 4")


def test_keys_in_the_panel_are_its_own_but_those_that_save_and_find(
    open_panel: Callable[..., LivePanel],
) -> None:
    panel = open_panel("1", "2")
    notebook, log = panel.notebook, panel.root.locator(".jllm-log")
    panel.ask("Hello.")
    notebook.activate(2)
    cells = panel.page.evaluate("() => notebook.content.widgets.length")
    panel.box.press_sequentially("dd abx m y")
    for place in (log, panel.button("Edit"), panel.button("Copy")):
        place.focus()
        for key in ("d", "d", "a", "b", "x", "m", "Control+Shift+m", "Control+Backspace"):
            panel.page.keyboard.press(key)
    log.press("Control+Enter")
    assert panel.page.evaluate("() => notebook.content.widgets.length") == cells
    assert notebook.outputs(2) == []
    expect(panel.box).to_have_value("dd abx m y")
    panel.box.press("Shift+Enter")
    expect(panel.turns).to_have_count(1)
    # What is taken back is what was typed there.
    panel.box.fill("")
    notebook.type(2, "23")
    notebook.activate(1)
    panel.button("Edit").click()
    for box, text in ((panel.box, ""), (panel.turns.last.get_by_role("textbox"), "Hello.")):
        box.press("End")
        box.press_sequentially("abc")
        expect(box).to_have_value(f"{text}abc")
        for _ in "abc":  # at once, unless something moved the focus between the letters
            if box.input_value() != text:
                box.press("Control+z")
        expect(box).to_have_value(text)
    assert notebook.source(2) == "123"
    for index, place in enumerate((panel.box, log)):
        notebook.set_source(2, f"saved = {index}")
        panel.page.evaluate(NOTE_SAVE)
        place.press("Control+s")
        panel.page.evaluate("() => window.is_saved")
        saved = nbformat.read(notebook.path, as_version=4)
        assert saved["cells"][2]["source"] == f"saved = {index}"
    panel.box.press("Control+Shift+c")
    expect(panel.page.locator("#modal-command-palette .lm-CommandPalette-input")).to_be_focused()
    panel.page.keyboard.press("Escape")


def test_a_view_of_its_own_takes_all_the_room(open_panel: Callable[..., LivePanel]) -> None:
    notebook = open_panel().notebook
    notebook.activate(1)
    notebook.command("notebook:create-output-view")
    view = notebook.page.locator(".jp-LinkedOutputView")
    panel = view.locator(".jllm-panel")
    expect(panel.get_by_role("textbox", name="Message")).to_be_visible()
    room, taken = view.bounding_box(), panel.bounding_box()
    assert room is not None
    assert taken is not None
    assert taken["height"] > 0.95 * room["height"]
    notebook.page.evaluate("() => jupyterapp.shell.activateById(notebook.id)")
    notebook.page.evaluate(CLOSE_OTHERS)
