"""The chat panel, a widget: takes messages of its front end and lets others do what they ask."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anywidget import AnyWidget
from traitlets import Unicode

from jupyter_llm.api import llm
from jupyter_llm.chat.budget import ContextMode, check_mode
from jupyter_llm.common.workers import Chore, start_worker
from jupyter_llm.errors import JupyterLLMError, PanelFilesError
from jupyter_llm.frontends.comm.asker import Asker
from jupyter_llm.frontends.comm.messages import read_message
from jupyter_llm.frontends.comm.questions import Questions
from jupyter_llm.frontends.comm.requests import Request
from jupyter_llm.frontends.comm.sync import KernelSide
from jupyter_llm.frontends.panel.subshell import keep_subshell
from jupyter_llm.frontends.panel.transcript_output import TranscriptOutput
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.cells.shell import current_shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from jupyter_llm.api import SamplingOptions
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.frontends.comm.messages import Bye, Hello, Regenerate, Send, ToFrontEnd

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
_TRANSCRIPT_S = 2.0  # between two states of the transcript, at the least


class ChatPanel(AnyWidget):
    """A chat in the notebook, which answers also while a cell runs.

    It shows a conversation by its name, or one of `llm.chat()`: the same turns as `%%llm --chat
    NAME` and `llm.chat("NAME")`, live, in any number of panels and views. `model`, `context` and
    the sampling options are for the prompts that are typed in it.

    The panel's messages are handled on whatever thread they come. What may take its time runs on
    workers; nothing here waits for anything.
    """

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)
    panel_id = Unicode().tag(sync=True)

    def __init__(
        self,
        chat: Chat | str = "default",
        *,
        model: str | None = None,
        context: ContextMode = "auto",
        **sampling: Unpack[SamplingOptions],
    ) -> None:
        script, style = panel_files(STATIC)
        check_mode(context)
        llm.sampling_params(sampling)  # refuses what is none
        self.chat = _named_chat(chat) if isinstance(chat, str) else chat
        super().__init__(_esm=script, _css=style, panel_id=os.urandom(8).hex())
        keep_subshell(self.comm)
        self._own_layout = self.layout  # a widget as well, which nobody else closes
        self._transcript = TranscriptOutput(self.panel_id, self.chat)
        self._transcribing = Chore(self._transcribe, "jupyter-llm-transcript")
        self._side = KernelSide(self.chat, context, self.send, self._transcribing.ask)
        self._asker = Asker(self._side, model, sampling)
        self._questions = Questions(self._side)
        self._handlers = self._handlers_by_type()
        self.on_msg(self._take)
        self._unfollow_cells = _after_each_cell(self._transcript.catch_up)

    def __repr__(self) -> str:
        return f"ChatPanel({self.chat.name!r})" if self.chat.name else "ChatPanel(llm.chat())"

    def close(self) -> None:
        """Take the panel out of all front ends; the chat stays, and what it writes goes on."""
        if hasattr(self, "_side"):
            self._side.close()
            self._transcribing.close()
            self._questions.close()
            self._unfollow_cells()
            self._own_layout.close()
        super().close()

    def _ipython_display_(self) -> None:
        """Show the panel, and below it the conversation for those who have no panel."""
        from IPython.display import display

        bundle = self._repr_mimebundle_() if self.comm is not None else None
        if bundle is not None:  # not closed
            data, metadata = bundle
            display({**data, "text/plain": repr(self)}, raw=True, metadata=metadata)
        self._transcript.show()

    # What comes from the front end

    def _take(self, _widget: object, content: object, _buffers: object) -> None:
        """Do what a message asks. Returns at once, whatever it is."""
        self._side.outbox.listen()
        request_id = content.get("id") if isinstance(content, dict) else None
        try:
            message = read_message(content)
            self._side.outbox.put({"type": "ack", "id": message["id"]})
            self._handlers[message["type"]](message)
        except Exception as error:  # noqa: BLE001  whatever it is, the front end must hear of it
            self._refuse(request_id if isinstance(request_id, str) else None, error)

    def _handlers_by_type(self) -> dict[str, Callable[[Any], None]]:
        """Return what handles each message, without waiting for anything."""
        return {
            "hello": self._on_hello,
            "bye": self._on_bye,
            "send": self._on_send,
            "regenerate": self._on_regenerate,
            "stop": lambda message: self._side.stop(message["target"]),
            "choose": lambda message: self.chat.choose(message["number"]),
            "remove": lambda message: self.chat.remove(message["number"]),
            "dismiss": lambda message: self._side.dismiss(message["notice"]),
            **{
                name: partial(self._ask, question)
                for name, question in self._questions.by_type().items()
            },
        }

    def _on_hello(self, message: Hello) -> None:
        self._transcript.is_written_by_view |= message["can_write_cells"]
        self._side.welcome(message)
        self._transcribing.ask()

    def _on_bye(self, _message: Bye) -> None:
        self._transcript.is_written_by_view = False
        self._side.farewell()

    def _on_send(self, message: Send) -> None:
        self._begin(message["id"], message["text"], partial(self._asker.send, message))

    def _on_regenerate(self, message: Regenerate) -> None:
        turn = self.chat.turn(message["number"])
        self._begin(message["id"], turn.prompt, partial(self._asker.regenerate, message, turn))

    def _begin(self, request_id: str, text: str, work: Callable[[Request], None]) -> None:
        self._side.begin(Request(request_id, text, work, self._side))

    def _ask(self, reply: Callable[[Any], ToFrontEnd], message: Any) -> None:
        """Answer a question on a thread of its own: it may take a while to know."""

        def work() -> None:
            try:
                self._side.outbox.put(reply(message))
            except Exception as error:  # noqa: BLE001  as below
                self._refuse(message["id"], error)

        start_worker(work, f"jupyter-llm-reply-{message['id']}")

    def _refuse(self, request_id: str | None, error: Exception) -> None:
        if not isinstance(error, JupyterLLMError | ValueError):
            logger.error("A message of the panel failed", exc_info=error)
        self._side.outbox.put({"type": "error", "id": request_id, "text": str(error)})

    # The transcript

    def _transcribe(self) -> tuple[float, bool]:
        """Bring the transcript up to date: the output, or the view that writes it by itself.

        A front end that loads the page again knows nothing of updates of its outputs, so one that
        can write the notebook does that.
        """
        if self._transcript.is_written_by_view:
            data, metadata = self._transcript.bundle
            self._side.outbox.put({"type": "transcript", "data": data, "metadata": metadata})
        else:
            self._transcript.update()
        return _TRANSCRIPT_S, False


def _after_each_cell(callback: Callable[[], None]) -> Callable[[], None]:
    """Call back whenever a cell has ended; what is returned ends that."""
    shell = current_shell()
    if shell is None:
        return lambda: None

    def ended(_result: object) -> None:
        callback()

    def end() -> None:
        with suppress(ValueError):  # it was ended before
            shell.events.unregister("post_run_cell", ended)

    shell.events.register("post_run_cell", ended)

    return end


def _named_chat(name: str) -> Chat:
    """Return a chat by its name, as it was kept of an earlier kernel if it was."""
    shell = current_shell()
    if llm.archive.path is None and shell is not None:  # without %load_ext nobody has opened it
        llm.archive.open(llm.notebook.path or notebook_path(shell.user_ns))
    return llm.chat(name)


@cache
def panel_files(folder: Path) -> tuple[str, str]:
    """Return the panel's script and style.

    Raises
    ------
    PanelFilesError
        They were not built.
    """
    try:
        script, style = (folder / f"chat_panel.{kind}" for kind in ("js", "css"))
        return script.read_text("utf-8"), style.read_text("utf-8")
    except OSError:
        raise PanelFilesError(folder) from None
