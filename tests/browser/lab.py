"""JupyterLab or Notebook as a person meets it: a real server, Debian's Chromium, one open notebook.

The server keeps every file of its own in a folder that it is given and listens on loopback. The
page is driven through JupyterLab's command registry (`--expose-app-in-browser`): key strokes sent
right after loading may come before the shortcuts are registered, commands cannot.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from urllib.parse import urljoin, urlsplit

import nbformat
from playwright.sync_api import sync_playwright
from support.paths import LAB_EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

App: TypeAlias = Literal["jupyterlab", "notebook"]
APPS: tuple[App, ...] = get_args(App)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_HINT = "No Chromium found. On Debian: apt install chromium"
CHROMIUM_OPTIONS = [
    "--no-sandbox",  # Chromium's sandbox refuses root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Chromium's own errands, which would show up beside the page's requests.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})

# Folders beside the notebooks in which kernels and pages write.
WRITTEN = ("home", "ipython", "settings", "workspaces", "data/kernels")

# Closes all notebooks and opens another.
REPLACE_NOTEBOOKS = """async path => {
    await jupyterapp.restored;
    for (const widget of Array.from(jupyterapp.shell.widgets('main'))) {
        if (widget.context) widget.context.model.dirty = false;
        widget.close();
    }
    await jupyterapp.commands.execute('docmanager:open', { path });
}"""

# After a reload, the page opens the notebook of its URL late, even after another was opened.
WAS_RELOADED = "() => performance.getEntriesByType('navigation')[0].type === 'reload'"

# Waits until the page's notebook can run a cell, and names it `notebook`.
FIND_NOTEBOOK = """async () => {
    const until = async (find) => {
        let found;
        while (!(found = find())) await new Promise(requestAnimationFrame);
        return found;
    };
    const app = await until(() => window.jupyterapp);
    await app.restored;
    const panel = await until(() => Array.from(app.shell.widgets('main')).find(
        widget => widget.sessionContext && widget.content && widget.content.widgets));
    await panel.revealed;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    window.notebook = panel;
}"""

SET_THEME = """async theme => {
    await jupyterapp.commands.execute('apputils:change-theme', { theme });
    const isDone = () => document.body.dataset.jpThemeName === theme
        && !document.querySelector('#jupyterlab-splash');
    while (!isDone()) await new Promise(requestAnimationFrame);
}"""

# Notes how the output of a cell looks each time it changes, and whether the cell ran by then.
WATCH_OUTPUT = """(node) => {
    const frames = window.frames_seen = [];
    const look = () => frames.push({
        text: Array.from(node.querySelectorAll('.jp-OutputArea-output'), e => e.innerText).join(''),
        is_running: node.querySelector('.jp-InputPrompt').innerText.includes('*'),
    });
    new MutationObserver(look).observe(
        node, { subtree: true, childList: true, characterData: true });
}"""


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@dataclass(frozen=True, slots=True)
class Lab:
    """A running server of JupyterLab, or of Notebook 7."""

    url: str
    token: str
    folder: Path  # its root: where notebooks lie
    app: App = "jupyterlab"

    def write(self, name: str, *sources: str, kernel: str = "python3") -> Path:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        path = self.folder / name
        nbformat.write(notebook, path)
        return path

    @property
    def home(self) -> Path:
        """The home of its kernels."""
        return self.folder.parent / "home"

    @property
    def workspaces(self) -> Iterator[Path]:
        """What the server keeps of pages."""
        return (self.folder.parent / "workspaces").iterdir()

    def page_url(self, name: str) -> str:
        """Return the address of a notebook in a fresh workspace."""
        place = "lab/tree" if self.app == "jupyterlab" else "notebooks"
        return f"{self.url}/{place}/{name}?token={self.token}&reset"

    def open(self, page: Page, path: Path) -> Notebook:
        """Open a notebook in a page, in the place of those that are open there."""
        is_open = self.app == "jupyterlab" and page.url.startswith(self.url)
        if is_open and not page.evaluate(WAS_RELOADED):
            page.evaluate(REPLACE_NOTEBOOKS, path.name)
        else:
            page.goto(self.page_url(path.name))
        return Notebook.found_in(page, path)

    def clear(self) -> None:
        """End all kernels, and remove what they and pages have written, settings too."""
        for kernel in self._ask("kernels"):
            self._ask(f"kernels/{kernel['id']}", "DELETE")
        for name in (*WRITTEN, self.folder.name):
            for path in (self.folder.parent / name).glob("*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_settings(self.folder.parent / "settings")

    def _ask(self, what: str, method: str = "GET") -> Any:
        """Ask the server over its REST API."""
        request = urllib.request.Request(  # noqa: S310 - http://127.0.0.1
            f"{self.url}/api/{what}?token={self.token}", method=method
        )
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - as above
            return json.loads(reply.read() or "null")


@contextmanager
def running_lab(
    folder: Path, app: App = "jupyterlab", python: str = sys.executable, **environment: str
) -> Iterator[Lab]:
    """Start a server on a free loopback port, and stop it and its kernels at the end."""
    url = f"http://127.0.0.1:{free_port()}"
    lab = Lab(url, secrets.token_hex(16), folder / "notebooks", app)
    lab.folder.mkdir(parents=True)
    write_settings(folder / "settings")
    add_extension(folder / "data")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            server_command(lab, python),
            cwd=lab.folder,
            env={**isolated_environment(folder), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_up(lab, server, folder / "server.log")
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(timeout=5)  # some end their extensions and then wait for nothing
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def isolated_environment(folder: Path) -> dict[str, str]:
    """Return variables that keep Jupyter, IPython and the package away from the user's files."""
    from_the_user = ("JUPYTER", "HF_", "XDG_")
    return {name: v for name, v in os.environ.items() if not name.startswith(from_the_user)} | {
        "HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_PREFER_ENV_PATH": "0",  # what is installed comes after what is here
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }


def write_settings(folder: Path) -> None:
    """Turn off the question about fetching news and our own hint, which would lie over the page."""
    for name, settings in (
        ("@jupyterlab/apputils-extension/notification", {"fetchNews": "false"}),
        ("jupyter-llm/status-bar", {"hint": False}),
    ):
        path = folder / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings), "utf-8")


def add_extension(data: Path) -> None:
    """Let the server find the extension as these sources make it, whatever is installed."""
    path = data / "labextensions" / "jupyter-llm"
    path.parent.mkdir(parents=True)
    path.symlink_to(LAB_EXTENSION)


def server_command(lab: Lab, python: str) -> list[str]:
    """Return the command line of a server that nobody but the token's holder can use."""
    return [
        *(python, "-m", lab.app),
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={urlsplit(lab.url).port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={lab.folder}",
        f"--IdentityProvider.token={lab.token}",
        "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]


def wait_until_up(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers; fail with its log when it ends before."""
    while True:
        try:
            status = server.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            try:
                with urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=5):  # noqa: S310 - http://127.0.0.1
                    return
            except OSError:
                continue
        raise AssertionError(f"The server ended with {status}:\n{log.read_text('utf-8')}")


def set_theme(page: Page, theme: str) -> None:
    """Give the application a theme, and wait until it is there."""
    page.evaluate(SET_THEME, theme)


@contextmanager
def running_chromium(executable: str) -> Iterator[Browser]:
    """Start a Chromium without a window, driven by Playwright.

    While it runs, Playwright's event loop counts as running in this thread, so nothing else that
    wants a loop of its own may run beside it.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


class Traffic:
    """Every address that a page asked for, from the moment this is made."""

    def __init__(self, page: Page) -> None:
        self.urls: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("websocket", lambda websocket: self.urls.append(websocket.url))

    @property
    def beyond_loopback(self) -> list[str]:
        """The addresses that lead to another machine, whether or not anybody answered."""
        network = ("http", "https", "ws", "wss", "ftp")
        parts = ((url, urlsplit(url)) for url in self.urls)
        return [
            url for url, part in parts if part.scheme in network and part.hostname not in LOOPBACK
        ]


class Notebook:
    """The notebook in a page: what a person does with it, and what they see."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    @classmethod
    def found_in(cls, page: Page, path: Path) -> Notebook:
        """Wait until the page's notebook can run a cell."""
        page.evaluate(FIND_NOTEBOOK)
        return cls(page, path)

    def cell(self, index: int) -> Locator:
        """Return a cell of the notebook in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").nth(index)

    def rendered(self, index: int) -> Locator:
        """Return the outputs of a cell as they are drawn."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def text(self, index: int) -> str:
        """Return what can be read below a cell."""
        return "\n".join(self.rendered(index).all_inner_texts()).strip()

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return the outputs of a cell as the notebook's model has them."""
        outputs: list[dict[str, Any]] = self._in_cell(index, "outputs.toJSON()")
        return outputs

    def source(self, index: int) -> str:
        return str(self._in_cell(index, "sharedModel.getSource()"))

    def _in_cell(self, index: int, what: str) -> Any:
        return self.page.evaluate(f"notebook.content.widgets[{index}].model.{what}")

    def set_source(self, index: int, source: str) -> None:
        """Replace the text in a cell's editor; it stays the same cell."""
        self._in_cell(index, f"sharedModel.setSource({json.dumps(source)})")

    def append(self, *sources: str) -> None:
        """Add code cells at the end."""
        self.page.evaluate(
            """sources => {
                const { sharedModel } = notebook.content.model;
                const cells = sources.map(source => ({ cell_type: 'code', source }));
                sharedModel.insertCells(sharedModel.cells.length, cells);
            }""",
            list(sources),
        )

    def start(self, index: int) -> None:
        """Run a cell without waiting for its end."""
        self.page.evaluate(
            """index => {
                notebook.content.deselectAll();
                notebook.content.activeCellIndex = index;
                window.cell_run = jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )

    def finish(self) -> None:
        """Wait until the cell that was started last is done."""
        self.page.evaluate("() => window.cell_run")

    def run(self, index: int) -> None:
        self.start(index)
        self.finish()

    def command(self, command: str, **args: str) -> None:
        """Do what a menu entry or button does, and wait until it is done."""
        self.page.evaluate(
            "([command, args]) => jupyterapp.commands.execute(command, args)", [command, args]
        )

    def interrupt(self) -> None:
        self.command("kernelmenu:interrupt")

    def save(self) -> nbformat.NotebookNode:
        self.command("docmanager:save")
        saved: nbformat.NotebookNode = nbformat.read(self.path, as_version=4)
        return saved

    def reload(self, *, keeps_workspace: bool = False) -> None:
        """Load the page again, in a fresh workspace if it is not kept; the kernel goes on."""
        if keeps_workspace:
            self.page.reload()
        else:
            self.page.goto(urljoin(self.page.url, "?reset"))
        self.page.evaluate(FIND_NOTEBOOK)

    def type(self, index: int, text: str) -> None:
        """Click into a cell and type at its end."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)

    def watch(self, index: int) -> None:
        """Note from now on how a cell's output looks whenever it changes."""
        self.cell(index).evaluate(WATCH_OUTPUT)

    def frames(self) -> list[dict[str, Any]]:
        """Return what `watch` noted: `text` and `is_running` for each change."""
        frames: list[dict[str, Any]] = self.page.evaluate("() => window.frames_seen")
        return frames

    def activate(self, index: int) -> None:
        self.page.evaluate("index => { notebook.content.activeCellIndex = index; }", index)

    def restart(self) -> None:
        self.page.evaluate(
            """async () => {
                await notebook.sessionContext.session.kernel.restart();
                await notebook.sessionContext.session.kernel.info;
            }"""
        )

    def shut_down(self) -> None:
        self.page.evaluate("() => notebook.sessionContext.shutdown()")
