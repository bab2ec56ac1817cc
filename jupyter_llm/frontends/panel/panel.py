"""The chat panel: an anywidget that hosts a chat over its comm, and the output below it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Unpack

from anywidget import AnyWidget
from traitlets import Unicode

from jupyter_llm.api import llm
from jupyter_llm.chat.budget import ContextMode, check_mode
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.options import SamplingOptions, sampling_params
from jupyter_llm.errors import PanelFilesError
from jupyter_llm.frontends.comm.chat_line import ChatLine
from jupyter_llm.frontends.comm.line import hear_beside_cells
from jupyter_llm.frontends.comm.messages import Transcript
from jupyter_llm.frontends.panel.transcript_output import TranscriptOutput
from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.cells.shell import current_shell

STATIC = Path(__file__).parent / "static"
TRANSCRIPT_S = 2.0  # between two states of the transcript, at the least


class ChatPanel(AnyWidget):
    """A chat in the notebook, which answers also while a cell runs.

    It shows a conversation by its name, or one of `llm.chat()`: the same turns as `%%llm --chat
    NAME` and `llm.chat("NAME")`, live, in any number of panels and views. `model`, `context` and
    the sampling options are for the prompts that are typed in it.
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
        script, style = (built(STATIC, f"chat_panel.{kind}") for kind in ("js", "css"))
        check_mode(context)
        params = sampling_params(sampling)
        options = Options(model=model, context=context, continue_=True, params=params)
        self.chat = _named_chat(chat) if isinstance(chat, str) else chat
        super().__init__(_esm=script, _css=style, panel_id=os.urandom(8).hex())
        hear_beside_cells(self.comm, self._handle_msg)
        self._own_layout = self.layout  # a widget as well, which nobody else closes
        self._transcript = TranscriptOutput(self.panel_id, self.chat)
        self._transcribing = Chore(self._transcribe, "jupyter-llm-transcript")
        self._line = ChatLine(self.chat, options, self.send, self._transcribing.ask)
        self.on_msg(lambda _widget, content, _buffers: self._line.take(content))

    def __repr__(self) -> str:
        return f"ChatPanel({self.chat.name!r})" if self.chat.name else "ChatPanel(llm.chat())"

    def close(self) -> None:
        """Take the panel out of all front ends; the chat stays, and what it writes goes on."""
        if hasattr(self, "_line"):
            self._line.close()
            self._transcribing.close()
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

    def _transcribe(self) -> tuple[float, bool]:
        """Bring the transcript up to date: the output, or the page that writes it by itself.

        A front end that loads the page again knows nothing of updates of its outputs, so one that
        can write the notebook does that. In a shared notebook a single page does it.
        """
        if (writer := self._line.views.writer) is not None:
            data, metadata = self._transcript.bundle
            self._line.put(Transcript(writer=writer, data=data, metadata=metadata))
        else:
            self._transcript.update()
        return TRANSCRIPT_S, False


def _named_chat(name: str) -> Chat:
    """A chat by its name, as it was kept of an earlier kernel if it was."""
    shell = current_shell()
    if llm.archive.path is None and shell is not None:  # without %load_ext nobody has opened it
        llm.archive.open(llm.notebook.path or notebook_path(shell.user_ns))
    return llm.chat(name)


@cache
def built(folder: Path, name: str) -> str:
    """A file of the front end; `PanelFilesError` if it was not built."""
    try:
        return (folder / name).read_text("utf-8")
    except OSError:
        raise PanelFilesError(folder) from None
