"""Actions on cells in JupyterLab: what a person asks for, sees, takes and undoes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import contrast, violations
from browser.answers import FIND_FOREIGN
from browser.cell_actions import SCRIPTED, CellActions
from browser.extension import Extension
from browser.lab import set_theme
from browser.shared_notebook import beside, one_test, shared_notebook
from browser.side_bar import SideBar
from browser.test_panel_hostile import hostile_texts
from playwright.sync_api import expect
from support.seal import needs_seal
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser, Response

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BEFORE = "def half(x):\n    return x / 0\n\nhalf(1)"
AFTER = "def half(x):\n    return x / 2\n\nhalf(1)"
SOURCES = "() => notebook.content.widgets.map(cell => cell.model.sharedModel.getSource())"


@pytest.fixture(scope="module")
def shared(chromium: Browser, lab: Lab) -> Iterator[CellActions]:
    """One notebook with its kernel for all tests here."""
    with shared_notebook(chromium, lab, "cell-actions", SCRIPTED) as notebook:
        yield CellActions(notebook).connect()


@pytest.fixture
def actions(shared: CellActions, request: pytest.FixtureRequest) -> Iterator[CellActions]:
    """The notebook without the cells of the test before; nothing goes wrong in the page."""
    with one_test(shared.notebook, request):
        yield shared


def test_a_proposal_is_shown_and_read_in_the_cell_and_no_part_of_it_until_it_is_accepted(
    actions: CellActions,
) -> None:
    turned = AFTER.replace("2", "2  # \u202e\u200b")
    index = actions.propose(BEFORE, turned, unknown_names=["foo"])
    expect(actions.removed(index)).to_have_text(["    return x / 0"])
    expect(actions.added(index)).to_have_text(["    return x / 2  # [U+202E][U+200B]"])
    for said in ("1 line added, 1 removed", "foo exists nowhere"):
        expect(actions.region(index)).to_contain_text(said)
    assert actions.notebook.source(index) == BEFORE
    assert actions.notebook.save().cells[index].source == BEFORE
    actions.notebook.run(index)
    assert "ZeroDivisionError" in actions.notebook.text(index)
    actions.button(index, "Reject").click()
    expect(actions.region(index)).to_be_hidden()
    expect(actions.added(index)).to_have_count(0)
    assert actions.notebook.source(index) == BEFORE
    assert "jupyter_llm" not in actions.metadata(index)
    index = actions.propose(BEFORE, AFTER)
    changes = actions.region(index).get_by_role("list", name="Changes").get_by_role("listitem")
    lines = ["Removed:     return x / 0", "Added:     return x / 2"]
    expect(changes).to_have_text(lines)
    actions.page.keyboard.press("Control+k")
    actions.page.keyboard.press("l")
    expect(actions.region(index).locator(".jllm-announcer")).to_have_text("\n".join(lines))
    actions.button(index, "Accept").click()
    expect(actions.region(index)).to_be_hidden()
    assert actions.notebook.source(index) == AFTER
    assert actions.metadata(index)["jupyter_llm"] == {"record": 7}
    actions.notebook.cell(index).locator(".cm-content").click()
    actions.page.keyboard.press("Control+z")  # in one step
    assert actions.notebook.source(index) == BEFORE
    assert "jupyter_llm" not in actions.metadata(index)


# How much of a cell's code a proposal covers, beside the row with its buttons.
COVERED = """cell => {
    const [editor, head] = ['.cm-content', '.jllm-action-head'].map(name =>
        cell.querySelector(name).getBoundingClientRect());
    const { bottom } = cell.closest('.jp-WindowedPanel-outer').getBoundingClientRect();
    return Math.min(editor.bottom, bottom) - head.bottom;
}"""


@pytest.mark.parametrize("num_lines", [13, 100])
def test_of_a_long_proposal_only_the_row_with_accept_covers_the_cell_and_is_always_in_sight(
    actions: CellActions, num_lines: int
) -> None:
    lines = [f"a{number} = {number}" for number in range(num_lines)]
    parts = ["\n".join(lines[at : at + 4]) for at in range(0, num_lines, 4)]
    index = actions.propose("\n".join(lines), parts[0], "split", below=parts[1:])
    cell, accept = actions.notebook.cell(index), actions.button(index, "Accept")
    for end in ("end", "start"):
        cell.locator(".cm-content").evaluate("(n, block) => n.scrollIntoView({ block })", end)
        expect(accept).to_be_in_viewport(ratio=1)
        until(lambda: cell.evaluate(COVERED) <= 2)


def test_cells_that_have_not_run_are_run_and_then_the_cell_that_needs_them(
    actions: CellActions,
) -> None:
    for source in ("width = 20", "height = 7", "area = width * 2"):
        actions.add(source)
    index = actions.add("area + 1")
    actions.notebook.run(index)
    runs = actions.page.evaluate("notebook.content.widgets.map(({ model }) => model.id)")
    for name, has_run in (("Run it", False), ("Run all above", True)):
        actions.kernel("get_ipython().user_ns.pop('area', None)")
        with actions.asking():
            actions.do("fix")
        words = "`area` is bound by cell 4."
        known = {"runs": [runs[-4], *runs[-2:]], "markdown": words}
        actions.reply(f"propose('area + 1', **{known!r})")
        expect(actions.region(index)).to_contain_text("area is bound by cell 4.")
        expect(actions.button(index, "Accept")).to_have_count(0)
        actions.button(index, name).click()
        expect(actions.region(index)).to_be_hidden()
        actions.wait_for("get_ipython().user_ns.get('area') == 40")
        expect(actions.notebook.rendered(index)).to_have_text("41")
        assert actions.kernel("'height' in get_ipython().user_ns") == has_run


def test_an_empty_cell_says_which_keys_ask_the_model(actions: CellActions) -> None:
    index = actions.add()
    line = actions.notebook.cell(index).locator(".cm-line")

    def hint() -> str:
        text: str = line.evaluate("node => getComputedStyle(node, '::before').content")
        return text

    until(lambda: hint() == '"Type, or press Ctrl+K, E to ask" / ""')
    assert line.inner_text().strip() == ""
    line.click()
    actions.page.keyboard.type("1")
    until(lambda: hint() == "none")
    assert actions.notebook.source(index) == "1"
    actions.page.keyboard.press("Backspace")
    until(lambda: "Ctrl+K, E" in hint())
    actions.page.evaluate("() => document.body.classList.add('jllm-no-emptyCellHint')")
    assert hint() == "none"
    actions.page.evaluate("() => document.body.classList.remove('jllm-no-emptyCellHint')")
    actions.add()
    until(lambda: hint() == "none")  # only the cell where one is has it


# The colours of all hints in the notebook in front.
HINTS = """() => Array.from(notebook.node.querySelectorAll('.cm-line'))
    .map(line => getComputedStyle(line, '::before'))
    .filter(({ content }) => content.includes('Type, or press'))
    .map(({ color }) => color)"""


def test_no_other_cell_has_the_hint_and_it_can_be_read(actions: CellActions) -> None:
    def hints() -> list[str]:
        colours: list[str] = actions.page.evaluate(HINTS)
        return colours

    for source, metadata in (("%%llm", {}), ("x = 1", {}), ("", {"editable": False})):
        actions.add()
        until(lambda: len(hints()) == 1)
        actions.add(source, **metadata)
        until(lambda: not hints())
    index = actions.add()
    line = actions.page.get_by_role("button", name="Ask the model for a cell")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(actions.page, theme)
        until(lambda: hints() == [line.evaluate("node => getComputedStyle(node).color")])
        assert contrast(line) >= 4.5
    actions.do("edit")
    until(lambda: not hints())
    actions.button(index, "Close").click()
    until(lambda: len(hints()) == 1)
    actions.notebook.command("notebook:change-cell-to-markdown")
    until(lambda: not hints())


def test_a_new_notebook_has_the_hint_once_its_kernel_is_connected(
    actions: CellActions, lab: Lab
) -> None:
    with beside(actions.notebook, lab.write("new.ipynb", "")) as notebook:
        Extension(notebook).wait_for_state("absent")
        assert notebook.page.evaluate(HINTS) == []
        CellActions(notebook).kernel("get_ipython().run_line_magic('load_ext', 'jupyter_llm')")
        until(lambda: len(notebook.page.evaluate(HINTS)) == 1)


def test_the_line_below_the_last_cell_asks_for_another_one(actions: CellActions) -> None:
    last = actions.add("x = 1")
    line = actions.page.get_by_role("button", name="Ask the model for a cell")
    for _ in range(2):  # an empty cell at the end is used
        line.click()
        instruction = actions.region(last + 1).get_by_role("textbox")
        expect(instruction).to_be_focused()
        actions.page.keyboard.press("Escape")
        expect(instruction).to_be_hidden()
    line.click()
    with actions.asking():
        instruction.fill("two")
        instruction.press("Enter")
    actions.reply("propose('x = 2')")
    actions.button(last + 1, "Accept").click()
    assert [actions.notebook.source(index) for index in (last, last + 1)] == ["x = 1", "x = 2"]
    cells = "notebook.content.widgets.length"
    number = actions.page.evaluate(cells)
    actions.page.evaluate("() => { notebook.content.model.readOnly = true; }")
    line.click()
    actions.page.evaluate("() => { notebook.content.model.readOnly = false; }")
    assert actions.page.evaluate(cells) == number


THREE = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5"
OTHERS = THREE.replace("1", "10").replace("3", "30").replace("5", "50")


def test_changes_are_accepted_and_refused_one_by_one_with_keys_alone(actions: CellActions) -> None:
    index = actions.propose(THREE, OTHERS)
    cell = actions.notebook.cell(index)
    expect(cell.locator(".jllm-changed-words")).to_have_text(["1", "10", "3", "30", "5", "50"])
    cell.get_by_role("button", name="Accept change 1 of 3").focus()
    actions.page.keyboard.press("Enter")
    assert actions.notebook.source(index) == THREE.replace("1", "10")
    assert actions.metadata(index)["jupyter_llm"] == {"record": 7}
    expect(actions.added(index)).to_have_text(["c = 30", "e = 50"])
    expect(cell.get_by_role("button", name="Accept change 1 of 2")).to_be_focused()
    actions.page.keyboard.press("Tab")
    actions.page.keyboard.press("Space")
    expect(actions.added(index)).to_have_text(["e = 50"])
    expect(cell.locator(".jllm-hunk button")).to_have_count(0)
    cell.locator(".cm-content").click()
    actions.page.keyboard.press("Control+z")
    expect(actions.added(index)).to_have_text(["a = 10", "e = 50"])
    actions.page.keyboard.press("Control+k")
    actions.page.keyboard.press("y")
    expect(actions.added(index)).to_have_text(["e = 50"])
    actions.button(index, "Accept").click()
    assert actions.notebook.source(index) == THREE.replace("1", "10").replace("5", "50")
    assert actions.metadata(index)["jupyter_llm"] == {"record": 7}


def test_a_proposal_is_there_again_after_a_reload_without_what_was_rejected(
    actions: CellActions,
) -> None:
    index = actions.propose(THREE, OTHERS)
    actions.do("reject-change")
    expect(actions.added(index)).to_have_text(["c = 30", "e = 50"])
    actions.notebook.save()
    actions.notebook.reload(keeps_workspace=True)
    expect(actions.added(index)).to_have_text(["c = 30", "e = 50"])
    actions.page.evaluate("index => { notebook.content.activeCellIndex = index; }", index)
    actions.do("explain")
    expect(actions.region(index).get_by_role("status").first).to_have_text(
        "Decide about this proposal first."
    )
    actions.button(index, "Accept").click()
    assert actions.notebook.source(index) == OTHERS.replace("10", "1")
    actions.wait_for("not scripted_actions.actions.proposals.all()")


# Opens another view of the notebook, closes the first one, and goes on in the other.
MOVE = """async () => {
    const first = notebook;
    await jupyterapp.commands.execute('docmanager:clone');
    window.notebook = jupyterapp.shell.currentWidget;
    await notebook.revealed;
    first.dispose();
    return first !== notebook;
}"""


def test_another_view_of_the_notebook_goes_on_when_the_first_one_is_closed(
    actions: CellActions,
) -> None:
    index = actions.propose(BEFORE, AFTER)
    for _ in range(2):
        assert actions.page.evaluate(MOVE)
        expect(actions.added(index)).to_have_text(["    return x / 2"])
    actions.button(index, "Accept").click()
    index = actions.add("1 / 0")
    cell = actions.page.evaluate("() => notebook.content.activeCell.model.id")
    with actions.asking():
        actions.kernel(f"scripted_actions.actions._line.show_fix({cell!r})")
    actions.reply("propose('1 / 1')")
    expect(actions.added(index)).to_have_text(["1 / 1"])


def test_a_person_goes_on_from_a_proposal(actions: CellActions) -> None:
    index = actions.start("fix", BEFORE)
    actions.reply("write('```python\\ndef half(x):\\n    return')")
    code = actions.region(index).locator("pre")
    expect(code).to_have_text("def half(x):\n    return")
    status = actions.region(index).get_by_role("status").first
    expect(status).to_have_text("The model is at work")  # how far it is, is only seen
    expect(actions.region(index)).to_contain_text("Writing")
    expect(actions.added(index)).to_have_count(0)
    actions.reply("write(' x / 2\\n\\nha', is_new=False)")
    expect(actions.added(index)).to_have_text(["    return x / 2"])  # while it is written
    expect(status).to_have_text("The model is at work")
    actions.reply(f"propose({AFTER!r})")
    expect(status).to_have_text("1 line added, 1 removed")
    expect(code).to_have_count(0)
    with actions.asking():
        actions.do("again")
    former = "scripted_actions.actions.asked[-1].former"
    assert actions.kernel(f"[{former}.source, {former}.wish, {former}.count]") == [AFTER, "", 1]
    actions.button(index, "Stop").click()
    expect(actions.added(index)).to_have_text(["    return x / 2"])
    box = actions.region(index).get_by_role("textbox")
    box.fill("by multiplication")
    box.press("Escape")  # what was typed is not lost for that
    expect(actions.button(index, "Accept")).to_be_focused()
    with actions.asking():
        box.press("Enter")
    assert actions.kernel(f"[{former}.source, {former}.wish]") == [AFTER, "by multiplication"]
    actions.reply("fail('The model wrote no code.')")
    expect(actions.region(index)).to_contain_text("The model wrote no code.")
    with actions.asking():
        actions.button(index, "Again").click()
    actions.reply(f"propose({AFTER.replace('/ 2', '* 0.5')!r})")
    actions.button(index, "Accept and run").click()
    expect(actions.notebook.rendered(index)).to_have_text("0.5")
    assert actions.notebook.source(index) == AFTER.replace("/ 2", "* 0.5")


@needs_seal
def test_the_variables_that_an_accepted_change_overwrote_come_back(actions: CellActions) -> None:
    actions.notebook.run(actions.add("prices = [1, 2]"))
    index = actions.propose("prices", "prices.append(3)\nprices")
    actions.button(index, "Accept and run").click()
    expect(actions.notebook.rendered(index)).to_have_text("[1, 2, 3]")
    actions.page.evaluate("() => notebook.content.activeCell.node.focus()")
    actions.page.keyboard.press("Control+k")
    actions.page.keyboard.press("u")
    report = actions.page.get_by_role("alert")
    expect(report).to_contain_text("Undone: the run of `prices.append(3)`. Restored: `prices`.")
    assert actions.kernel("prices") == [1, 2]


def test_a_cell_of_markdown_is_changed_too(actions: CellActions) -> None:
    index = actions.add("# Pries")
    actions.page.evaluate(
        """async () => {
            await jupyterapp.commands.execute('notebook:change-cell-to-markdown');
            await jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    expect(actions.notebook.cell(index).locator("h1")).to_be_visible()
    with actions.asking():
        actions.do("continue")
    assert actions.kernel("scripted_actions.actions.asked[-1].cell.kind") == "markdown"
    actions.reply("propose('# Prices')")
    expect(actions.added(index)).to_have_text(["# Prices"])
    actions.button(index, "Accept").click()
    expect(actions.notebook.cell(index).locator("h1")).to_contain_text("Prices")
    enabled = "name => jupyterapp.commands.isEnabled(`jupyter-llm:${name}`)"
    names = ("edit", "review", "split", "explain", "fix", "document", "test")
    assert [actions.page.evaluate(enabled, name) for name in names] == [True] * 3 + [False] * 4


def test_keys_of_the_command_mode_mean_nothing_on_our_buttons(actions: CellActions) -> None:
    index = actions.propose(BEFORE, AFTER)
    actions.notebook.run(index)
    fix = actions.notebook.cell(index).get_by_role("button", name="Fix with the model")
    num = actions.page.evaluate("() => notebook.content.widgets.length")
    box = actions.region(index).get_by_role("textbox")
    box.press_sequentially("shorter")
    box.press("Control+s")  # the application's keys are heard there
    actions.page.wait_for_function("() => !notebook.context.model.dirty")
    box.press("Shift+Enter")  # the notebook's are not
    expect(box).to_have_value("shorter\n")
    box.fill("")
    for button in (fix, actions.button(index, "Accept")):
        button.focus()
        for key in ("x", "a", "b", "d", "d", "j", "m", "Control+Enter"):
            actions.page.keyboard.press(key)
        expect(button).to_be_focused()
    assert actions.page.evaluate("() => notebook.content.widgets.length") == num
    actions.page.keyboard.press("Enter")
    expect(actions.region(index)).to_be_hidden()
    assert actions.notebook.source(index) == AFTER
    actions.page.keyboard.press("a")  # they are back with the cell
    assert actions.page.evaluate("() => notebook.content.widgets.length") == num + 1


def test_an_error_is_fixed_from_its_output_unless_it_is_one_of_ours(actions: CellActions) -> None:
    own, index = actions.add("%llm /use nonsense"), actions.add(BEFORE)
    for one in (own, index):
        actions.notebook.run(one)
    assert "No model named 'nonsense'" in actions.notebook.text(own)
    expect(actions.notebook.cell(own).locator(".jllm-fix")).to_have_count(0)
    with actions.asking():
        actions.notebook.cell(index).get_by_role("button", name="Fix with the model").click()
    assert actions.kernel("scripted_actions.actions.asked[-1].action") == "fix"
    error = actions.kernel("scripted_actions.actions.asked[-1].cell.error")
    assert "ZeroDivisionError: division by zero" in error
    assert "\x1b" not in error
    actions.reply(f"propose({AFTER!r})")
    actions.button(index, "Accept").click()
    actions.notebook.run(index)
    assert "0.5" in actions.notebook.text(index)
    expect(actions.notebook.cell(index).locator(".jllm-fix")).to_have_count(0)


def test_an_output_is_gone_on_from_and_asked_about_with_keys_alone(actions: CellActions) -> None:
    index, failed = actions.add("[1, 2]"), actions.add("1 / 0")
    keys = actions.page.keyboard

    def choose(cell: int, *names: str) -> None:
        """Choose the last of the entries in the menu of an output."""
        actions.notebook.activate(cell)
        actions.notebook.cell(cell).get_by_label("Ask the model about this output").focus()
        keys.press("Enter")
        expect(actions.page.locator(".lm-Menu .lm-Menu-itemLabel")).to_have_text(names)
        for _ in names:
            keys.press("ArrowDown")
        keys.press("Enter")

    for one in (index, failed):
        actions.notebook.run(one)
    choose(failed, "Explain", "Fix", "Ask about this")
    side = SideBar(actions.notebook)
    chips = side.node.locator(".jllm-chip")
    expect(chips.filter(has_text="[")).to_have_text([re.compile(r"In \["), re.compile(r"Out \[")])
    expect(side.box).to_be_focused()
    actions.page.evaluate("() => jupyterapp.shell.collapseRight()")
    with actions.asking():
        choose(index, "Explain", "Ask about this", "Continue from here")
    assert actions.kernel("scripted_actions.actions.asked[-1].action") == "next"
    actions.reply("propose('sum(_)', before=None)")
    actions.button(index, "Insert below").click()
    assert actions.notebook.source(index + 1) == "sum(_)"


def test_an_error_is_fixed_in_the_cell_that_caused_it(actions: CellActions) -> None:
    cause = actions.add(BEFORE)
    index = actions.add("half(1)")
    for one in (cause, index):
        actions.notebook.run(one)
    fix = actions.notebook.cell(index).get_by_role("button", name="Fix with the model")
    trace = actions.notebook.rendered(index)
    place, below = fix.bounding_box(), trace.bounding_box()
    assert place is not None
    assert below is not None
    assert place["y"] < below["y"]
    with actions.asking():
        fix.click()
    expect(actions.region(index)).to_be_visible()
    cell_id = actions.notebook.save().cells[cause].id
    where = {"cell": cell_id, "before": BEFORE, "markdown": "The cell defines `half`."}
    actions.reply(f"propose({AFTER!r}, **{where!r})")
    expect(actions.region(index)).to_be_hidden()
    expect(actions.added(cause)).to_have_text(["    return x / 2"])
    expect(actions.region(cause)).to_contain_text("The cell defines half.")
    expect(actions.region(cause)).to_be_in_viewport()
    actions.button(cause, "Accept").click()
    assert actions.notebook.source(cause) == AFTER
    assert actions.notebook.source(index) == "half(1)"
    again = actions.start("fix", "half(2)")
    actions.reply(f"propose({AFTER!r}, **{where | {'cell': 'gone'}!r})")
    expect(actions.region(again)).to_contain_text("no longer in the notebook")
    expect(actions.button(again, "Accept")).to_have_count(0)
    expect(actions.button(again, "Insert below")).to_have_count(0)


def test_an_error_is_fixed_in_two_cells_accepted_and_undone_together(
    actions: CellActions,
) -> None:
    failed = "half(1)\nprint(hlaf(2))"
    cause, index = actions.add(BEFORE), actions.add(failed)
    ids = [cell.id for cell in actions.notebook.save().cells]
    with actions.asking():
        actions.do("fix")
    mended = failed.replace("hlaf", "half")
    other = {"source": mended, "markdown": "The cell would fail once cell 2 is changed."}
    where = {"cell": ids[cause], "before": BEFORE, "markdown": "The cell defines `half`."}
    actions.reply(f"propose({AFTER!r}, others=[{other!r}], **{where!r})")
    bar = actions.page.get_by_role("region", name="Proposals in this notebook")
    for _ in range(2):
        expect(bar.get_by_role("status")).to_have_text("2 cells changed")
        expect(actions.added(cause)).to_have_text(["    return x / 2"])
        expect(actions.added(index)).to_have_text(["print(half(2))"])
        expect(actions.region(index)).to_contain_text("would fail once cell 2 is changed")
        expect(actions.button(index, "Again")).to_have_count(0)
        actions.notebook.save()
        actions.notebook.reload(keeps_workspace=True)
    expect(bar).to_be_visible()
    bar.get_by_role("button", name="Accept all").click()
    expect(actions.page.locator(".jllm-action, .jllm-review:visible")).to_have_count(0)
    assert actions.page.evaluate(SOURCES)[cause:] == [AFTER, mended]
    actions.page.keyboard.press("z")
    assert actions.page.evaluate(SOURCES)[cause:] == [BEFORE, failed]
    actions.wait_for("not scripted_actions.actions.proposals.all()")


def test_the_cell_that_failed_runs_again_with_the_change_of_its_cause(actions: CellActions) -> None:
    cause = actions.add("n = 0")
    index = actions.add("print(1 / n)")
    for one in (cause, index):
        actions.notebook.run(one)
    ids = [cell.id for cell in actions.notebook.save().cells]
    with actions.asking():
        actions.do("fix")
    where = {"cell": ids[cause], "before": "n = 0", "runs": ids[cause:]}
    actions.reply(f"propose('n = 2', **{where!r})")
    actions.button(cause, "Accept and run 2 cells").click()
    expect(actions.notebook.rendered(index)).to_have_text("0.5")
    assert actions.notebook.source(cause) == "n = 2"


def test_an_undecided_proposal_and_words_that_were_not_sent_stay_when_another_action_begins(
    actions: CellActions,
) -> None:
    index = actions.propose(BEFORE, AFTER)
    actions.do("explain")
    expect(actions.region(index).get_by_role("status").first).to_have_text(
        "Decide about this proposal first."
    )
    expect(actions.added(index)).to_have_text(["    return x / 2"])
    expect(actions.button(index, "Accept")).to_be_focused()
    actions.button(index, "Reject").click()
    actions.do("edit")
    box = actions.region(index).get_by_role("textbox")
    box.fill("as a list")
    actions.do("explain")
    expect(box).to_be_focused()
    expect(box).to_have_value("as a list")
    box.fill("")
    with actions.asking():
        actions.do("explain")


ACTIVE = "() => [notebook.content.activeCellIndex, document.activeElement !== document.body]"


def test_a_change_of_another_cell_waits_for_what_is_done_there(actions: CellActions) -> None:
    cause = actions.add(BEFORE)
    where = {"cell": actions.notebook.save().cells[cause].id, "before": BEFORE}
    actions.do("edit")
    box = actions.region(cause).get_by_role("textbox")
    box.fill("typed")
    index = actions.start("fix", "half(1)")
    actions.button(index, "Stop").focus()
    actions.reply(f"propose({AFTER!r}, **{where!r})")
    expect(actions.region(index)).to_contain_text("The change is for another cell")
    expect(actions.button(index, "Insert below")).to_have_count(0)
    assert box.input_value() == "typed"
    assert actions.page.evaluate(ACTIVE)[0] == index
    actions.button(index, "Show").click()
    actions.page.wait_for_function(f"() => notebook.content.activeCellIndex === {cause}")
    actions.button(cause, "Close").click()
    actions.button(index, "Show").click()
    expect(actions.region(index)).to_be_hidden()
    expect(actions.added(cause)).to_have_text(["    return x / 2"])
    assert actions.page.evaluate(ACTIVE) == [cause, True]
    actions.page.keyboard.press("Control+Shift+Enter")
    expect(actions.region(cause)).to_be_hidden()
    assert actions.notebook.source(cause) == AFTER


@pytest.mark.parametrize("stays", [True, False])
def test_whoever_asked_goes_along_to_the_cell_that_is_changed(
    actions: CellActions, *, stays: bool
) -> None:
    cause = actions.add(BEFORE)
    where = {"cell": actions.notebook.save().cells[cause].id, "before": BEFORE}
    index = actions.start("fix", "half(1)" + "\n" * 60)
    actions.button(index, "Stop").focus()
    if not stays:
        index = actions.add("x = 1")
    actions.reply(f"propose({AFTER!r}, **{where!r})")
    expect(actions.added(cause)).to_have_text(["    return x / 2"])
    actions.page.wait_for_function("() => document.activeElement !== document.body")
    assert actions.page.evaluate(ACTIVE) == [cause if stays else index, True]
    if stays:
        expect(actions.region(cause)).to_be_in_viewport()


def test_the_fix_button_is_seen_from_every_line_of_a_long_traceback(actions: CellActions) -> None:
    index = actions.add("raise ValueError('far\\n' * 200)")
    actions.notebook.run(index)
    fix = actions.notebook.cell(index).get_by_role("button", name="Fix with the model")
    for end in ("start", "end"):
        scroll = f"node => node.scrollIntoView({{ block: '{end}' }})"
        actions.notebook.rendered(index).evaluate(scroll)
        expect(fix).to_be_in_viewport(ratio=1)


def test_nothing_is_done_with_a_cell_that_is_kept_from_the_model(actions: CellActions) -> None:
    for tag in ("llm-off", "llm-hide"):
        index = actions.add("kept_back = 1 / 0", tags=[tag])
        actions.notebook.run(index)
        assert "ZeroDivisionError" in actions.notebook.text(index)
        expect(actions.notebook.cell(index).locator(".jllm-fix")).to_have_count(0)
        for action in ("explain", "review", "fix", "edit", "document", "continue", "test"):
            is_there = "name => jupyterapp.commands.isEnabled(`jupyter-llm:${name}`)"
            assert not actions.page.evaluate(is_there, action)


def test_a_cell_is_edited_by_keys_alone(actions: CellActions) -> None:
    index = actions.add("x = 1")
    keyboard = actions.page.keyboard
    keyboard.press("Enter")  # into the editor
    keyboard.press("Control+k")
    keyboard.press("e")
    box = actions.region(index).get_by_role("textbox")
    expect(box).to_be_focused()
    keyboard.type("as a list")
    with actions.asking():
        keyboard.press("Enter")
    expect(actions.notebook.cell(index).locator(".cm-content")).to_be_focused()
    actions.page.wait_for_function("() => notebook.content.mode === 'edit'")
    expect(actions.button(index, "Stop")).to_be_visible()
    actions.reply("propose('x = [1]')")
    expect(actions.added(index)).to_have_text(["x = [1]"])
    keyboard.press("Control+Shift+Enter")
    expect(actions.region(index)).to_be_hidden()
    assert actions.notebook.source(index) == "x = [1]"
    keyboard.press("Control+z")
    assert actions.notebook.source(index) == "x = 1"
    assert actions.kernel("scripted_actions.actions.asked[-1].instruction") == "as a list"


SELECT = """indices => {
    notebook.content.deselectAll();
    for (const index of indices) notebook.content.select(notebook.content.widgets[index]);
}"""


def test_selected_cells_are_edited_alike_and_accepted_and_undone_together(
    actions: CellActions,
) -> None:
    cells = [actions.add(f"{name} = 1") for name in "abc"]
    bar = actions.page.get_by_role("region", name="Proposals in this notebook")
    actions.page.evaluate(SELECT, cells)
    actions.do("edit")
    box = actions.region(cells[2]).get_by_role("textbox", name="the 3 selected cells")
    box.fill("as a list")
    with actions.asking():
        box.press("Enter")
    expect(bar).to_contain_text("3 to come")
    for index in (cells[2], cells[0]):
        with actions.asking():  # one after the other
            actions.reply(f"propose('{'abc'[index - cells[0]]} = [1]')")
    assert actions.kernel(
        "{one.instruction for one in scripted_actions.actions.asked[-3:]} == {'as a list'}"
    )
    expect(bar.get_by_role("status")).to_have_text("2 cells changed, 1 to come")
    actions.reply("propose('b = [1]')")
    actions.propose(AFTER, "assert half(4) == 2", "test", before=None)
    expect(bar.get_by_role("status")).to_have_text("3 cells changed, 1 new")
    assert violations(actions.page, ".jllm-review") == []
    bar.get_by_role("button", name="Next").click()
    expect(actions.button(cells[0], "Accept")).to_be_focused()
    actions.page.keyboard.press("Control+k")
    actions.page.keyboard.press("Shift+Y")
    expect(bar).to_be_hidden()
    changed = ["a = [1]", "b = [1]", "c = [1]", AFTER, "assert half(4) == 2"]
    assert actions.page.evaluate(SOURCES)[1:] == changed
    actions.page.keyboard.press("z")
    assert actions.page.evaluate(SOURCES)[1:] == ["a = 1", "b = 1", "c = 1", AFTER]
    for source in ("d = 1", "e = 1"):
        actions.propose(source, "")
    bar.get_by_role("button", name="Reject all").click()
    expect(actions.page.locator(".jllm-action, .jllm-review:visible")).to_have_count(0)


def test_a_cell_is_split_over_the_cells_below_and_undone_in_one_step(actions: CellActions) -> None:
    source = "import math\n\n\ndef half(x):\n    return x / 2\n\nhalf(math.pi)"
    parts = ["import math", "def half(x):\n    return x / 2", "half(math.pi)"]
    index = actions.propose(source, parts[0], "split", below=parts[1:])
    bar = actions.page.get_by_role("region", name="Proposals in this notebook")
    expect(bar.get_by_role("status")).to_have_text("1 cell changed, 2 new")
    expect(actions.region(index).get_by_role("status").first).to_have_text("Split into 3 cells")
    expect(actions.region(index).locator("pre")).to_have_text(parts[1:])
    for name in ("Again", "Send"):
        expect(actions.button(index, name)).to_have_count(0)
    for way in (bar.get_by_role("button", name="Accept all"), actions.button(index, "Accept")):
        way.click()
        expect(actions.region(index)).to_be_hidden()
        assert actions.page.evaluate(SOURCES)[index:] == parts
        actions.page.keyboard.press("z")
        assert actions.page.evaluate(SOURCES)[index:] == [source]
        with actions.asking():
            actions.do("split")
        actions.reply(f"propose({parts[0]!r}, below={parts[1:]!r})")
        expect(bar).to_be_visible()
    actions.notebook.type(index, "  # mine")
    expect(actions.button(index, "Insert below")).to_have_count(0)


def test_why_a_cell_is_not_split_is_said_and_no_model_is_offered(actions: CellActions) -> None:
    index = actions.start("split", "")
    actions.reply("fail('The cell is empty.')")
    expect(actions.region(index).get_by_role("status").first).to_have_text("The cell is empty.")
    expect(actions.region(index).get_by_role("button")).to_have_text(["Close"])


def test_cells_are_deleted_with_what_changes_and_come_back_with_one_undo(
    actions: CellActions,
) -> None:
    names = "abcd"
    cells = [actions.add(f"{name} = 1\nprint({name})") for name in names]
    bar = actions.page.get_by_role("region", name="Proposals in this notebook")
    actions.page.evaluate(SELECT, cells)
    actions.do("edit")
    box = actions.region(cells[-1]).get_by_role("textbox", name="the 4 selected cells")
    box.fill("delete what only prints")
    with actions.asking():
        box.press("Enter")
    for source in ("", "a = 1", ""):
        with actions.asking():
            actions.reply(f"propose({source!r})")
    actions.reply("propose('c = 1')")
    actions.notebook.save()
    actions.notebook.reload(keeps_workspace=True)
    expect(bar.get_by_role("status")).to_have_text("2 cells changed, 2 deleted")
    expect(actions.removed(cells[1])).to_have_text(["b = 1", "print(b)"])
    expect(actions.added(cells[1])).to_have_count(0)
    expect(actions.region(cells[1]).get_by_role("status").first).to_have_text("Deletes the cell")
    expect(actions.button(cells[1], "Accept and run")).to_have_count(0)
    before = actions.page.evaluate(SOURCES)
    bar.get_by_role("button", name="Accept all").click()
    expect(actions.page.locator(".jllm-action, .jllm-review:visible")).to_have_count(0)
    assert actions.page.evaluate(SOURCES)[1:] == ["a = 1", "c = 1"]
    actions.page.keyboard.press("z")
    assert actions.page.evaluate(SOURCES) == before
    index = actions.propose("e = 1", "")
    actions.button(index, "Accept").click()
    assert actions.page.evaluate(SOURCES) == before
    actions.page.keyboard.press("z")
    assert actions.page.evaluate(SOURCES) == [*before, "e = 1"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_notebook_of_which_all_cells_are_deleted_comes_back_with_one_undo(
    actions: CellActions, count: int
) -> None:
    for number in range(count - 1):
        actions.add(f"x = {number}")
    before = actions.page.evaluate(SOURCES)
    for index in range(count):
        actions.page.evaluate("index => { notebook.content.activeCellIndex = index; }", index)
        with actions.asking():
            actions.do("fix")
        actions.reply("propose('')")
        expect(actions.region(index)).to_contain_text("Deletes the cell")
    actions.do("accept-all" if count > 1 else "accept")
    actions.page.wait_for_function(f"() => String(({SOURCES})()) === ''")
    actions.page.wait_for_function("() => notebook.node.contains(document.activeElement)")
    actions.page.keyboard.press("z")
    assert actions.page.evaluate(SOURCES) == before


def test_a_cell_that_its_user_has_locked_is_not_deleted(actions: CellActions) -> None:
    index = actions.add("x = 1", deletable=False)
    with actions.asking():
        actions.do("fix")
    actions.reply("propose('')")
    expect(actions.region(index)).to_contain_text("The cell is locked, so it is not deleted")
    for name in ("Accept", "Insert below"):
        expect(actions.button(index, name)).to_have_count(0)
    expect(actions.removed(index)).to_have_count(0)
    actions.button(index, "Close").click()
    assert actions.notebook.source(index) == "x = 1"


def test_a_cell_that_was_edited_meanwhile_is_left_as_it_is(actions: CellActions) -> None:
    index = actions.propose(BEFORE, AFTER)
    actions.notebook.type(index, "  # mine")
    expect(actions.region(index)).to_contain_text("edited meanwhile")
    expect(actions.added(index)).to_have_count(0)
    expect(actions.button(index, "Accept")).to_have_count(0)
    actions.do("accept")
    assert actions.notebook.source(index) == BEFORE + "  # mine"
    actions.page.keyboard.press("Control+z")  # as it was: the proposal fits again
    expect(actions.added(index)).to_have_text(["    return x / 2"])
    actions.page.keyboard.type("#")
    expect(actions.added(index)).to_have_count(0)
    actions.page.keyboard.press("Backspace")
    expect(actions.added(index)).to_have_text(["    return x / 2"])
    actions.notebook.type(index, "  # mine")
    actions.button(index, "Insert below").click()
    assert actions.notebook.source(index) == BEFORE + "  # mine"
    assert actions.notebook.source(index + 1) == AFTER
    assert actions.metadata(index + 1)["jupyter_llm"] == {"record": 7}


def test_a_test_becomes_a_cell_below(actions: CellActions) -> None:
    index = actions.propose(AFTER, "assert half(4) == 2", "test", before=None)
    expect(actions.region(index)).to_contain_text("assert half(4) == 2")
    assert len(actions.notebook.save().cells) == index + 1
    actions.do("accept")
    assert actions.notebook.source(index + 1) == "assert half(4) == 2"
    assert actions.notebook.source(index) == AFTER


def test_every_action_has_keys(actions: CellActions) -> None:
    index = actions.add(AFTER)
    num = actions.kernel("len(scripted_actions.actions.asked)")
    keys = {"x": "Explain", "f": "Fix", "d": "Document", "t": "Test", "r": "Review", "s": "Split"}
    for key, title in keys.items() | {("c", "Continue"), ("e", "Edit")}:
        actions.page.keyboard.press("Control+k")
        actions.page.keyboard.press(key)
        expect(actions.region(index)).to_have_attribute("aria-label", f"{title}: Cell {index + 1}")
        actions.page.evaluate("() => notebook.content.activeCell.node.focus()")
        actions.page.keyboard.press("Control+Shift+Backspace")
        expect(actions.region(index)).to_be_hidden()
    assert actions.notebook.source(index) == AFTER
    # These and Continue; Edit waits for an instruction. None comes in the middle of another test.
    actions.wait_for(f"len(scripted_actions.actions.asked) == {num + len(keys) + 1}")


def test_an_answer_is_drawn_as_in_the_panel_and_keeps_what_is_selected(
    actions: CellActions,
) -> None:
    index = actions.start("explain", AFTER)
    region = actions.region(index)
    actions.reply("write('It **halves', 0.5)")
    region.locator("strong").select_text()
    actions.reply("write('** `x`', is_new=False)")
    expect(region.locator("code")).to_have_text("x")
    actions.reply("answer('It **halves** `x`.')")
    expect(region).to_contain_text("It halves x.")
    assert actions.page.evaluate("() => String(getSelection())") == "halves"
    actions.button(index, "Continue in the chat").click()
    side = SideBar(actions.notebook)
    chip = side.node.locator(".jllm-chip", has_text="What was said of the cell")
    expect(side.box).to_be_focused()
    chip.get_by_role("button").first.click()
    text = side.node.get_by_role("group", name="What was said of the cell")
    expect(text).to_have_text(re.compile("explain.*halves", re.DOTALL))
    actions.page.evaluate("() => jupyterapp.shell.collapseRight()")
    actions.button(index, "Close").click()
    expect(region).to_be_hidden()


def test_nothing_hostile_gets_into_a_region(actions: CellActions) -> None:
    index = actions.start("explain", AFTER)
    region = actions.region(index)
    actions.reply("write('**So**')")
    expect(region.locator("strong")).to_have_text("So")
    region.locator(".jllm-model-text").evaluate(
        f"""element => {{ {FIND_FOREIGN}
            window.found = [];
            const look = () => found.push(...foreign(element));
            new MutationObserver(look).observe(element, {{ subtree: true, childList: true }});
        }}"""
    )
    # Half characters cannot be sent.
    sent = [one["text"].encode(errors="ignore").decode() for one in hostile_texts(150)]
    actions.kernel(f"[scripted_actions.actions.write(one) for one in {sent!r}] and None")
    actions.reply("answer('The *end*.')")
    expect(region.locator("em")).to_have_text("end")
    assert actions.page.evaluate("() => found") == []
    actions.button(index, "Close").click()


def test_work_can_be_stopped_and_a_failure_says_why(actions: CellActions) -> None:
    index = actions.start("review", AFTER)
    asked = actions.kernel("scripted_actions.actions.asked[-1].id")
    actions.button(index, "Stop").click()
    expect(actions.region(index)).to_be_hidden()
    actions.wait_for(f"{asked!r} in scripted_actions.actions.cancelled")
    actions.reply("answer('too late')")
    assert actions.region(index).count() == 0
    index = actions.start("document", "x = 1")
    actions.reply("fail('There is nothing to document.')")
    expect(actions.region(index)).to_contain_text("There is nothing to document.")
    actions.button(index, "Close").click()
    expect(actions.region(index)).to_be_hidden()


def test_the_right_cell_is_changed_when_another_notebook_is_in_front(actions: CellActions) -> None:
    index = actions.start("fix", BEFORE)
    actions.page.evaluate(
        """async () => {
            await jupyterapp.commands.execute('notebook:create-new', { kernelName: 'python3' });
        }"""
    )
    expect(actions.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")).to_have_count(1)
    actions.page.wait_for_function("() => !notebook.isVisible")
    actions.reply(f"propose({AFTER!r})")
    other = actions.page.evaluate(
        """async () => {
            const { currentWidget } = jupyterapp.shell;
            await currentWidget.sessionContext.ready;
            window.other_notebook = currentWidget;
            return currentWidget.content.widgets[0].model.sharedModel.getSource();
        }"""
    )
    actions.page.evaluate("() => jupyterapp.shell.activateById(notebook.id)")
    actions.button(index, "Accept").click()
    assert actions.notebook.source(index) == AFTER
    assert other == ""
    actions.page.evaluate(
        """async () => {
            await other_notebook.sessionContext.shutdown();
            other_notebook.model.dirty = false;
            other_notebook.dispose();
        }"""
    )


def test_a_read_only_cell_is_explained_but_not_changed(actions: CellActions) -> None:
    index = actions.add(BEFORE)
    actions.page.evaluate(
        "index => notebook.content.widgets[index].model.sharedModel.setMetadata('editable', false)",
        index,
    )
    enabled = actions.page.evaluate(
        """() => ['explain', 'review', 'fix', 'edit', 'document', 'continue'].filter(
            name => jupyterapp.commands.isEnabled(`jupyter-llm:${name}`))"""
    )
    assert enabled == ["explain", "review"]


def test_the_commands_are_in_the_toolbar_and_the_context_menu(actions: CellActions) -> None:
    index = actions.add(AFTER)
    wanted = ["LLM: Explain Cell", "LLM: Fix Cell", "LLM: Edit Cell with an Instruction…"]
    cell = actions.notebook.cell(index)
    cell.locator(".jllm-cell-button").click()
    menu = actions.page.locator(".lm-Menu")
    for label in wanted:
        expect(menu.get_by_text(label)).to_be_visible()
    actions.page.keyboard.press("Escape")
    cell.locator(".cm-content").click(button="right")
    actions.page.locator(".lm-Menu-itemLabel", has_text="Language Model").hover()
    for label in wanted:
        expect(actions.page.locator(".lm-Menu").get_by_text(label)).to_be_visible()
    actions.page.keyboard.press("Escape")
    actions.page.keyboard.press("Escape")


def is_saved(reply: Response) -> bool:
    """Whether a page has saved settings, and not its layout."""
    return reply.request.method == "PUT" and "/api/settings/" in reply.url


def test_badges_and_buttons_are_switched_off_and_on_again_in_the_settings(
    actions: CellActions,
) -> None:
    index = actions.add("1 / 0", jupyter_llm={"model": "a model"})
    actions.notebook.run(index)
    ours = ".jllm-badge, .jllm-fix, .jllm-cell-button, .jllm-output .jllm-icon-button"
    seen = actions.notebook.cell(index).locator(ours).filter(visible=True)
    expect(seen).to_have_count(4)
    for is_on in (False, True):
        actions.notebook.command("settingeditor:open", query="Language Model")
        for name in ("Badges", "Fix buttons", "Cell button", "Output buttons"):
            with actions.page.expect_response(is_saved):
                actions.page.get_by_role("checkbox", name=name).set_checked(is_on)
        actions.notebook.command("application:close")
        expect(seen).to_have_count(4 if is_on else 0)


def test_everybody_can_use_it(actions: CellActions) -> None:
    actions.propose(THREE, OTHERS)
    failed = actions.propose(BEFORE, AFTER, unknown_names=["foo"], markdown="By **zero**.")
    actions.notebook.run(failed)
    expect(actions.page.locator(".jllm-fix")).to_be_visible()
    actions.propose(AFTER, "assert half(4) == 2", "test", before=None)
    index = actions.start("explain", AFTER)
    actions.reply("answer('It **halves** `x`.\\n\\n```python\\nhalf(2)\\n```')")
    expect(actions.region(index).locator("pre")).to_be_visible()
    actions.add("1 / 0")
    actions.do("edit")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        set_theme(actions.page, theme)
        assert violations(actions.page, ".jllm-action, .jllm-output, .jllm-hunk") == []
    actions.page.emulate_media(forced_colors="active")
    assert violations(actions.page, ".jllm-action, .jllm-output, .jllm-hunk") == []
    words = actions.page.locator(".jllm-added-lines .jllm-changed-words").first
    expect(words).to_have_css("text-decoration-line", "underline")
    actions.page.emulate_media(forced_colors="none")


def test_cells_that_an_agent_proposes_are_accepted_and_rejected_one_by_one(
    actions: CellActions,
) -> None:
    index = actions.add("price = 3")
    gone = actions.add("print(price)")
    ids = "notebook.content.widgets.map(({ model }) => model.id)"
    cell, last = actions.page.evaluate(f"{ids}.slice({index})")
    review = "__import__('jupyter_llm.frontends.mcp.review', fromlist=['review'])"
    task = "__import__('jupyter_llm').llm.task()"
    actions.wait_for(f"{last!r} in str({task}.tries.unrun.visible)")
    changes = [
        {"action": "change", "cell_id": cell, "source": "price = 4"},
        {"action": "delete", "cell_id": last},
        {"action": "new", "cell_id": cell, "source": "double = price * 2"},
        {"action": "new", "cell_id": cell, "source": "print(double)"},
    ]
    actions.kernel(
        f"{review}.propose_cells({task}, [{review}.CellChange(**one) for one in {changes!r}])"
    )
    expect(actions.region(index)).to_contain_text("From an agent")
    before = actions.page.evaluate(SOURCES)
    actions.button(gone, "Reject").click()
    assert actions.page.evaluate(SOURCES) == before
    actions.button(index, "Accept").click()
    actions.button(index, "Insert below").click()
    expect(actions.page.locator(".jllm-action")).to_have_count(0)
    sources = ["price = 4", "double = price * 2", "print(double)", "print(price)"]
    assert actions.page.evaluate(SOURCES)[index:] == sources
    state = actions.kernel(f"{review}.proposal_state({task})")
    assert [line.split()[-1] for line in state.splitlines()] == ["accepted", "rejected", "accepted"]
    assert actions.metadata(index + 1) == actions.metadata(index + 2) == {}


def test_code_that_an_agent_proposes_below_a_text_becomes_a_cell_with_code(
    actions: CellActions,
) -> None:
    index, cell = actions.page.evaluate("""() => {
        const { sharedModel } = notebook.content.model;
        const index = sharedModel.cells.length;
        sharedModel.insertCell(index, { cell_type: 'markdown', source: '# Prices' });
        return [index, notebook.content.widgets[index].model.id];
    }""")
    review = "__import__('jupyter_llm.frontends.mcp.review', fromlist=['review'])"
    task = "__import__('jupyter_llm').llm.task()"
    actions.wait_for(f"{cell!r} in str({task}.tries.unrun.visible)")
    change = {"action": "new", "cell_id": cell, "source": "price = 5"}
    actions.kernel(f"{review}.propose_cells({task}, [{review}.CellChange(**{change!r})])")
    actions.button(index, "Insert below").click()
    made = "index => notebook.content.widgets[index].model.type"
    assert actions.page.evaluate(made, index + 1) == "code"


def test_a_text_that_an_agent_proposes_above_its_code_is_inserted_as_markdown(
    actions: CellActions,
) -> None:
    index = actions.add("price = 3")
    cell = actions.page.evaluate("index => notebook.content.widgets[index].model.id", index)
    review = "__import__('jupyter_llm.frontends.mcp.review', fromlist=['review'])"
    task = "__import__('jupyter_llm').llm.task()"
    actions.wait_for(f"{cell!r} in str({task}.tries.unrun.visible)")
    changes = [
        {"action": "new", "cell_id": cell, "source": "## Twice *as much*", "cell_type": "markdown"},
        {"action": "new", "cell_id": cell, "source": "double = price * 2"},
    ]
    actions.kernel(
        f"{review}.propose_cells({task}, [{review}.CellChange(**one) for one in {changes!r}])"
    )
    # The text can be read as it will be stored.
    expect(actions.region(index)).to_contain_text("## Twice *as much*")
    actions.button(index, "Insert below").click()
    heading = actions.page.get_by_role("heading", name="Twice as much")
    expect(heading).to_be_visible()
    kinds = "index => notebook.content.widgets.slice(index).map(({ model }) => model.type)"
    assert actions.page.evaluate(kinds, index) == ["code", "markdown", "code"]
    assert actions.page.evaluate(SOURCES)[index + 1 :] == [one["source"] for one in changes]
