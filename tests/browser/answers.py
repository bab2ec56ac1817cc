"""Answers on a page without Jupyter: draw them, let them grow, find what should not be there."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import ConsoleMessage, Dialog, Error, Page

# A view on the page; what it said of its code blocks is in `code_blocks`.
MAKE_VIEW = """() => {
    window.code_blocks = [];
    window.view = createMarkdownView(({ toolbar, source, language }) => {
        const button = document.createElement('button');
        button.textContent = 'Copy';
        toolbar.append(button);
        code_blocks.push({ source, language });
    });
    document.querySelector('main').replaceChildren(view.element);
}"""

# Says what on the page is not one of the things that an answer may become.
FIND_FOREIGN = """
const HTML = new Set(('div p br hr h1 h2 h3 h4 h5 h6 blockquote ul ol li em strong s code pre a ' +
    'span table thead tbody tr th td button').split(' '));
const ATTRIBUTES = new Set(
    'class dir href target rel tabindex role aria-label start align'.split(' '));
const MATHML = 'http://www.w3.org/1998/Math/MathML';
const MATH_ATTRIBUTE = /^(?!on|href|src|style|id$|name$|class$|xlink|action)[a-z]+$/;
function foreign(root) {
    const found = [];
    for (const node of root.querySelectorAll('*')) {
        const isMath = node.namespaceURI === MATHML;
        let isFine = isMath || HTML.has(node.localName);
        for (const { name, value } of node.attributes) {
            isFine &&= isMath ? MATH_ATTRIBUTE.test(name) : ATTRIBUTES.has(name);
            if (name === 'class')
                isFine &&= value.split(' ').every(part => /^(jllm|hljs)-|^\\w+_$/.test(part));
            if (name === 'href') isFine &&= /^(https?:\\/\\/|mailto:)/i.test(value);
        }
        if (!isFine) found.push(node.outerHTML.slice(0, 200));
    }
    return found;
}
"""

# Draws texts, each once in pieces and once as a whole; returns what was wrong with which.
DRAW = f"""(texts) => {{
    {FIND_FOREIGN}
    const main = document.querySelector('main');
    const problems = [];
    for (const {{ text, cuts }} of texts) {{
        const grown = createMarkdownView(() => {{}});
        const whole = createMarkdownView(() => {{}});
        main.replaceChildren(grown.element, whole.element);
        for (const cut of cuts) {{
            grown.update(text.slice(0, cut), false);
            problems.push(...foreign(main).map(html => [text.slice(0, cut), html]));
        }}
        grown.update(text, true);
        whole.update(text, true);
        problems.push(...foreign(main).map(html => [text, html]));
        if (!grown.element.isEqualNode(whole.element))
            problems.push([text, grown.element.innerHTML, whole.element.innerHTML]);
    }}
    return problems;
}}"""

# Lets a text grow as a model writes it and returns how many changes of the page each update made.
GROW = """([text, step]) => {
    const changes = [];
    const seen = new MutationObserver(() => {});
    const kinds = { childList: true, characterData: true, attributes: true };
    seen.observe(view.element, { subtree: true, ...kinds });
    for (let length = step; length < text.length + step; length += step) {
        view.update(text.slice(0, length), length >= text.length);
        changes.push(seen.takeRecords().length);
    }
    return changes;
}"""

# Notebook 7.6 says so once while it loads, with no extension at all.
NOTEBOOKS_OWN = "Cannot read properties of undefined (reading 'schema')"

# JupyterLab's own: what it has asked a kernel that a test has ended, widgets that are saved without
# their kernel, and what a closed notebook still had to draw or to do.
JUPYTERS_OWN = re.compile(
    r"(Error: |Could not restore the debugger state: )?"
    r"Canceled future for (comm_info|create_subshell|debug)_request message before replies"
    r"|Error: widget model not found"
    r"|Cannot read properties of null \(reading '(promise|id)'\)"
)
OUR_SCRIPTS = "/jupyter-llm/"


@contextmanager
def noting_complaints(page: Page, *kinds: str) -> Iterator[list[str]]:
    """List what goes wrong on a page: what it logs, of these kinds if any, and scripts."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        is_ours = OUR_SCRIPTS in message.location["url"] or not JUPYTERS_OWN.match(message.text)
        if is_ours and (not kinds or message.type in kinds):
            complaints.append(f"{message.text} {message.location['url']}")

    def dismiss(dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # JupyterLab asks whether to leave what is not saved
            dialog.accept()
            return
        complaints.append("a script ran")
        dialog.dismiss()

    def note_error(error: Error) -> None:
        stack = error.stack or ""
        is_notebooks = NOTEBOOKS_OWN in str(error) and "/notebook_core" in stack
        is_labs = JUPYTERS_OWN.match(str(error)) and OUR_SCRIPTS not in stack
        if not (is_notebooks or is_labs):
            complaints.append(stack or str(error))

    listeners = {"console": note, "pageerror": note_error, "dialog": dismiss}
    for event, listener in listeners.items():
        page.on(event, listener)  # type: ignore[call-overload]
    try:
        yield complaints
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)


def show(panel: Page, text: str, *, is_final: bool = True) -> None:
    """Show a text, as one that is still written or as a whole one."""
    panel.evaluate("([text, isFinal]) => view.update(text, isFinal)", [text, is_final])


def html(panel: Page) -> str:
    """Return what is drawn, without what every block has around it."""
    drawn: str = panel.evaluate(
        "() => Array.from(view.element.children, block => block.innerHTML.trim()).join('\\n')"
    )
    return drawn


def seen(panel: Page) -> str:
    return panel.locator(".jllm-markdown").inner_text()
