"""The pull of a kernel's pages and panels: one at a time, which all of them see."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from jupyter_llm.common.bars import ShowProgress, Step
from jupyter_llm.common.tables import human_size
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.common.workers import start_worker
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import DownloadError, DownloadInterrupted, JupyterLLMError, LicenceError
from jupyter_llm.frontends.comm.messages import PullData
from jupyter_llm.models.pull import Meter, pull

logger = logging.getLogger(__name__)

_LOOK_S = 0.2


class Pull:
    """A model on its way, on a thread of its own. `changed` is called on it at each step."""

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self.data = PullData(name=name, state="running", text=f"Asking the hub for {name}…")
        self._changed = changed
        self._meter = Meter()
        self.is_stopped = False  # as soon as the hub says something, unless it is here by then
        self._has_ended = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether there is no word yet of what has become of it."""
        return not self._has_ended.is_set()

    def run(self, *, is_accepted: bool) -> None:
        """Pull it."""
        name = self.data.name
        try:
            there = pull(name, accept_licence=is_accepted, show=self._tell, meter=self._meter)
        except LicenceError as error:
            text = f"{error.conditions} The model is {human_size(self._meter.num_bytes)}."
            self._end("licence", text=text, licence=error.text)
        except DownloadInterrupted as stopped:
            text = str(stopped)
            self._end("stopped", text=f"{text[0].upper()}{text[1:]}")
        except BaseException as error:  # whatever it is, somebody waits for it
            if not isinstance(error, JupyterLLMError):
                logger.exception("A pull failed")
            self._end("failed", text=str(error) or type(error).__name__)
        else:
            text = f"{there.name} is downloaded: {there.facts}."
            self._end("done", text=text, share=1.0, model=there.name)

    def wait(self, show: ShowProgress | None) -> PullData:
        """Return the result of the pull. If `show` raises `PromptInterrupted`, the pull stops."""
        while not self._has_ended.wait(_LOOK_S):
            try:
                if show is not None:
                    show(Step(self.data.text, self.data.share))
            except PromptInterrupted:
                self.is_stopped = True
                raise
        return self.data

    def _tell(self, step: Step) -> None:
        if self.is_stopped:
            raise KeyboardInterrupt
        self.data = replace(self.data, text=step.text, share=step.share)
        self._changed()

    def _end(self, state: str, **found: Any) -> None:
        self.data = replace(self.data, state=state, **found)
        self._has_ended.set()
        self._changed()


class Pulls:
    """The pull that runs, or the last one until it is put away."""

    def __init__(self) -> None:
        self._last: Pull | None = None
        self._lock = threading.Lock()
        self._watchers = Watchers()
        self.watch = self._watchers.add

    @property
    def now(self) -> PullData | None:
        """Return the state of the pull."""
        last = self._last
        return last.data if last is not None else None

    def begin(self, name: str, *, is_accepted: bool = False) -> Pull:
        """Pull a model, or join in where it is being pulled; `DownloadError` if another one is."""
        with self._lock:
            last = self._last
            if last is not None and last.is_running:
                if last.data.name != name:
                    raise DownloadError(
                        f"{last.data.name} is being pulled, and one model is at a time. Wait for "
                        "it, or stop it first: what has come of it is kept."
                    )
                last.is_stopped = False  # it is wanted again before it has heard of that
                return last
            begun = Pull(name, self._watchers.notify)
            start_worker(partial(begun.run, is_accepted=is_accepted), "jupyter-llm-pull")
            self._last = begun
        self._watchers.notify()
        return begun

    def end(self) -> None:
        """Stop it, which may take a moment, or put away what has become of it."""
        last = self._last
        if last is not None and last.is_running:
            last.is_stopped = True
            return
        with self._lock:
            if self._last is last:
                self._last = None
        self._watchers.notify()


PULLS = Pulls()
