"""`%%llm` cells in JupyterLab, and the badges of what a model wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from browser.accessibility import is_in_sight, violations
from browser.lab import set_theme
from browser.prompt_cells import ASK, MARKDOWN, Prompts
from browser.shared_notebook import beside, one_test, shared_notebook
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.lab import Lab
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_llm"
RECORD: dict[str, Any] = {
    "model": {"name": "SmolLM2-135M-Instruct", "quantization": "Q8_0", "license": "apache-2.0"},
    "time": "2026-11-26T12:00:00Z",
}


@pytest.fixture(scope="module")
def shared(chromium: Browser, lab: Lab) -> Iterator[Prompts]:
    """One notebook with its kernel for all tests here."""
    with shared_notebook(chromium, lab, "prompt-cells", LOAD) as notebook:
        yield Prompts(notebook).connect()


@pytest.fixture
def prompts(shared: Prompts, request: pytest.FixtureRequest) -> Iterator[Prompts]:
    """The notebook without the cells of the test before; nothing goes wrong in the page."""
    with one_test(shared.notebook, request):
        yield shared


def test_a_prompt_is_coloured_as_markdown_with_the_code_in_it(prompts: Prompts) -> None:
    index = prompts.add()
    prompts.page.keyboard.type("%%llm -t 0")
    assert prompts.mime(index) == MARKDOWN
    prompts.page.keyboard.type("\n# Please\n\n```python\ndef half(x): pass\n```\n")
    editor = prompts.notebook.cell(index).locator(".cm-content")
    # What has a colour of its own stands in an element of its own.
    expect(editor.locator("span").get_by_text("def", exact=True)).to_be_visible()
    expect(editor.locator(".jllm-magic-line")).to_have_text("%%llm -t 0")
    saved = prompts.notebook.save()
    assert saved.cells[index].cell_type == "code"
    assert MARKDOWN not in json.dumps(saved)


def test_tab_completes_the_options_of_a_prompt(prompts: Prompts) -> None:
    for typed, wanted in (("--ch", "--chat"), ("-f co", "code"), ("/expl", "/explain")):
        index = prompts.add()
        prompts.page.keyboard.type(f"%%llm {typed}")
        prompts.complete(wanted)
        assert prompts.notebook.source(index).endswith(f" {wanted}")


def test_an_answer_says_who_wrote_it_and_shows_its_record_to_everybody(prompts: Prompts) -> None:
    prompts.add("x = 1", jupyter_llm=RECORD)
    prompts.add("%%llm -f code\n## Please\n\nA *function*:\n\n```python\ndef half(x): pass\n```")
    index = prompts.add(ASK.format("badge"))
    prompts.notebook.run(index)
    badge = prompts.badges(index, "Answer")
    expect(badge).to_contain_text("smollm2-135m-instruct")
    assert is_in_sight(badge)
    badge.click()
    expect(prompts.dialog).to_contain_text("unchanged")
    expect(prompts.dialog).to_contain_text("likeliest tokens")
    prompts.page.keyboard.press("Escape")
    expect(badge).to_be_focused()
    prompts.page.keyboard.press("Enter")
    expect(prompts.dialog).to_contain_text("unchanged")
    prompts.page.keyboard.press("Enter")
    expect(prompts.dialog).to_have_count(0)
    assert prompts.notebook.source(index) == ASK.format("badge")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        set_theme(prompts.page, theme)
        assert violations(prompts.page, ".jllm-badges, .jllm-magic-line") == []
        badge.click()
        expect(prompts.dialog).to_contain_text("unchanged")
        assert violations(prompts.page, ".jllm-record") == []
        prompts.page.keyboard.press("Escape")
        expect(prompts.dialog).to_have_count(0)


def test_generated_code_says_so_and_that_it_was_edited(prompts: Prompts) -> None:
    prompts.notebook.run(prompts.add(ASK.format("code")))
    index = prompts.add()
    expect(prompts.badges(index)).to_have_count(0)
    prompts.label(index)
    prompts.badges(index, "Code").click()
    expect(prompts.dialog).to_contain_text("unchanged")
    prompts.page.keyboard.press("Escape")
    prompts.notebook.type(index, "0")
    prompts.badges(index, "Code").click()
    expect(prompts.dialog).to_contain_text("edited later")
    prompts.page.keyboard.press("Escape")


# The setting with which cells have no part in the page while they are out of sight. Those that it
# comes too late for are taken out of the page when somebody scrolls.
ONLY_IN_SIGHT = """async () => {
    const { content } = notebook;
    content.notebookConfig = { ...content.notebookConfig, windowingMode: 'full' };
    await content.scrollToItem(50);
    await content.scrollToItem(0);
}"""


def test_badges_need_no_kernel_and_no_cell_that_is_out_of_sight(lab: Lab, prompts: Prompts) -> None:
    path = lab.write("long.ipynb", *["x = 1\n" * 9] * 120)
    document = nbformat.read(path, as_version=4)
    for cell in (document.cells[0], document.cells[100]):
        cell.metadata["jupyter_llm"] = RECORD
    nbformat.write(document, path)
    with beside(prompts.notebook, path) as notebook:
        page = notebook.page
        page.evaluate(ONLY_IN_SIGHT)
        badge = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jllm-badge")
        expect(badge).to_have_count(1)
        badge.click()
        expect(prompts.dialog).to_contain_text("SmolLM2-135M-Instruct (Q8_0)")
        expect(prompts.dialog).to_contain_text("A kernel with jupyter_llm tells more")
        page.keyboard.press("Escape")
        expect(badge).to_be_focused()  # which makes its cell the active one
        notebook.activate(100)
        page.evaluate("() => notebook.content.scrollToItem(100)")
        expect(page.locator(".jp-mod-active .jllm-badge")).to_be_visible()
