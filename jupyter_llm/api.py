"""What people import: `llm`, one object for the one resident model. Light to import."""

from __future__ import annotations

import operator
import threading
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypedDict, Unpack

from jupyter_llm.chat.archive import Archive, active_branch
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.base import (
    Completion,
    Engine,
    EngineOptions,
    Message,
    Prompt,
    Request,
    SamplingParams,
    Score,
    Stream,
    check_text,
)
from jupyter_llm.engine.status import Status
from jupyter_llm.errors import (
    EngineClosedError,
    ModelNotFoundError,
    OptionError,
    PromptInterrupted,
)
from jupyter_llm.frontends.views import loading_bar, replay_bar, tuning_bar
from jupyter_llm.notebook.cells.path import NotebookIdentity
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.notebook.failures.last_error import LastError
from jupyter_llm.records.answers import AnswerLog
from jupyter_llm.records.prompt_store import PromptStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Mapping
    from concurrent.futures import Future

    import numpy as np

    from jupyter_llm.chat.saved import SavedChat
    from jupyter_llm.engine.local.engine import LocalEngine
    from jupyter_llm.engine.tuning.report import TuneReport
    from jupyter_llm.frontends.views import View
    from jupyter_llm.models.discover import ModelEntry
    from jupyter_llm.records.verify import VerifyReport
    from jupyter_llm.tasks.proposal import Proposal
    from jupyter_llm.tasks.situation import Situation
    from jupyter_llm.tasks.write import CodeAnswer


class SamplingOptions(TypedDict, total=False):
    """The options every prompt takes, by the names of `SamplingParams`; `stop` may be one text."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    max_tokens: int | None
    stop: str | Iterable[str]
    ignore_eos: bool
    logit_bias: dict[int, float]
    logprobs: int | None
    exact: bool | None
    lookup: bool


class LLM:
    """The resident model and the conversations with it.

    Nothing is loaded before the first prompt, and then exactly once: prompts from several threads
    wait for the same model. Call it with a prompt to get a `Completion`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards the choice of model and its loading
        self._engine: LocalEngine | None = None
        self._choice: tuple[ModelEntry, EngineOptions] | None = None  # by `use`
        self._resident: tuple[ModelEntry, EngineOptions] | None = None  # what _engine runs
        self._chats: dict[str, Chat] = {}
        self._chats_lock = threading.Lock()  # another one, since loading may take minutes
        self._is_background_held = False
        self._watchers = Watchers()
        self._timeline = Timeline()
        self._prompts = PromptStore()
        self._answers = AnswerLog(self._prompts)
        self.archive = Archive()
        self.notebook = NotebookIdentity()
        self.notebook.watch(self.archive.follow)
        self.last_error = LastError()

    @property
    def timeline(self) -> Timeline:
        """The cells that ran since `%load_ext jupyter_llm`; here they are pinned and hidden."""
        return self._timeline

    @property
    def resident_engine(self) -> Engine | None:
        """The engine of the model that is loaded, or None."""
        engine = self._engine
        return None if engine is None or engine.is_closed else engine

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever a model was loaded or has gone; what is returned ends that.

        The call comes on any thread, with the choice of models locked, so it must return at once.
        Its errors are logged.
        """
        return self._watchers.add(callback)

    def __call__(
        self,
        prompt: str,
        *,
        system: str | None = None,
        model: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """Answer one prompt, without a memory of others."""
        return self.stream(prompt, system=system, model=model, **sampling).result()

    def stream(
        self,
        prompt: str,
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> Stream:
        """Answer one prompt piece by piece: iterate over the chunks.

        With `raw=True` the model continues the text as it is, without a chat template.
        """
        params = self.sampling_params(sampling)
        messages = _messages(prompt, system, raw=raw)
        return self.submit(self.engine(model), messages, params)

    async def acomplete(
        self,
        prompt: str,
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """Answer one prompt while the event loop goes on; cancelling the task stops the model."""
        import asyncio

        params = self.sampling_params(sampling)
        messages = _messages(prompt, system, raw=raw)
        engine = await asyncio.to_thread(self.engine, model)
        with self.submit(engine, messages, params) as stream:
            return await asyncio.wrap_future(stream.future)

    def complete(
        self, prompt: str, *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Continue raw text as it is, without a chat template."""
        return self.stream(prompt, model=model, raw=True, **sampling).result()

    def batch(
        self,
        prompts: Iterable[str],
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> list[Completion]:
        """Answer many prompts together, and return the completions in their order.

        What the prompts have in common is read once. Chats and `%%llm` cells go before; the batch
        waits and loses nothing. With a `seed` the prompts count on from it, so that equal prompts
        get different answers.

        Raises
        ------
        BatchError
            Some prompts failed; it holds the completions of the others.
        PromptInterrupted
            The user interrupted; it holds the completions that were finished.
        """
        from jupyter_llm.tasks.batch import run_batch

        params = self.sampling_params(sampling)
        checked = [_messages(prompt, system, raw=raw) for prompt in _texts(prompts)]
        return run_batch(self.engine(model), checked, params) if checked else []

    def samples(
        self,
        prompt: str,
        n: int,
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> list[Completion]:
        """Answer one prompt `n` times, reading it once; see `batch`."""
        prompts = [prompt] * _count(n)
        return self.batch(prompts, system=system, model=model, raw=raw, **sampling)

    def score(
        self,
        prompt: str,
        continuations: Iterable[str],
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
    ) -> list[Score]:
        """Return how likely each of some answers is, without writing any; all in one batch."""
        messages = _messages(prompt, system, raw=raw)
        return self.engine(model).score(messages, _texts(continuations))

    def embed(self, texts: Iterable[str], *, model: str | None = None) -> np.ndarray:
        """Return a vector of length one for each text, as an array (num_texts, n_embd).

        The dot product of two is their likeness. A model made for embedding does this best.
        """
        return self.engine(model).embed(_texts(texts))

    def prefill(
        self,
        prompt: str,
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        pin: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> None:
        """Read a prompt in the background, so that prompts that begin with it start at once.

        Returns at once; reading goes on while nothing else is to be done and no cell runs. With
        `pin=True` it stays resident when other prompts have to go. The sampling options tell, as
        for a prompt, whether it is wanted exactly.
        """
        params = self.sampling_params(sampling)
        messages = _messages(prompt, system, raw=raw)
        self.engine(model).prefill(Request(prompt=messages, params=params, is_pinned=pin))

    def hold_background(self, *, is_held: bool) -> None:
        """Let nothing be read in the background, as while a cell runs, or let it go on."""
        self._is_background_held = is_held
        engine = self._engine
        with suppress(EngineClosedError):
            if engine is not None:
                engine.hold_background(is_held=is_held)

    def chat(self, name: str | None = None, *, system: str | None = None) -> Chat:
        """Return the conversation of that name, or a new one of its own without a name.

        Names are shared with `%%llm --chat NAME`; plain `%%llm` cells talk in "default".
        """
        if name is None:
            return Chat(self, system=system)
        with self._chats_lock:
            chat = self._chats.get(name)
            if chat is None:
                chat = self._chats[name] = Chat(self, name)
                if (kept := self.archive.take(name)) is not None:
                    chat.restore(kept)
        if system is not None:
            chat.system = system
        return chat

    @property
    def chats(self) -> list[Chat]:
        """The named conversations."""
        return list(self._chats.values())

    def saved_chats(self) -> dict[str, SavedChat]:
        """Return the chats of this notebook as they are kept, also those of earlier kernels.

        They are their active branches.
        """
        present = {chat.name or "": chat.saved() for chat in self.chats if chat.turns}
        waiting = {name: active_branch(chat) for name, chat in self.archive.waiting.items()}
        return {**waiting, **present}

    def clear_chats(self) -> None:
        """Forget the turns of all chats of this notebook, also those on the disk."""
        for chat in self.chats:
            chat.reset()
        self.archive.clear()

    def use(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        view: View | None = None,
        **options: Any,
    ) -> Status:
        """Load a model by name or path and stay with it; see `EngineOptions` for the options.

        Without a name the options are for the model that is in use. If the new model cannot be
        loaded, the old choice stays. The loading bar appears in `view`, or is printed.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, OptionError
        """
        _check_names(options, EngineOptions, "a loading option")
        with self._lock:
            if model is None and self._resident is not None:
                entry = self._resident[0]
            else:
                entry = self._find(model)
            choice = (entry, EngineOptions(**options))
            self._ensure(*choice, view)
            self._choice = choice
        return self.status()

    def unload(self) -> None:
        """Free the model's memory. The next prompt loads it again; conversations stay."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
            self._watchers.tell()

    def tune(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        copy: bool = False,
        lossy: bool = False,
        view: View | None = None,
    ) -> TuneReport:
        """Measure a model on this machine and load it with the best settings from then on.

        The model is measured in a process of its own, and the resident one unloaded before. If a
        copy in another quantization would be faster, the report offers it; `copy=True` makes it
        and loads it in the file's place from then on. Copies are near-lossless, by the perplexity
        of a fixed text; `lossy=True` admits a loss of up to 10 %. What `use` is told goes before
        what was measured. A bar appears in `view`, or is printed.

        Raises
        ------
        ModelNotFoundError, ModelFileError, EngineError, TuneInterrupted
        """
        from jupyter_llm.engine.tuning.tuning import tune

        with self._lock:  # prompts wait, since two programs that compute would measure each other
            entry, options = self._chosen(model)
            self.unload()
            with tuning_bar(entry.name, view) as on_progress:
                report = tune(
                    entry,
                    copy=copy,
                    lossy=lossy,
                    n_gpu_layers=options.n_gpu_layers,
                    on_progress=on_progress,
                )
        return replace(report, asked=str(model) if model is not None else "")

    def forget_tuning(self, model: str | os.PathLike[str] | None = None) -> bool:
        """Remove a model's measured settings and its copy; False if there were none."""
        from jupyter_llm.engine.tuning.figures import forget_tuning

        with self._lock:
            entry, _options = self._chosen(model)
            self.unload()
            return forget_tuning(entry.path)

    def status(self) -> Status:
        """Return what is loaded and what it holds."""
        engine = self._engine
        try:
            if engine is not None:
                return Status(info=engine.info, engine=engine.status())
        except EngineClosedError:
            pass  # unloaded by another thread, or failed
        return Status(info=None, engine=None)

    def engine(
        self, model: str | os.PathLike[str] | None = None, *, view: View | None = None
    ) -> Engine:
        """Return the engine of a model, loading it if it is not the resident one.

        Without a model it is the one that `use` chose, or else the default one. The loading bar
        appears in `view`, or is printed.
        """
        with self._lock:
            return self._ensure(*self._chosen(model), view)

    def situation(
        self,
        *,
        model: str | None = None,
        show: Callable[[Stream], Completion] = lambda stream: stream.result(),
        view: View | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Situation:
        """Return what `fix`, `explain` and their like know of the notebook, and whom they ask.

        `show` is given the stream of each answer, to read it to its end.
        """
        from jupyter_llm.tasks.asking import Asking

        params = self.sampling_params(sampling)
        return Asking(self, self.engine(model, view=view), params, show).situation()

    def fix(
        self,
        cell: int | None = None,
        *,
        model: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Proposal:
        """Propose a change to the cell that caused the last error, or to cell In [`cell`].

        Raises
        ------
        MagicUsageError
            No cell has failed, there is no such cell, or no code in the answer.
        """
        from jupyter_llm.tasks.fix import fix

        argument = "" if cell is None else str(cell)
        return fix(self.situation(model=model, **sampling), argument)

    def explain(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Explain the last cell, a cell by its number, a name or a function, or "error"."""
        from jupyter_llm.tasks.explain import explain

        return explain(self.situation(model=model, **sampling), _subject_name(subject))

    def review(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Say what is wrong with a cell, a function or a class; the last cell by itself."""
        from jupyter_llm.tasks.explain import review

        return review(self.situation(model=model, **sampling), _subject_name(subject))

    def doc(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Proposal:
        """Propose a docstring for a function, a class, or the only one in a cell."""
        from jupyter_llm.tasks.explain import document

        return document(self.situation(model=model, **sampling), _subject_name(subject))

    def test(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Proposal:
        """Propose a new cell with tests of a cell, a function or a class."""
        from jupyter_llm.tasks.explain import write_tests

        return write_tests(self.situation(model=model, **sampling), _subject_name(subject))

    def write(
        self, prompt: str, *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> CodeAnswer:
        """Write code that parses, without a memory of other prompts; nothing of it runs."""
        from jupyter_llm.notebook.cells.shell import user_namespace

        chat = Chat(self)
        return chat.write_code(prompt, namespace=user_namespace(), model=model, **sampling)

    def submit(
        self,
        engine: Engine,
        prompt: Prompt,
        params: SamplingParams,
        *,
        conversation: str | None = None,
    ) -> Stream:
        """Queue a prompt; for front doors that need the parts of `stream`."""
        request = Request(prompt=prompt, params=params, conversation=conversation)
        stream = engine.submit(request)
        self.log(request, stream.future)
        return stream

    def log(self, request: Request, future: Future[Completion], *, is_saved: bool = True) -> None:
        """Remember an answer for `verify`, once it is written; for whoever submits by themselves.

        With `is_saved=False` its prompt is not written to the disk.
        """
        future.add_done_callback(partial(self._answers.add, request, is_saved=is_saved))

    def forget_prompts(self, prompt_sha256s: Collection[str]) -> None:
        """Forget prompts for good, also on the disk; `verify` cannot write their answers again."""
        self._answers.forget(prompt_sha256s)

    def verify(
        self, notebook: str | os.PathLike[str] | None = None, *, view: View | None = None
    ) -> VerifyReport:
        """Write answers again from their records and say which come out the same.

        They are the answers of this kernel, or those in a notebook file, whose prompts are known
        if they were asked on this machine. A bar appears in `view`, or is printed.

        Raises
        ------
        NotebookFileError, PromptInterrupted
        """
        from jupyter_llm.notebook.files import read_notebook
        from jupyter_llm.records.answers import answers_in
        from jupyter_llm.records.verify import verify

        if notebook is None:
            answers = list(self._answers)
        else:
            answers = list(answers_in(read_notebook(Path(notebook).expanduser())))
        try:
            with replay_bar(len(answers), view) as on_progress:
                return verify(answers, self._named, self._prompts.find, on_progress=on_progress)
        except KeyboardInterrupt:
            raise PromptInterrupted from None

    def _named(self, model: str) -> Engine:
        """Return the engine of a model's name; the resident one need not be found by it."""
        if self._resident is not None and self._resident[0].name == model:
            return self.engine(self._resident[0].path)
        return self.engine(model)

    @staticmethod
    def sampling_params(options: Mapping[str, Any]) -> SamplingParams:
        """Make checked parameters of options; raise `OptionError` with the nearest name."""
        _check_names(options, SamplingParams, "a sampling option")
        values = dict(options)
        if "stop" in values:
            stop = values["stop"]
            values["stop"] = (stop,) if isinstance(stop, str) else tuple(stop or ())
        if isinstance(bias := values.get("logit_bias"), dict):
            values["logit_bias"] = tuple(bias.items())
        return SamplingParams(**values)

    def _find(self, model: str | os.PathLike[str] | None) -> ModelEntry:
        from jupyter_llm.models.discover import HOW_TO_GET_ONE, default_model, find_model

        if model is not None:
            return find_model(model)
        entry = default_model()
        if entry is None and self._resident is not None:
            return self._resident[0]
        if entry is None:
            raise ModelNotFoundError("", message=f"There is no model yet. {HOW_TO_GET_ONE}")
        return entry

    def _chosen(self, model: str | os.PathLike[str] | None) -> tuple[ModelEntry, EngineOptions]:
        """Return the model that is meant, with the options that `use` was told for it."""
        if model is None and self._choice is not None:
            return self._choice
        entry = self._find(model)
        if self._choice is not None and self._choice[0].path == entry.path:
            return entry, self._choice[1]
        return entry, EngineOptions()

    def _ensure(
        self, entry: ModelEntry, options: EngineOptions, view: View | None = None
    ) -> LocalEngine:
        """Make the engine of this file and these options the resident one."""
        from jupyter_llm.engine.local.engine import LocalEngine
        from jupyter_llm.engine.tuning.tuning import tuned
        from jupyter_llm.models.inspect import inspect

        engine = self._engine
        if engine is not None and not engine.is_closed and self._resident is not None:
            resident, resident_options = self._resident
            if (resident.path, resident_options) == (entry.path, options):
                return engine
        # The old model goes first, since two need not fit into memory; but not for a bad file.
        tuned_entry, settings = tuned(entry)
        size = inspect(tuned_entry.file).size_bytes
        self.unload()
        try:
            with loading_bar(entry.name, size, view) as on_progress:
                self._engine = LocalEngine(
                    tuned_entry, options.filled(settings), on_progress=on_progress
                )
        except KeyboardInterrupt:
            raise PromptInterrupted from None
        self._engine.hold_background(is_held=self._is_background_held)
        self._resident = (entry, options)
        self._watchers.tell()
        return self._engine


def _texts(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise OptionError("Several texts are wanted, not one. Put it into a list: [text].")
    return [check_text(text, is_raw=True) for text in texts]


def _count(n: object) -> int:
    if not isinstance(n, SupportsIndex) or operator.index(n) < 1:
        raise OptionError(f"n must be a whole number from 1 on, not {n!r}.")
    return operator.index(n)


def _messages(prompt: str, system: str | None, *, raw: bool) -> Prompt:
    check_text(prompt, is_raw=raw)
    if raw:
        return prompt
    user = Message("user", prompt)
    return (Message("system", system), user) if system else (user,)


def _subject_name(subject: object) -> str:
    """Return how a subject is called on a command line: functions go by their names."""
    return str(getattr(subject, "__qualname__", subject))


def _check_names(options: Mapping[str, Any], params: type, what: str) -> None:
    names = [field.name for field in fields(params)]
    for name in options:
        if name not in names:
            from jupyter_llm.frontends.prompt.options import nearest

            hint = nearest(name, names, f"There are: {', '.join(names)}.")
            raise OptionError(f"{name!r} is not {what}. {hint}")


llm = LLM()
