"""The public object `llm`, for the resident models. Light to import."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.chats import Chats
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.options import SamplingOptions, SamplingParams, sampling_params
from jupyter_llm.engine.request import chat_prompt, check_text, check_texts, several
from jupyter_llm.notebook.cells.path import NotebookIdentity
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.notebook.failures.last_error import LastError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream
    from jupyter_llm.ask.calling import ToolAnswer
    from jupyter_llm.ask.log import RecordedAnswer
    from jupyter_llm.ask.question import FunctionOptions, PromptOptions, Question, ShapeOptions
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.chat.question import WriteOptions
    from jupyter_llm.columns.functions import ModelFunction
    from jupyter_llm.columns.map import ColumnOptions, MapOptions
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Engine, Stream
    from jupyter_llm.engine.completion import Score
    from jupyter_llm.engine.request import RawPrompt
    from jupyter_llm.engine.roles import ModelRole
    from jupyter_llm.engine.status import Status
    from jupyter_llm.models.aliases import Alias
    from jupyter_llm.models.pull import Pulled
    from jupyter_llm.records.verify import VerifyReport
    from jupyter_llm.tasks.code_answer import CodeAnswer
    from jupyter_llm.tasks.proposal import Former, Proposal
    from jupyter_llm.tasks.review import Review
    from jupyter_llm.tasks.steps import Steps
    from jupyter_llm.tasks.task import Task
    from jupyter_llm.tasks.tries import Tries
    from jupyter_llm.tasks.undo import KeptRuns, Undone

    AnyPrompt = str | RawPrompt

P = ParamSpec("P")
T = TypeVar("T")


class Models:
    """The resident models, with the notebook and the chats that they know."""

    def __init__(self, current: CurrentEngine | None = None) -> None:
        self.current = current or CurrentEngine()
        self.timeline = Timeline(lambda: self.archive.path)
        self.archive = Archive()
        self.prompts = PromptStore(lambda: self.archive.path)
        self.answers = AnswerLog(self.prompts)
        self.notebook = NotebookIdentity()
        self.notebook.watch(self.archive.follow)
        self.notebook.watch(self.prompts.follow)
        self.last_error = LastError(lambda: self.timeline.cells)
        self.tries_drafts = True  # the default; the magics set it
        self.chats = Chats(self.current, self.timeline, self.answers, self.archive)
        self._kept_runs: KeptRuns | None = None

    @property
    def kept_runs(self) -> KeptRuns:
        """The runs that `undo` can undo."""
        if self._kept_runs is None:
            from jupyter_llm.tasks.undo import KeptRuns

            self._kept_runs = KeptRuns()
        return self._kept_runs

    def score(
        self,
        prompt: AnyPrompt,
        continuations: Iterable[str],
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
    ) -> list[Score]:
        """Return the likelihood of each continuation, without writing any; all in one batch."""
        asked = chat_prompt(prompt, self.timeline.rules.above(system), raw=raw)
        return self.current.get(model).score(asked, check_texts(continuations))

    def embed(
        self, texts: Iterable[str], *, model: str | None = None, client: Any = None
    ) -> np.ndarray:
        """Return a vector of length one for each text, as an array (num_texts, n_embd).

        The dot product of two vectors is their similarity. A model made for embedding does this
        best: `llm.use("name", role="embed")` loads it beside the chats' model. For `client` see
        `map`.
        """
        from jupyter_llm.columns.map import placed

        return placed(self.current, client)(model, role="embed").embed(check_texts(texts))

    def prefill(
        self,
        prompt: AnyPrompt,
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
        pin: bool = False,
        **sampling: Unpack[SamplingOptions],
    ) -> None:
        """Read a prompt in the background, so that prompts that begin with it start at once.

        Returns at once; reading continues while the model is idle and no cell runs. With `pin=True`
        the prompt is evicted last. The sampling options decide, as for a prompt, whether it has to
        be exact.
        """
        from jupyter_llm.ask.question import Question

        params = sampling_params(sampling)
        system = self.timeline.rules.above(system)
        question: Question[str] = Question(prompt=prompt, system=system, raw=raw, params=params)
        self.current.get(model).prefill(replace(question.request, is_pinned=pin))

    def use(
        self,
        name: str | os.PathLike[str] | None = None,
        /,
        *,
        role: ModelRole = "chat",
        show_progress: ShowProgress | None = None,
        allow: bool = False,
        **options: Any,
    ) -> Status:
        """Load a model by name or path and use it from now on, or a server's model.

        The old model's memory is freed first; if the new one cannot be loaded, the old one is
        loaded again. With `role="task"` the model is only used for `/fix` and the like, with
        "complete" for code at the cursor, with "embed" for `embed`; it stays loaded beside the
        chats' model while there is room. The options are those of
        `jupyter_llm.engine.options.EngineOptions`, such as `n_ctx=8192`; without a name they apply
        to the present model. `show_progress` receives the progress; without it a line shows it.

        `llm.use("http://gpu:8000/v1", model="qwen3-4b", api_key_env="GPU_KEY")` sends prompts, with
        the cells and variables that they include, to a server that speaks OpenAI's protocol, from
        then on. The key is in that environment variable or keyring entry. With `allow=True` it is
        the server that the project's `pyproject.toml` names, which needs the user's permission
        once.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, OptionError
        NotAllowedError, ServerError
        """
        return self.current.use(name, role=role, show=show_progress, allow=allow, **options)

    def alias(self, name: str, target: str | os.PathLike[str] | None, /, **options: Any) -> None:
        """Give a model with load options a name on this machine; None deletes the name.

        `default` is the model to use if nothing else is chosen. A server's model can have a name,
        too: `llm.alias("gpu", "http://gpu:8000/v1", model="qwen3-4b")`.

        Raises
        ------
        ModelNotFoundError, OptionError
        """
        from jupyter_llm.engine.naming import name_model, unname_model

        if target is None:
            unname_model(name)
        else:
            name_model(name, target, options)

    @property
    def aliases(self) -> dict[str, Alias]:
        """Return the meaning of each name that the user gave."""
        from jupyter_llm.models.aliases import aliases

        return aliases()

    def pull(
        self,
        name: str,
        *,
        accept_licence: bool = False,
        show_progress: ShowProgress | None = None,
    ) -> Pulled:
        """Download a model from the Hugging Face hub, or continue an interrupted pull.

        The name is one from the catalogue, `owner/repo`, `owner/repo:quantization`, or the address
        of a page there. Nothing else uses the network, except a server that the user chose by
        `use`. `accept_licence` accepts a licence with conditions, once. `show_progress` receives
        the progress; without it a line shows it.

        Raises
        ------
        DownloadError, LicenceError, DownloadInterrupted
        """
        from jupyter_llm.models.pull import pull

        return pull(name, accept_licence=accept_licence, show=show_progress)

    def unload(self, model: str | os.PathLike[str] | None = None) -> None:
        """Free the memory of all models, or of one. The next prompt loads what it needs.

        Conversations are kept. If the model had a role of its own, the chats' model takes it over.
        """
        self.current.unload(model)

    def status(self) -> Status:
        """Return the loaded models and their state."""
        kept = str(self.kept_runs) if self.kept_runs else ""
        return replace(self.current.status(), kept_runs=kept)

    def engine(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        show_progress: ShowProgress | None = None,
    ) -> Engine:
        """Return the engine of a model, which is loaded if it is not resident.

        Without a model it is the one that `use` chose, or else the default one. `show_progress`
        receives the progress of loading; without it a line shows it.
        """
        return self.current.get(model, show=show_progress)


class Prompts(Models):
    """Prompts to the resident models: one, many, or one for every row of a column."""

    @overload
    def __call__(self, prompt: str, **options: Unpack[PromptOptions]) -> Completion: ...
    @overload
    def __call__(
        self, prompt: str, *, schema: type[T], **options: Unpack[PromptOptions]
    ) -> ShapedAnswer[T]: ...
    @overload
    def __call__(
        self,
        prompt: str,
        *,
        tools: Iterable[Callable[..., Any] | str],
        confirm: bool = ...,
        **options: Unpack[PromptOptions],
    ) -> ToolAnswer: ...
    @overload
    def __call__(self, prompt: str, **options: Unpack[ShapeOptions]) -> ShapedAnswer[Any]: ...
    def __call__(
        self,
        prompt: str,
        **options: Any,
    ) -> Any:
        """Answer one prompt, without a memory of others.

        With a shape the answer is a `ShapedAnswer` with a Python object as its `value`. `schema` is
        a type, a JSON Schema, or short as in `"name, age int"`; `choices` are the texts to choose
        from; a `regex` or a Lark `grammar` describes the whole text. Before that, `reason=80` lets
        the model write up to 80 tokens of free text, and `think=True` its thoughts. A shape
        determines the end of the answer, so `stop` and `ignore_eos` are not allowed with it.
        `retries=2` asks again, at most twice, for a value that the type's own validator refuses.

        `tools` are functions that the model may call. You are asked before each call, unless
        `confirm` is false. The answer has the `calls` with their results.

        Raises
        ------
        ShapeError
            The answer was cut off before its end, or does not have the shape.
        NotAllowedError
            A call needs your consent, and nobody can be asked.
        """
        return self.stream(prompt, **options).result()

    @overload
    def stream(self, prompt: AnyPrompt, **options: Unpack[PromptOptions]) -> Stream: ...
    @overload
    def stream(
        self,
        prompt: str,
        *,
        tools: Iterable[Callable[..., Any] | str],
        confirm: bool = ...,
        **options: Unpack[PromptOptions],
    ) -> Stream: ...
    @overload
    def stream(self, prompt: AnyPrompt, **options: Unpack[ShapeOptions]) -> ShapedStream[Any]: ...
    def stream(self, prompt: AnyPrompt, *, model: str | None = None, **options: Any) -> Any:
        """Answer one prompt piece by piece: iterate over the chunks.

        With `raw=True`, or a `RawPrompt`, the model continues the text without a chat template. A
        stream with a shape also has `partials()`: the complete part of the value so far.
        """
        return self._question(prompt, options).ask(self.current.get(model), self.answers)

    @overload
    async def acomplete(
        self, prompt: AnyPrompt, **options: Unpack[PromptOptions]
    ) -> Completion: ...
    @overload
    async def acomplete(
        self, prompt: AnyPrompt, **options: Unpack[ShapeOptions]
    ) -> ShapedAnswer[Any]: ...
    async def acomplete(
        self, prompt: AnyPrompt, *, model: str | None = None, **options: Any
    ) -> Completion | ShapedAnswer[Any]:
        """Answer one prompt without blocking the event loop.

        Cancelling the task stops the model.
        """
        question = self._question(prompt, options)
        return await question.wait(partial(self.current.get, model), self.answers)

    def complete(
        self,
        prompt: AnyPrompt,
        *,
        model: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """Continue raw text without a chat template.

        Texts like `<|im_end|>` are plain text: only a `RawPrompt` has control tokens, as `Special`.
        """
        return self.stream(prompt, model=model, raw=True, **sampling).result()

    @overload
    def batch(
        self, prompts: Iterable[AnyPrompt], **options: Unpack[PromptOptions]
    ) -> list[Completion]: ...
    @overload
    def batch(
        self, prompts: Iterable[AnyPrompt], **options: Unpack[ShapeOptions]
    ) -> list[ShapedAnswer[Any]]: ...
    def batch(
        self, prompts: Iterable[AnyPrompt], *, model: str | None = None, **options: Any
    ) -> list[Any]:
        """Answer many prompts together, and return the answers in their order.

        A common prefix is read once. Chats and `%%llm` cells come first; the batch waits and loses
        nothing. With a `seed`, each prompt gets the next seed, so that equal prompts get different
        answers. `retries` asks again for refused values, as in `llm(…)`.

        Raises
        ------
        BatchError
            Some prompts failed; it has the completions of the others.
        PromptInterrupted
            The user interrupted; it has the finished completions.
        """
        from jupyter_llm.ask.question import answer_all

        texts = several(prompts)
        first = self._question(next(iter(texts), "?"), options)
        if not texts:
            return []
        questions = [replace(first, prompt=text) for text in texts]
        return answer_all(self.current.get(model), questions)

    def _question(self, prompt: AnyPrompt, options: Mapping[str, Any]) -> Question[Any]:
        """Return a question with a user's options, below the rules of the project."""
        from jupyter_llm.ask.question import Question

        question: Question[Any] = Question.of(prompt, options)
        return replace(question, system=self.timeline.rules.above(question.system))

    def samples(
        self, prompt: AnyPrompt, n: int, **options: Unpack[PromptOptions]
    ) -> list[Completion]:
        """Answer one prompt `n` times, reading it once; see `batch`."""
        from jupyter_llm.ask.many import check_count

        return self.batch([prompt] * check_count("n", n), **options)

    def read_again(self, answer: Completion) -> Completion:
        """Return the same answer with log-probabilities, if it was requested without `logprobs`.

        The model reads its own text after the prompt; `.show_tokens()` shows the result.

        Raises
        ------
        OptionError
            The prompt is not stored any more, or the model is another one.
        """
        from jupyter_llm.records.verify import read_again

        return read_again(answer, self.current.named, self.answers.prompt_of)

    def verify(
        self,
        notebook: str | os.PathLike[str] | None = None,
        *,
        show_progress: ShowProgress | None = None,
    ) -> VerifyReport:
        """Write answers again from their records and report which are the same.

        The answers are those of this kernel, or of a notebook file; the prompts of a file are
        stored if they were asked on this machine. `show_progress` receives the progress; without it
        a line shows it.

        Raises
        ------
        NotebookFileError, PromptInterrupted
        """
        from pathlib import Path

        from jupyter_llm.notebook.files import read_notebook
        from jupyter_llm.records.records import answers_in
        from jupyter_llm.records.verify import verify

        answers: Iterable[RecordedAnswer] = self.answers
        if notebook is not None:
            answers = answers_in(read_notebook(Path(notebook).expanduser()))
        return verify(answers, self.current.named, self.prompts.find, show=show_progress)

    def map(self, items: Any, template: str, **options: Unpack[MapOptions]) -> Any:
        """Ask the same of every row: of a list, a Series, a frame, an Arrow table, any iterable.

        `{{column}}` in the template is replaced by the row's value, `{{item}}` by a row that is one
        value; without either, the row follows the template. The result has a value a row, the same
        kind, order and index; for objects in a frame, it is a frame of their fields. Lists get the
        values unchanged, columns of frames plain ones. A row with a missing value is not asked; its
        result is null.

        Equal prompts are asked once, and prompts with a common beginning one after another, at a
        priority that never delays chats. With a `seed`, each row has its own, computed from the
        seed and the prompt.

        Parameters
        ----------
        items
            The rows; for an endless iterable, `limit` sets their number.
        template
            The prompt, with the columns to insert.
        schema, choices, regex, grammar
            The shape of each answer, as in `llm(…)`; without any it is free text.
        retries
            How often to ask a row again if the validator of the shape refuses its value.
        confidence
            Also return the likelihood of each answer, as a frame (for a list, mappings): `value`
            and `confidence`; for objects, their fields and a `…_confidence` for each that has one.
        on_error
            With "raise" all other rows are finished, and then `BatchError` has the column. With
            "null" failed rows are null, and a frame has the reason in `error`.
        keep
            Store answers as they come: the same call continues a stopped one, even after `kill -9`.
            False asks anew, and writes nothing to the disk.
        limit
            Ask only the first rows, and estimate the time for all.
        client
            A `Client` of a Dask cluster: its workers answer the rows, each with its own copy of the
            model, which is sent if it is missing there. The rows may be a Dask frame, column or
            bag; it is read a partition at a time, and the result has the same kind.
        show_progress
            Receives the progress; without it a line shows it.
        **options
            `system`, `model` and the sampling options.

        Raises
        ------
        BatchError
            Some rows failed; `best` is the column with nulls in their places.
        PromptInterrupted
            The user interrupted; `best` is the column so far.
        """
        from jupyter_llm.columns.map import map_rows

        return map_rows(self.current, self.prompts, items, template, **options)

    def filter(
        self,
        items: Any,
        question: str,
        *,
        threshold: float = 0.5,
        probabilities: bool = False,
        **options: Unpack[ColumnOptions],
    ) -> Any:
        """Return the rows for which a statement is true.

        For example `llm.filter(df, "{{text}} is about delays")`. The result has the same kind and
        index. Rows are kept if their probability is at least `threshold`; `probabilities=True`
        returns the column of probabilities of all rows instead. The options are those of `map`.
        """
        from jupyter_llm.columns.operators import asking, filter_rows

        ask = asking(self.map, "filter", options)
        return filter_rows(ask, items, question, threshold=threshold, probabilities=probabilities)

    def top_k(self, items: Any, what: str, k: int, **options: Unpack[ColumnOptions]) -> Any:
        """Return the `k` rows that fit a description best, in order: `llm.top_k(df, "urgent", 5)`.

        The model compares two rows at a time, in both orders: about six prompts a row if `k` is
        small. The result is the same each time. The options are those of `map`.
        """
        from jupyter_llm.columns.operators import asking, top_rows

        return top_rows(asking(self.map, "top_k", options), items, what, k)

    def join(
        self,
        left: Any,
        right: Any,
        what: str,
        *,
        candidates: int = 10,
        threshold: float = 0.5,
        **options: Unpack[ColumnOptions],
    ) -> Any:
        """Return pairs of rows that belong together: `llm.join(a, b, "same firm")`.

        For each row of `left`, the model is asked about the `candidates` rows of `right` with the
        most similar vectors (see `embed`). The result has the columns of both and `probability`;
        for lists, mappings. The options are those of `map`.
        """
        from jupyter_llm.columns.operators import asking, join_rows

        ask = asking(self.map, "join", options)
        embed = partial(self.embed, client=options.get("client"))
        return join_rows(ask, embed, (left, right), what, candidates, threshold)

    def reduce(self, items: Any, instruction: str, **options: Unpack[ColumnOptions]) -> str:
        """Return one text from all rows in order: `llm.reduce(df.text, "Sum up")`.

        As many rows as fit a prompt become one text, and these texts again, until one is left. The
        text of no rows is "". The options are those of `map`, but no row may fail.
        """
        from jupyter_llm.columns.map import placed
        from jupyter_llm.columns.operators import asking, reduce_rows

        ask = asking(self.map, "reduce", options)
        get = placed(self.current, options.get("client"))
        engine = get(options.get("model"), show=options.get("show_progress"))
        return reduce_rows(ask, engine, items, instruction, options.get("max_tokens"))

    async def amap(self, items: Any, template: str, **options: Unpack[MapOptions]) -> Any:
        """Ask the same of every row without blocking the event loop; see `map`.

        Cancelling the task stops it. The rows are read on another thread.
        """
        from jupyter_llm.columns.map import amap_rows

        return await amap_rows(self.current, self.prompts, items, template, **options)

    @overload
    def function(self, function: Callable[P, T], /) -> ModelFunction[P, T]: ...
    @overload
    def function(
        self, **options: Unpack[FunctionOptions]
    ) -> Callable[[Callable[P, T]], ModelFunction[P, T]]: ...
    def function(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Let the model answer a function without a body; a decorator, with or without options.

        The docstring is the prompt, in which `{{name}}` is replaced by an argument; other arguments
        follow it. The result has the annotated type. `examples` are pairs of arguments and results:
        `[(("Great!",), "good")]`.
        """
        from jupyter_llm.columns.functions import ModelFunction

        make = partial(ModelFunction, llm=self, options=options)
        return make if function is None else make(function)


class LLM(Prompts):
    """The resident models and the conversations with them.

    Nothing is loaded before the first prompt, and then exactly once: prompts from several threads
    wait for the same model. Call the object with a prompt to get a `Completion`. `timeline` has the
    cells that ran since `%load_ext jupyter_llm`, and pins or hides them. `chats` are the
    conversations with names.
    """

    def __reduce__(self) -> str:
        """Return its name: a copy of the user's variables need not contain it."""
        return "llm"

    def chat(self, name: str | None = None, *, system: str | None = None) -> Chat:
        """Return the conversation with a name, or a new one without a name.

        Names are shared with `%%llm --chat NAME`; plain `%%llm` cells use "default".
        """
        return self.chats.get(name, system=system)

    def task(
        self,
        *,
        model: str | None = None,
        show: Callable[[Stream], Completion] = lambda stream: stream.result(),
        show_progress: ShowProgress | None = None,
        try_drafts: bool | None = None,
        is_kept: bool = True,
        params: SamplingParams | None = None,
        former: Former | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Task:
        """Return a task: the notebook's facts and the model, for `fix`, `explain` and the like.

        `show` receives the stream of each answer, and has to read it to its end. With `try_drafts`
        code is run in a sealed copy of the kernel before it is proposed; None means the configured
        default. With `is_kept=False` nothing is written to the disk. `params` are the sampling
        options as one value. The question follows a `former` proposal.
        """
        from jupyter_llm.notebook.cells.shell import current_shell
        from jupyter_llm.tasks.task import Task
        from jupyter_llm.tasks.tries import Tries

        is_allowed = self.tries_drafts if try_drafts is None else try_drafts
        snapshot = self.timeline.snapshot()
        return Task.of_shell(
            current_shell(),
            self.last_error,
            sorted(snapshot.visible, key=lambda cell: cell.counts[-1] or 0),
            snapshot.hidden,
            pictures=self.timeline.pictures,
            engine=partial(self.current.get, model, role="task", show=show_progress),
            answers=self.answers,
            system=self.timeline.rules.above(None),
            params=params or sampling_params(sampling),
            show=show,
            show_progress=show_progress,
            is_kept=is_kept,
            tries=Tries.here(self.timeline, is_allowed=is_allowed, show_progress=show_progress),
            former=former,
        )

    def fix(
        self,
        cell: int | None = None,
        *,
        model: str | None = None,
        try_drafts: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Proposal:
        """Propose a change to the cell that caused the last error, or to cell In [`cell`].

        It never runs in your kernel unless you run it. Drafts are tried in a sealed copy if
        `try_drafts`, or by default the configuration, allows it.

        Raises
        ------
        MagicUsageError
            No cell has failed, there is no such cell, or the answer has no code.
        """
        from jupyter_llm.tasks.fix import fix

        task = self.task(model=model, try_drafts=try_drafts, **sampling)
        return fix(task, "" if cell is None else str(cell))

    def explain(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Explain a cell, a variable, a function, a class or the last error.

        `subject` is a cell's number, a name, a function, or "error". By default it is the last
        cell.
        """
        from jupyter_llm.tasks.explain import explain

        return explain(self.task(model=model, **sampling), _name_of(subject))

    def review(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Review:
        """Report flaws in a cell, a function or a class; by default in the last cell.

        Rules find them; a large model adds remarks on the logic. Nothing runs.
        """
        from jupyter_llm.tasks.review import review

        return review(self.task(model=model, **sampling), _name_of(subject))

    def doc(
        self,
        subject: object = "",
        *,
        model: str | None = None,
        try_drafts: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Proposal:
        """Propose docstrings: for a function, a class, or those in a cell that have none.

        `subject` is as in `explain`. Drafts may be tried, see `fix`.
        """
        from jupyter_llm.tasks.numpy_doc import document

        task = self.task(model=model, try_drafts=try_drafts, **sampling)
        return document(task, _name_of(subject))

    def test(
        self,
        subject: object = "",
        *,
        model: str | None = None,
        try_drafts: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Proposal:
        """Propose a new cell with tests of a cell, a function or a class.

        Drafts may be tried, see `fix`.
        """
        from jupyter_llm.tasks.tests import write_tests

        task = self.task(model=model, try_drafts=try_drafts, **sampling)
        return write_tests(task, _name_of(subject))

    def write(self, prompt: str, **options: Unpack[WriteOptions]) -> CodeAnswer:
        """Write code that parses, without a memory of other prompts.

        The prompt includes cells and variables as `%%llm -f code` does; `context="none"` sends it
        alone. The code never runs in your kernel unless you run it. Drafts are tried in a sealed
        copy if `try_drafts`, or by default the configuration, allows it. `into`: names that the
        code binds, with their types, as "mean_fare float, n int"; the answer has their `values`.
        """
        return self._write(prompt, **options)[0]

    def do(
        self,
        task: str,
        *,
        show: Callable[[Stream], Completion] = lambda stream: stream.result(),
        show_progress: ShowProgress | None = None,
        **options: Unpack[WriteOptions],
    ) -> Steps:
        """Do a task in several cells, each tried in a fork of the copy in which the last one ran.

        The options are those of `write`. The model stops once the names of `into` are computed.
        Nothing changes in your kernel: run the `sources` to have the `changes`. `show` and
        `show_progress` are those of `task`.
        """
        from jupyter_llm.tasks.steps import shown_steps

        how = {"show": show, "show_progress": show_progress, "by_steps": True}
        steps = shown_steps(*self._write(task, how, **options))
        self.kept_runs.replays.expect(steps)
        return steps

    def undo(self) -> Undone:
        """Bring back the variables that the last run of written code changed.

        Written code is what a model wrote and the notebook offered. The last five runs are kept, as
        long as their old values fit into the free memory. Variables that you changed after the run
        stay as they are. Files and other effects outside of variables are not undone.

        Raises
        ------
        UndoError
            No run is kept, or a cell is running.
        """
        from jupyter_llm.notebook.cells.shell import current_shell

        return self.kept_runs.undo(current_shell())

    def _write(
        self,
        prompt: str,
        how: Mapping[str, Any] = MappingProxyType({}),
        *,
        model: str | None = None,
        into: str | None = None,
        context: ContextMode = "auto",
        try_drafts: bool | None = None,
        params: SamplingParams | None = None,
        is_kept: bool = True,
        **sampling: Unpack[SamplingOptions],
    ) -> tuple[CodeAnswer, Tries]:
        """Return code that was written in a new chat, and its tries."""
        from jupyter_llm.chat.question import ChatQuestion
        from jupyter_llm.notebook.cells.shell import user_namespace
        from jupyter_llm.notebook.values.variables import mentioned, without_at
        from jupyter_llm.tasks.contract import with_names
        from jupyter_llm.tasks.tries import Tries
        from jupyter_llm.tasks.write import write_in_chat

        names = user_namespace()
        prompt = check_text(prompt)
        if into is not None:
            prompt = with_names(prompt, check_text(into))
        asked = ChatQuestion(
            prompt=without_at(prompt, names),
            model=model,
            named=mentioned(prompt, names),
            context=context,
            about=prompt,
            vars="none" if context == "none" else "auto",
            params=params or sampling_params(sampling),
            is_kept=is_kept,
        )
        is_allowed = self.tries_drafts if try_drafts is None else try_drafts
        show_progress = how.get("show_progress")
        tries = Tries.here(self.timeline, is_allowed=is_allowed, show_progress=show_progress)
        chat = self.chats.get()
        answer, _ = write_in_chat(chat, asked, namespace=tries, tries=tries, **how)
        if answer.is_interrupted:
            raise PromptInterrupted(answer.completion, best=answer)
        return answer, tries


def _name_of(subject: object) -> str:
    """Return a subject's name on a command line: for a function, its qualified name."""
    return str(getattr(subject, "__qualname__", subject))


llm = LLM()
