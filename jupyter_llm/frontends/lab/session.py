"""One page that shows a notebook, over one comm, and where that notebook lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyter_llm._version import __version__
from jupyter_llm.api import LLM
from jupyter_llm.common.workers import Chore
from jupyter_llm.frontends.comm.asked_page import AskedPage
from jupyter_llm.frontends.comm.line import Line
from jupyter_llm.frontends.comm.messages import PROTOCOL, ShowFix, Welcome
from jupyter_llm.frontends.lab.proposals import Proposals
from jupyter_llm.notebook.cells.path import NotebookIdentity, notebook_path
from jupyter_llm.notebook.code.landing import Landing, NewCell


class Session(Line):
    """A page with a notebook, or with a console or a file beside one, as the kernel knows it.

    Its parts take all but what is about itself. `on_hello` is called when the page has said who it
    is. `sender` is what it calls itself in all that it sends, cells that it runs too.
    """

    def __init__(
        self,
        llm: LLM,
        send: Callable[[Any], None],
        on_hello: Callable[[Session], None],
        proposals: Proposals,
        sender: str | None = None,
    ) -> None:
        super().__init__(llm, send)
        self.sender = sender
        self.proposals = proposals
        self._asked = AskedPage(self)
        self.client = self.path = ""
        self.num_heard = 0  # messages
        self.on_silence: Callable[[], None] = lambda: None  # called when it is given up
        self.take_for_panel: Callable[[str, object], None] = lambda _panel, _content: None
        self._place = NotebookPlace(llm.notebook)
        self._on_hello = on_hello

    @property
    def can_land(self) -> bool:
        """Whether it has a notebook, and is heard while a cell waits for what it answers."""
        return bool(self.path) and self._asked.is_there

    def land(
        self, cell_id: str, cells: Sequence[NewCell], before: str | None = None
    ) -> Landing | None:
        """Have the page put code below a cell, or in its place; see `landing.Page`."""
        return self._asked.land(self.client, cell_id, cells, before)

    def show_fix(self, cell_id: str) -> None:
        """Have the page offer what its button at a cell offers; see `landing.Page`."""
        self.put(ShowFix(cell_id))

    def _take(self, content: object) -> None:
        self.num_heard += 1
        match content:
            case {"type": "hello", "id": str(asked), "protocol": int(other)} if other != PROTOCOL:
                self._welcome(asked)  # what else it says may mean something else
            case {"panel": str(panel), "message": message}:
                self.take_for_panel(panel, message)
            case _:
                super()._take(content)

    def greet(self, request: str, client: str, path: str) -> None:
        """Take in a page that says hello, and welcome the page."""
        self.client, self.path = client, path
        self._place.take(path)
        self._on_hello(self)
        self._welcome(request)

    def _welcome(self, request_id: str) -> None:
        model = self.llm.current.name_for("complete")
        self.put(Welcome(id=request_id, protocol=PROTOCOL, version=__version__, model=model))


class NotebookPlace:
    """Keeps the kernel's one notebook true to what a page says of its path."""

    def __init__(self, identity: NotebookIdentity) -> None:
        self._identity = identity
        self._path = ""
        self._file: Path | None = None
        # Beside the comm: a disk may be slow, and chats move along with their notebook.
        self._chore = Chore(self._report, "jupyter-llm-lab-place")

    def take(self, path: str) -> None:
        """Take in where the notebook is now. Returns at once."""
        self._path = path
        self._chore.ask()

    def _report(self) -> tuple[float, bool]:
        started_for = notebook_path()
        file = find_notebook(self._path, started_for)
        if started_for is not None and file is not None:
            if self._identity.path is None:
                self._identity.report(started_for)  # so that a rename since is seen to be one
            if self._file is not None:
                self._identity.moved(self._file, file)
            elif not (self._identity.path or started_for).exists():
                self._identity.report(file)
            self._file = file
        return 0, False


def find_notebook(path: str, started_for: Path | None) -> Path | None:
    """The file that the server calls `path`; None where that is not sure.

    The server's root lies somewhere above the notebook that the kernel was started for.
    """
    if started_for is None or not path.endswith(started_for.suffix):
        return None
    files = [file for root in started_for.parents if (file := root / path).is_file()]
    if started_for in files:
        return started_for
    return files[0] if len(files) == 1 else None
