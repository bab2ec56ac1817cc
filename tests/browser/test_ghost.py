"""Ghost text as a person meets it, in a notebook of 60 cells with the real model."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from browser.accessibility import contrast
from browser.cell_actions import ASK_KERNEL
from browser.conftest import new_page
from browser.ghost_page import GhostPage
from browser.lab import set_theme
from playwright.sync_api import TimeoutError as PageTimeoutError
from playwright.sync_api import expect
from support.waiting import until

from jupyter_llm.records.audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLEEP = "import time\ntime.sleep(600)"
BURN = """import subprocess, sys, os
spin = [sys.executable, '-c', 'while True: pass']
spinners = [subprocess.Popen(spin) for _ in range(os.cpu_count())]
try:
    while True:
        pass
finally:
    for spinner in spinners:
        spinner.kill()"""
# As long as a cell is: 60 of them are more than a small model reads.
CELLS = [f"# step {number}\nvalue_{number} = math.sqrt({number})" for number in range(54)]
SLEEPING, BURNING = 3, 4


@pytest.fixture(scope="module")
def errors_seen() -> list[str]:
    return []


@pytest.fixture(scope="module")
def opened(chromium: Browser, lab: Lab, errors_seen: list[str]) -> Iterator[GhostPage]:
    with new_page(chromium) as page:
        page.on("console", lambda m: errors_seen.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors_seen.append(str(error)))
        opened = GhostPage(page, lab, "sixty.ipynb", SLEEP, BURN, *CELLS)
        yield opened
        opened.shut_down()


@pytest.fixture
def ghost(opened: GhostPage, errors_seen: list[str]) -> Iterator[GhostPage]:
    """The notebook, which the tests of this file share; nothing may go wrong in it."""
    if opened.settings:  # of another test
        opened.set_up()
    opened.tag()
    yield opened
    opened.page.keyboard.press("Escape")
    assert errors_seen == []


def test_tab_accepts_what_is_suggested_and_the_cell_says_who_wrote_it(ghost: GhostPage) -> None:
    ghost.write("y = math.")
    text = ghost.wait_for_ghost()
    assert re.match(r"\w", text)  # an attribute
    ghost.page.keyboard.press("Tab")
    ghost.wait_for_source(f"y = math.{text}")
    badge = ghost.cell(ghost.last).locator(".jllm-badge")
    expect(badge).to_contain_text("smollm2-135m-instruct")
    ghost.settle()
    ghost.save()
    (item,) = audit(ghost.path)
    assert (item.cell, item.kind, item.state) == (ghost.last + 1, "completion", "recorded")
    assert len(json.dumps(ghost.metadata("jupyter_llm_completed"))) < 120
    ghost.page.keyboard.press("Control+z")  # the record is no step of its own
    ghost.wait_for_source("y = math.")
    expect(badge).to_have_count(0)
    ghost.page.keyboard.press("Control+Shift+z")
    expect(badge).to_have_count(1)
    ghost.set_source(ghost.last, "z = 1")
    expect(badge).to_have_count(0)


def test_escape_puts_it_away_and_leaves_the_editor_as_it_does_anyway(ghost: GhostPage) -> None:
    ghost.write("y = math.")
    ghost.wait_for_ghost()
    ghost.page.keyboard.press("Escape")
    expect(ghost.page.locator(".jp-GhostText")).to_have_count(0)
    assert ghost.page.evaluate("() => notebook.content.mode") == "command"


def test_a_key_that_matches_keeps_what_is_suggested_and_asks_for_nothing(ghost: GhostPage) -> None:
    ghost.write("z = math.")
    text = ghost.wait_for_ghost()
    asked = len(ghost.said("complete"))
    ghost.page.keyboard.type(text[:2], delay=300)
    assert ghost.wait_for_ghost() == text[2:]
    assert len(ghost.said("complete")) == asked


def test_a_word_and_a_line_can_be_accepted(ghost: GhostPage) -> None:
    ghost.write("y = math.")
    text = ghost.wait_for_ghost()
    word = re.match(r"\w+", text)
    assert word is not None
    ghost.page.keyboard.press("Control+ArrowRight")
    ghost.wait_for_source("y = math." + word[0])
    if text != word[0]:
        assert ghost.wait_for_ghost() == text[word.end() :]
        ghost.page.keyboard.press("Alt+ArrowRight")
    ghost.wait_for_source("y = math." + text.partition("\n")[0])


@pytest.mark.soak
def test_a_file_beside_the_notebook_and_a_console_of_its_kernel_are_gone_on_with_and_read_aloud(
    ghost: GhostPage, lab: Lab
) -> None:
    # With no example the model begins a fraction now and then that never ends, which is not shown.
    (lab.folder / "areas.py").write_text("import math\nw = math.sqrt(1)\nx = math.sqrt(2)\n")
    page = ghost.page
    kernel = page.evaluate("() => notebook.sessionContext.session.kernel.id")
    beside = "args => jupyterapp.commands.execute('console:create', args)"
    ghost.command("docmanager:open", path="areas.py")
    for editor in (".jp-FileEditor", ".jp-CodeConsole-promptCell"):
        page.locator(f"{editor} .cm-content").click()
        page.keyboard.press("Control+End")
        page.keyboard.type("y = math")
        text = _suggested_behind(ghost, ".")
        assert page.locator(".jllm-announcer").inner_text() != text
        ghost.command("jupyter-llm:read-suggestion")
        expect(page.locator(".jllm-announcer")).to_have_text(text)
        page.keyboard.press("Tab")
        expect(page.locator(f"{editor} .cm-content")).to_contain_text(f"y = math.{text}")
        ghost.settle()  # nobody answers what is asked in what is closed
        if editor == ".jp-FileEditor":
            ghost.command("docmanager:save")
            ghost.command("application:close")
            page.evaluate(beside, {"path": "beside", "kernelPreference": {"id": kernel}})
    page.keyboard.press("Shift+Enter")  # runs what was taken, and there is another prompt
    expect(page.locator(".jp-CodeConsole-content .jp-CodeCell")).to_have_count(1)
    page.keyboard.type("z = math")
    assert _suggested_behind(ghost, ".")
    ghost.settle()
    ghost.command("application:close")


def _suggested_behind(ghost: GhostPage, key: str) -> str:
    """What is suggested behind a key, which is pressed again while JupyterLab is not ready.

    It listens to the keys of an editor from some moment on after that is shown, and says not when.
    """
    for _ in range(12):
        ghost.page.keyboard.type(key)
        with suppress(PageTimeoutError):
            return ghost.wait_for_ghost(timeout=5_000)
        ghost.page.keyboard.press("Backspace")
    said = ghost.page.evaluate("() => window.said.slice(-40).map(one => JSON.stringify(one))")
    raise AssertionError("nothing came; said was:\n" + "\n".join(said))


def test_everybody_can_read_what_is_suggested(ghost: GhostPage) -> None:
    ghost.write("y = math.")
    ghost.wait_for_ghost()
    for theme in ("JupyterLab Dark High Contrast", "JupyterLab Dark", "JupyterLab Light"):
        set_theme(ghost.page, theme)
        assert contrast(ghost.page.locator(".jp-GhostText").first) >= 4.5


def test_what_is_typed_fast_is_what_the_cell_holds(ghost: GhostPage) -> None:
    text = 'words = ["🎉🎉 élan", "naïve 🎉", sum(math.sqrt(x) for x in [1, 2])]'
    ghost.write("")
    ghost.page.keyboard.type(text, delay=1000 / 15)
    assert ghost.written == text
    ghost.settle()
    assert ghost.written == text


@pytest.mark.parametrize("index", [SLEEPING, BURNING], ids=["sleeps", "burns all cores"])
def test_something_is_suggested_while_another_cell_runs(ghost: GhostPage, index: int) -> None:
    ghost.start(index)
    ghost.write("y = math.")
    assert ghost.wait_for_ghost()
    ghost.interrupt()
    ghost.finish()


def test_in_a_cell_that_is_off_nothing_is_suggested_nor_is_it_told(ghost: GhostPage) -> None:
    ghost.settle()
    asked = len(ghost.said("complete"))
    ghost.tag("llm-off")
    ghost.write("private_name = math.")
    ghost.command("inline-completer:invoke")
    ghost.settle()
    assert len(ghost.said("complete")) == asked
    assert "private_name" not in str(ghost.said("cells", "complete"))


def test_after_a_cell_ran_the_next_one_is_suggested_in_the_empty_cell_below_if_that_is_on(
    ghost: GhostPage,
) -> None:
    for is_on in (False, True):
        if is_on:
            ghost.set_up(nextCell=True)
        before = len(ghost.said("complete"))
        ghost.write("value_54 = math.sqrt(54)")
        ghost.page.keyboard.press("Shift+Enter")  # which adds a cell
        ghost.last += 1
        if is_on:
            assert ghost.wait_for_ghost()
        ghost.settle()
        later = ghost.said("complete")[before:]
        assert ("" in [one["arguments"]["place"]["prefix"] for one in later]) == is_on


def test_only_by_hand_several_are_suggested_and_after_another_key_tab_indents(
    ghost: GhostPage,
) -> None:
    ghost.set_up(manualOnly=True)
    ghost.write("def describe(city):\n")  # of which even a small model has several ideas
    ghost.settle()
    assert ghost.said("complete") == []
    before = ghost.written
    ghost.command("inline-completer:invoke")
    texts = [ghost.wait_for_ghost()]
    ghost.settle()
    finals = [one["text"] for one in ghost.said("completion") if one["is_final"] and one["text"]]
    for _ in finals[1:]:
        ghost.command("inline-completer:next")
        texts.append(ghost.wait_for_ghost())
    assert sorted(texts) == sorted(finals)
    assert len(texts) > 1
    ghost.page.keyboard.type("\\")
    ghost.page.keyboard.press("Backspace")
    ghost.page.keyboard.press("Tab")
    assert ghost.written == before + "    "
    ghost.page.evaluate(ASK_KERNEL, "llm.unload()")
    until(lambda: [one["model"] for one in ghost.said("model")][-1:] == [None])
    ghost.command("inline-completer:invoke")
    expect(ghost.page.get_by_text("Ghost text needs a loaded model")).to_be_visible()
