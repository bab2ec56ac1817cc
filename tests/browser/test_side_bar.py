"""The side bar of the JupyterLab extension: the chat of the notebook in front, beside it."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import violations
from browser.cell_actions import ASK_KERNEL
from browser.extension import Extension
from browser.ghost_page import LISTEN
from browser.lab import FIND_NOTEBOOK, Notebook, set_theme
from browser.live_panel import LONG, SCRIPTED
from browser.side_bar import SideBar
from playwright.sync_api import expect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from browser.lab import Lab
    from playwright.sync_api import Locator, Page

    OpenNotebook = Callable[..., Notebook]

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

LOAD = "%load_ext jupyter_llm"
REPLIES = f"""{SCRIPTED}
engine.replies.extend(['The first.', 'The second.', '```python\\nz = 3\\n```'])
"""
# What a panel has left in a notebook that is opened again.
ADD_TRANSCRIPT = """() => notebook.content.widgets[0].model.outputs.add({
    output_type: 'display_data',
    data: { 'text/plain': '> Who?\\n\\n* * *\\n\\nMe, *really*.' },
    metadata: { jupyter_llm_transcript: 'a' },
})"""
# Exports the chat of one notebook, and goes to another before the file is there.
EXPORT_AND_LEAVE = """async () => {
    const done = jupyterapp.commands.execute('jupyter-llm:export-chat');
    jupyterapp.shell.activateById(notebook.id);
    await done;
}"""
UNREADABLE = """%load_ext jupyter_llm
from jupyter_llm import llm
from jupyter_llm.errors import ChatNameError
def chat(name):
    raise ChatNameError("The chat's file is damaged.")
llm.chat = chat
"""
# For a page that is loaded while a cell runs: its kernel says nothing of itself meanwhile.
FIND_BUSY_NOTEBOOK = re.sub(r".*kernel\.info;", "", FIND_NOTEBOOK)
# Whether a draft was told last that goes without the cells, or with them.
DRAFT = """isAlone =>
    said.findLast(({ method }) => method === 'draft')?.arguments.prompt.is_alone === isAlone"""


@pytest.fixture
def page(lab_page: Page) -> Page:
    """The page that the tests of this file share."""
    return lab_page


def test_a_prompt_is_answered_while_a_cell_runs(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(LOAD, "import time; time.sleep(3600)")
    side = SideBar(notebook)
    notebook.run(0)
    notebook.start(1)
    side.open()
    expect(side.box).to_be_focused()
    side.send(LONG)
    side.wait_until_writing()
    side.box.press("Escape")
    side.wait_until_finished()
    side.box.press("Escape")
    expect(side.box).not_to_be_focused()
    assert notebook.page.evaluate("() => notebook.node.contains(document.activeElement)")
    notebook.interrupt()
    assert errors == []


def test_what_was_saved_is_read_without_a_kernel_and_the_chat_is_there_again_after_a_restart(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(LOAD)
    side = SideBar(notebook)
    # The side bar, open since the test before, looks for saved chats when it is shown.
    notebook.page.evaluate("() => jupyterapp.shell.collapseRight()")
    notebook.page.evaluate(ADD_TRANSCRIPT)
    notebook.command("jupyter-llm:chat")
    expect(side.line).to_contain_text("not loaded")
    saved = side.node.get_by_label("Saved chats")
    expect(saved.locator("blockquote")).to_have_text("Who?")
    expect(saved.locator("em")).to_have_text("really")
    assert violations(notebook.page, ".jllm-side") == []
    side.line.get_by_role("button").click()
    side.wait_until_there()
    expect(saved).to_be_hidden()
    notebook.run(0)  # which says where the notebook lies, too
    side.send(LONG)
    side.wait_until_writing()
    side.stop_ms()
    said = side.texts()
    side.box.fill("And then?")
    notebook.restart()
    expect(side.line).to_contain_text("not loaded")
    side.line.get_by_role("button").click()
    expect(side.line).to_be_hidden()
    expect(side.turns).to_have_count(1)
    assert side.texts() == said
    expect(side.box).to_have_value("And then?")
    assert errors == []


@pytest.mark.usefixtures("leaves_page")  # JupyterLab looks for a renamed notebook again
def test_chats_are_begun_renamed_found_exported_and_deleted_and_go_along_with_their_notebook(
    lab: Lab, open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES, "x = 1")
    page, side = notebook.page, SideBar(notebook)
    notebook.run(0)
    side.open()
    side.box.press("Escape")
    expect(side.box).not_to_be_focused()
    page.keyboard.press("Control+Shift+Space")
    expect(side.box).to_be_focused()
    page.keyboard.type("dd")  # which deletes a cell where the notebook hears it
    expect(side.box).to_have_value("dd")
    expect(page.locator(".jp-NotebookPanel .jp-Cell")).to_have_count(2)
    side.ask("One?")
    side.node.get_by_role("button", name="New chat").click()
    expect(side.turns).to_have_count(0)
    side.ask("Two?")
    side.choose("Rename Chat")
    page.locator(".jp-Dialog input").fill("Prices")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(side.chats).to_have_text("Prices")
    find_and_go_there(side)
    side.choose("Export Chat")
    expect(side.line).to_contain_text("Saved as")
    (exported,) = notebook.path.parent.glob("*-Prices.md")
    assert "The second." in exported.read_text("utf-8")
    page.evaluate("() => notebook.context.rename('renamed.ipynb')")
    chosen = '"jupyter-llm:chat:renamed.ipynb":"Prices"'
    until(lambda: any(chosen in path.read_text("utf-8") for path in lab.workspaces))
    side.choose("Delete Chat")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    expect(side.chats).to_have_text("default")
    side.chats.click()
    expect(side.entries).to_have_text([re.compile(r"default1 turn, .+One\?")])
    page.keyboard.press("Escape")
    expect(side.chats).to_be_focused()
    expect(side.answers).to_have_text(["The first."])
    assert errors == []


def find_and_go_there(side: SideBar) -> None:
    """Find what was said in the first chat of two by its words, go there, and come back."""
    keyboard = side.page.keyboard
    side.chats.press("Enter")
    expect(side.entries).to_have_count(2)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(side.page, theme)
        assert violations(side.page, ".jllm-side") == []
    keyboard.type("FIRST")
    expect(side.entries).to_have_text([re.compile(r"default.*One\? The first\.")])
    expect(side.entries.locator("mark")).to_have_text(["first"])
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(side.chats).to_have_text("default")
    expect(side.turns).to_be_focused()
    expect(side.turns).to_contain_text("The first.")
    side.chats.click()
    side.entries.filter(has_text="Prices").get_by_role("button").click()
    expect(side.chats).to_have_text("Prices")
    expect(side.box).to_be_focused()


def begin_another_chat(notebook: Notebook) -> SideBar:
    """Ask something in the first chat of the side bar, and leave it for an empty one."""
    side = SideBar(notebook)
    notebook.run(0)
    side.open()
    side.ask("One?")
    side.node.get_by_role("button", name="New chat").click()
    expect(side.turns).to_have_count(0)
    return side


def wait_until_saved(lab: Lab, notebook: Notebook, chat: str = "") -> None:
    """Wait until a workspace on disk has the notebook in front, and shows a chat in it."""
    name = notebook.path.name
    needed = [f'"current":"notebook:{name}"', *[f'"jupyter-llm:chat:{name}":"{chat}"'] * bool(chat)]

    def is_saved() -> bool:
        texts = [path.read_text("utf-8") for path in lab.workspaces]
        return any(all(one in text for one in needed) for text in texts)

    until(is_saved)


def test_after_a_reload_all_of_the_chat_is_there_again(
    lab: Lab, open_notebook: OpenNotebook, errors: list[str]
) -> None:
    more = "engine.replies.insert(2, 'The reason.')\nimport threading\ndoor = threading.Event()"
    notebook = open_notebook(f"{REPLIES}\n{more}")
    side = begin_another_chat(notebook)
    side.ask("Two?")
    notices = side.root.locator(".jllm-notice")
    side.send("/status")
    expect(notices).to_have_attribute("aria-busy", "false")
    notebook.page.evaluate(ASK_KERNEL, "setattr(engine, 'holds', True)")
    side.send("/explain 1")
    expect(notices.last).to_contain_text("The")
    side.send("Is it {{door.wait()}}?")
    expect(side.root.locator(".jllm-pending")).to_have_count(1)
    name = side.chats.inner_text()
    wait_until_saved(lab, notebook, name)
    side.box.fill("And then")
    notebook.reload(keeps_workspace=True)
    side.open()
    expect(side.chats).to_have_text(name)
    expect(side.box).to_have_value("And then")
    expect(notices).to_have_count(2)
    expect(notices.last).to_have_attribute("aria-busy", "true")
    expect(side.root.locator(".jllm-pending")).to_contain_text("Is it")
    notices.last.get_by_role("button", name="Stop").click()
    expect(notices.last).to_have_attribute("aria-busy", "false")
    notebook.page.evaluate(ASK_KERNEL, "setattr(engine, 'holds', False) or door.set()")
    expect(side.answers).to_have_text(["The second.", re.compile("z = 3")])
    notebook.page.evaluate(ASK_KERNEL, f"llm.chats.delete({name!r})")
    notebook.reload(keeps_workspace=True)
    side.open()
    expect(side.answers).to_have_text(["The first."])
    expect(side.chats).to_have_text("default")
    expect(side.box).to_have_value("")
    assert errors == []


def test_while_a_cell_runs_the_chat_in_use_goes_on_after_a_reload_and_in_a_second_tab(
    lab: Lab, open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES, "import time; time.sleep(3600)")
    side = begin_another_chat(notebook)
    side.ask("Two?")
    name = side.chats.inner_text()
    wait_until_saved(lab, notebook, name)
    notebook.start(1)
    notebook.page.reload()
    notebook.page.evaluate(FIND_BUSY_NOTEBOOK)
    side.open()
    expect(side.answers).to_have_text(["The second."])
    tab = notebook.page.context.new_page()
    tab.goto(lab.page_url(notebook.path.name).removesuffix("&reset"))
    # It goes on to a workspace of its own, which remembers no chat.
    tab.wait_for_url(re.compile(r"/auto-.+ipynb$"), wait_until="load")
    tab.evaluate(FIND_BUSY_NOTEBOOK)
    other = SideBar(Notebook(tab, notebook.path))
    other.open()
    side.ask("Three?")
    expect(other.turns).to_have_count(2)
    expect(other.turns.last).to_contain_text("z = 3")
    other.button("Insert below").click()  # which changes the cells of its page only
    tab.wait_for_function("() => notebook.model.cells.length === 3")
    assert notebook.page.evaluate("() => notebook.model.cells.length") == 2
    tab.close()
    assert side.ask("Four?")
    notebook.interrupt()
    assert errors == []


def test_a_kernel_that_dies_in_the_middle_of_an_answer_is_there_again_once_it_is_loaded(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(LOAD, "import os\nos.getpid()")
    extension, side = Extension(notebook), SideBar(notebook)
    notebook.run(0)
    side.open()
    notebook.run(1)
    side.send(LONG)
    side.wait_until_writing()
    os.kill(int(notebook.text(1)), signal.SIGKILL)
    notebook.page.locator(".jp-Dialog button").last.click()  # JupyterLab says so
    extension.wait_for_state("absent")
    expect(side.line).to_contain_text("not loaded")
    notebook.run(0)
    extension.wait_for_state("open")
    side.wait_until_there()
    side.wait_until_finished()
    assert side.ask("Say hello.")
    assert [error for error in errors if "debugger" not in error] == []


def test_a_chat_that_cannot_be_read_says_why_and_connects_no_longer(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(UNREADABLE)
    notebook.run(0)
    side = SideBar(notebook)
    notebook.command("jupyter-llm:chat")
    expect(side.root.locator(".jllm-alert")).to_contain_text("The chat's file is damaged.")
    expect(side.root).to_contain_text("Not connected.")
    expect(side.root).not_to_contain_text("Connecting")
    assert errors == []


@pytest.fixture
def without_status_bar(lab: Lab, page: Page, leaves_page: None) -> Iterator[None]:
    """Switch our plugin of the status bar off while the page is loaded anew."""
    config = lab.folder.parent / "config" / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('{"disabledExtensions": {"jupyter-llm:status-bar": true}}', "utf-8")
    page.goto("about:blank")
    yield
    config.unlink()


@pytest.mark.usefixtures("without_status_bar")
def test_without_the_plugin_of_the_status_bar_the_side_bar_loads_and_shows_the_chat(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(SCRIPTED)
    side = SideBar(notebook)
    assert not notebook.page.evaluate("jupyterapp.commands.hasCommand('jupyter-llm:load')")
    notebook.command("jupyter-llm:chat")
    side.line.get_by_role("button", name="Load it").click()
    side.wait_until_there()
    notebook.run(0)
    side.ask("Hello?")
    assert errors == []


def drag(page: Page, source: Locator, target: Locator) -> None:
    """Drag one thing onto another, with a mouse that moves."""
    for index, one in enumerate((source, target)):
        box = one.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y, steps=3)
        if index == 0:
            page.mouse.down()
    page.mouse.up()


def test_what_the_user_is_at_names_or_drops_goes_along_once_and_can_be_taken_out(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES, "total = 1", "other = 2", "price = 3")
    page, side = notebook.page, SideBar(notebook)
    notebook.run(0)
    notebook.run(3)
    (notebook.path.parent / ".jupyter_llm.md").write_text("Use polars.")
    side.open()
    chips = side.root.locator(".jllm-chip")
    notebook.activate(1)
    expect(chips.filter(has_text="Cell 2")).to_have_count(1)
    notebook.cell(1).locator(".cm-content").click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    expect(chips.filter(has_text="Selection")).to_have_count(1)
    side.root.get_by_role("button", name="Leave out Cell 2").click()
    side.root.get_by_role("button", name=".jupyter_llm.md", exact=True).click()
    expect(side.root.get_by_role("group", name=".jupyter_llm.md")).to_contain_text("Use polars.")
    side.root.get_by_role("button", name="Leave out .jupyter_llm.md").click()
    expect(chips.filter(has_text=".jupyter_llm.md")).to_have_count(0)
    expect(side.root.locator(".jllm-notice")).to_contain_text("/show .jupyter_llm.md")
    side.ask("What is it?")
    assert "polars" not in page.evaluate(ASK_KERNEL, "str(engine.requests[-1].prompt)")
    expect(side.root.locator(".jllm-tag")).to_have_text(["Selection in Cell 2"])
    expect(chips.filter(has_text="Cell 2")).to_have_count(0)
    notebook.activate(2)
    expect(chips.filter(has_text="Cell 3")).to_have_count(1)
    page.evaluate(LISTEN)
    side.box.fill("What is price?")
    page.wait_for_function(DRAFT, arg=False)
    side.root.get_by_role("button", name=re.compile(r"Leave out \d+ cell")).click()
    page.wait_for_function(DRAFT, arg=True)
    folder = notebook.path.parent
    (folder / "data").mkdir()
    (folder / "data" / "prices.csv").write_text("city,price\nOslo,3\n", "utf-8")
    (folder / "dropped.txt").write_text("Sold by weight.", "utf-8")
    side.box.fill("")
    side.box.press_sequentially("Sum @da")
    option = side.root.get_by_role("option", selected=True)
    expect(option).to_contain_text("@data/")
    side.box.press("Enter")
    expect(option).to_contain_text("@data/prices.csv")
    expect(side.root.locator(".jllm-description")).to_contain_text("'Oslo' | 3")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        set_theme(page, theme)
        assert violations(page, ".jllm-side") == []
    side.box.press("Enter")
    expect(side.box).to_have_value("Sum @data/prices.csv")
    notebook.command("filebrowser:activate")
    notebook.command("filebrowser:refresh")
    drag(page, page.locator(".jp-DirListing-item", has_text="dropped.txt"), side.box)
    expect(chips.filter(has_text="dropped.txt")).to_have_count(1)
    side.ask("Sum @data/prices.csv")
    labels = ["data/prices.csv", "Cell 3", "dropped.txt"]
    expect(side.turns.last.locator(".jllm-tag")).to_have_text(labels)
    told = page.evaluate(ASK_KERNEL, "engine.requests[-1].prompt[-1].content")
    assert "'Oslo' | 3" in told
    assert "Sold by weight." in told
    assert errors == []


def test_a_file_is_attached_with_the_dialog_of_jupyterlab_and_a_folder_is_not(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES)
    page, side = notebook.page, SideBar(notebook)
    notebook.run(0)
    for folder in ("a folder", "chosen"):
        (notebook.path.parent / folder).mkdir()
    (notebook.path.parent / "chosen" / "notes.txt").write_text("Sold by weight.", "utf-8")
    side.open()
    select = page.get_by_role("dialog").get_by_role("button", name="Select")
    side.button("Attach file…").click()
    select.click()
    expect(side.root.locator(".jllm-composer-hint")).to_have_text("Select a file, not a folder.")
    side.button("Attach file…").click()
    entries = page.get_by_role("dialog").locator(".jp-DirListing-item")
    entries.filter(has_text="chosen").dblclick()
    entries.filter(has_text="notes.txt").click()
    select.click()
    expect(side.root.locator(".jllm-chip").filter(has_text="chosen/notes.txt")).to_have_count(1)
    expect(side.box).to_be_focused()
    hint = side.root.locator(".jllm-composer-hint")
    expect(hint).to_have_text("chosen/notes.txt: 15 B")
    side.ask("How?")
    told = page.evaluate(ASK_KERNEL, "engine.requests[-1].prompt[-1].content")
    assert "Sold by weight." in told
    assert errors == []


def test_of_chosen_files_a_long_one_is_attached_in_part_and_a_binary_one_is_not(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES)
    page, side = notebook.page, SideBar(notebook)
    notebook.run(0)
    (notebook.path.parent / "a_long.txt").write_text(f"{'x' * 99}\n" * 300_000, "utf-8")
    (notebook.path.parent / "a_plot.png").write_bytes(b"\x89PNG\0")
    side.open()
    side.button("Attach file…").click()
    entries = page.get_by_role("dialog").locator(".jp-DirListing-item")
    entries.filter(has_text="a_long.txt").click()
    entries.filter(has_text="a_plot.png").click(modifiers=["Control"])
    page.get_by_role("dialog").get_by_role("button", name="Select").click()
    hint = side.root.locator(".jllm-composer-hint")
    expect(hint).to_contain_text("a_long.txt: 30.0 MB, here the first 64.0 kB")
    expect(hint).to_contain_text("a_plot.png cannot be attached: it is not text. Load")
    chips = side.root.locator(".jllm-chip")
    expect(chips.filter(has_text="a_long.txt")).to_have_count(1)
    expect(chips.filter(has_text="a_plot.png")).to_have_count(0)
    assert errors == []


def test_a_prompt_whose_file_was_deleted_is_in_the_field_again_with_all_chips(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES, "total = 1")
    page, side = notebook.page, SideBar(notebook)
    notebook.run(0)
    file = notebook.path.parent / "prices.txt"
    file.write_text("Sold by weight.", "utf-8")
    side.open()
    notebook.cell(1).click()
    side.button("Attach cell").click()
    side.button("Attach file…").click()
    page.get_by_role("dialog").locator(".jp-DirListing-item").filter(has_text=file.name).click()
    page.get_by_role("dialog").get_by_role("button", name="Select").click()
    chips = side.root.locator(".jllm-chip").filter(has_text=re.compile("In|Cell 2|prices"))
    expect(chips).to_contain_text(["Cell 2", "prices.txt"])
    expect(side.root.locator(".jllm-composer-hint")).to_contain_text("prices.txt:")  # it was read
    file.unlink()
    side.send("Who sells?")
    said = "prices.txt cannot be attached: No such file or directory. Remove it, or attach another"
    expect(side.root.locator(".jllm-notice")).to_contain_text(said)
    expect(side.box).to_have_value("Who sells?")
    expect(chips).to_contain_text(["Cell 2", "prices.txt"])
    side.button("Leave out prices.txt").click()
    side.box.press("Enter")
    expect(side.turns.locator(".jllm-tag")).to_have_text(["Cell 2"])
    assert errors == []


def test_a_cell_that_is_dragged_into_the_field_is_attached_and_stays_in_the_notebook(
    open_notebook: OpenNotebook, errors: list[str]
) -> None:
    notebook = open_notebook(REPLIES, "total = 1", "other = 2")
    side = SideBar(notebook)
    for index in range(3):
        notebook.run(index)
    side.open()
    drag(notebook.page, notebook.cell(1).locator(".jp-InputPrompt"), side.box)
    expect(side.root.locator(".jllm-chip").filter(has_text="In [2]")).to_have_count(1)
    expect(side.box).to_be_focused()
    side.ask("What is it?")
    expect(side.turns.last.locator(".jllm-tag")).to_have_text(["In [2]"])
    assert notebook.source(1) == "total = 1"
    assert errors == []


def test_it_follows_two_notebooks_with_two_kernels_and_writes_into_the_right_one(
    lab: Lab, open_notebook: OpenNotebook, errors: list[str]
) -> None:
    one = open_notebook(REPLIES, "a = 1")
    page, side = one.page, SideBar(one)
    one.run(0)
    side.open()
    side.ask("One?")
    side.ask("Two?")
    side.ask("Three?")
    page.evaluate("() => { window.first = notebook; }")
    path = lab.write("second-of-two.ipynb", REPLIES, "b = 2")
    page.evaluate("path => jupyterapp.commands.execute('docmanager:open', { path })", path.name)
    page.evaluate(FIND_NOTEBOOK.replace(".find(", ".filter(w => w !== window.first).find("))
    expect(side.line).to_contain_text("not loaded")
    two = Notebook(page, path)
    two.run(0)
    side.wait_until_there()
    expect(side.turns).to_have_count(0)
    side.ask("One?")
    expect(side.answers).to_have_text(["The first."])
    page.evaluate("() => jupyterapp.shell.activateById(first.id)")
    expect(side.turns).to_have_count(3)
    side.button("Insert below").click()
    page.wait_for_function("() => first.model.cells.length === 3")
    assert page.evaluate("() => notebook.model.cells.length") == 2
    page.evaluate(EXPORT_AND_LEAVE)
    expect(side.turns).to_have_count(1)
    expect(side.line).to_be_hidden()
    page.evaluate("() => jupyterapp.shell.activateById(first.id)")
    two.shut_down()
    page.evaluate("() => { window.notebook = window.first; }")
    assert errors == []
