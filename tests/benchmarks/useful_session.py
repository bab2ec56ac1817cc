"""A shell with the resident model, in which the tasks of `useful_code.py` are asked one by one."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any, Self

from benchmarks.useful_outcomes import Draft

from jupyter_llm.engine.base import Engine, Stream
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Request
from jupyter_llm.tasks.code_answer import ANSWER_PREFIX

_PATIENCE_S = 10.0  # for a draft that was stopped
_MAX_S = 600  # for an answer


class Witness:
    """An engine that remembers what was written, whoever asked and whatever became of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._streams: list[tuple[Request, Any]] = []
        self._ended_s: dict[Any, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: Request) -> Stream:
        """Ask, and note when the answer has come; the stream itself is the asker's alone."""
        stream = self._engine.submit(request)
        self._streams.append((request, stream.future))
        stream.future.add_done_callback(self._note)
        return stream

    def _note(self, future: Any) -> None:
        self._ended_s[future] = time.perf_counter()

    def told(self) -> list[str]:
        """What was told with each draft since it was asked last."""
        return [self._engine.format(request.prompt) for request, _ in self._streams]

    def drafts_since(self, began_s: float) -> tuple[Draft, ...]:
        """What was written since it was asked last, in the order it was asked for."""
        gc.collect()  # a stream that nobody holds any more is stopped
        drafts = []
        for request, future in self._streams:
            completion: Completion = future.result(_PATIENCE_S)
            ended_s = self._ended_s.get(future, time.perf_counter())
            drafts.append(
                Draft(
                    text=(request.answer_prefix or ANSWER_PREFIX) + completion.message.content,
                    num_tokens=completion.usage.completion_tokens,
                    ended_s=ended_s - began_s,
                )
            )
        self._streams.clear()
        self._ended_s.clear()
        return tuple(drafts)


@contextmanager
def _patience() -> Iterator[None]:
    """Raise `TimeoutError` here if something takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"There was no answer after {_MAX_S} s.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_MAX_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Session:
    """The one shell, made new for each item; a question comes back with what was written for it."""

    def __init__(self, engine: Engine) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        from jupyter_llm import llm

        self.llm = llm
        config = Config()
        config.HistoryManager.enabled = False
        self.shell: Any = InteractiveShell.instance(config=config, colors="nocolor")
        self.witness = Witness(engine)
        for name in ("get", "resident_for"):
            setattr(llm.current, name, lambda *_args, **_options: self.witness)

    @classmethod
    def of_model(cls, model: str, **options: Any) -> Self:
        """A session with a model, which is loaded with some options."""
        from jupyter_llm import llm

        llm.use(model, **options)
        return cls(llm.engine())

    def begin(self, cells: Sequence[str]) -> None:
        """Run cells in a notebook that is new, but for the model."""
        from matplotlib import pyplot as plt

        plt.close("all")
        self.shell.reset()
        self.llm.timeline.__init__()  # type: ignore[misc]
        for cell in ("%reload_ext jupyter_llm", *cells):
            self.run(cell)
        self.witness.forget()  # each question is read as if it were the first

    def run(self, cell: str) -> BaseException | None:
        """Run a cell quietly; return what it raised."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            result = self.shell.run_cell(cell, store_history=True)
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        return error

    def command(self, name: str, argument: str = "") -> Any:
        """What a command answers, asked as `%llm` asks it."""
        from jupyter_llm.frontends.prompt.commands import Call

        magics = self.shell.magics_manager.registry["LLMMagics"]
        options = replace(magics.defaults, no_save=True)
        call = Call(llm=self.llm, chat=self.llm.chat(), argument=argument, options=options)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            shown = magics.commands[name].run(call)
        return shown.proposal or shown.completion or shown.text

    def timed(self, ask: Callable[[], Any]) -> tuple[Any, tuple[Draft, ...], float]:
        """What comes of a question, what was written for it, and how long it took."""
        began_s = time.perf_counter()
        with _patience():
            answer = ask()
        took_s = time.perf_counter() - began_s
        return answer, self.witness.drafts_since(began_s), took_s
