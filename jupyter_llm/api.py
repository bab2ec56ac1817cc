"""What people import: `llm`, one object for the resident models. Light to import."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from jupyter_llm.ask.log import AnswerLog
from jupyter_llm.ask.prompt_store import PromptStore
from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.chats import Chats
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.current import CurrentEngine
from jupyter_llm.engine.options import SamplingOptions, SamplingParams, sampling_params
from jupyter_llm.engine.request import chat_prompt, check_text, check_texts, request_of, several
from jupyter_llm.notebook.cells.path import NotebookIdentity
from jupyter_llm.notebook.cells.timeline import Timeline
from jupyter_llm.notebook.failures.last_error import LastError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import numpy as np

    from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream
    from jupyter_llm.ask.log import RecordedAnswer
    from jupyter_llm.ask.question import (
        AnswerOptions,
        FunctionOptions,
        PromptOptions,
        ShapeOptions,
    )
    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.chat.conversation import Chat
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
    from jupyter_llm.tasks.former import Former
    from jupyter_llm.tasks.proposal import Proposal
    from jupyter_llm.tasks.review import Review
    from jupyter_llm.tasks.task import Task

    AnyPrompt = str | RawPrompt

P = ParamSpec("P")
T = TypeVar("T")


class LLM:
    """The resident models and the conversations with them: each method is one call of its room's.

    Nothing is loaded before the first prompt, and then exactly once: prompts from several threads
    wait for the same model. Call it with a prompt to get a `Completion`. On `timeline` are the
    cells that ran since `%load_ext jupyter_llm`; there they are pinned and hidden. `chats` are the
    conversations that have a name.
    """

    def __init__(self, current: CurrentEngine | None = None) -> None:
        self.current = current or CurrentEngine()
        self.timeline = Timeline()
        self.archive = Archive()
        self.prompts = PromptStore(lambda: self.archive.path)
        self.answers = AnswerLog(self.prompts)
        self.notebook = NotebookIdentity()
        self.notebook.watch(self.archive.follow)
        self.notebook.watch(self.prompts.follow)
        self.last_error = LastError(lambda: self.timeline.cells)
        self.tries_drafts = True  # where nobody says otherwise; the magics set it
        self.chats = Chats(self.current, self.timeline, self.answers, self.archive)

    @overload
    def __call__(self, prompt: str, **options: Unpack[PromptOptions]) -> Completion: ...
    @overload
    def __call__(
        self, prompt: str, *, schema: type[T], **options: Unpack[PromptOptions]
    ) -> ShapedAnswer[T]: ...
    @overload
    def __call__(self, prompt: str, **options: Unpack[AnswerOptions]) -> ShapedAnswer[Any]: ...
    def __call__(self, prompt: str, **options: Any) -> Any:
        """Answer one prompt, without a memory of others.

        With a shape the answer is a `ShapedAnswer` with a Python object as its `value`: `schema` is
        a type, a JSON Schema, or short as in `"name, age int"`, `choices` are what to choose from,
        and a `regex` or a `grammar` (of Lark's kind) describes the whole text. `reason=80` lets the
        model write so many tokens of free text before that, `think=True` its thoughts. A shape says
        where the answer ends, so neither `stop` nor `ignore_eos` goes with it. With `retries=2` a
        value that the type's own validator refuses is asked for again, twice at most.

        Raises
        ------
        ShapeError
            The answer was cut off before it was whole, or is not of that shape.
        """
        return self.stream(prompt, **options).result()

    @overload
    def stream(self, prompt: AnyPrompt, **options: Unpack[PromptOptions]) -> Stream: ...
    @overload
    def stream(self, prompt: AnyPrompt, **options: Unpack[AnswerOptions]) -> ShapedStream[Any]: ...
    def stream(self, prompt: AnyPrompt, *, model: str | None = None, **options: Any) -> Any:
        """Answer one prompt piece by piece: iterate over the chunks.

        With `raw=True` the model continues the text as it is, without a chat template; so it does
        with a `RawPrompt`. A stream with a shape has `partials()`, too: the value as far as it is
        whole.
        """
        from jupyter_llm.ask.question import Question

        question = Question.one(prompt, options)
        return question.ask(self.current.get(model), self.answers)

    @overload
    async def acomplete(
        self, prompt: AnyPrompt, **options: Unpack[PromptOptions]
    ) -> Completion: ...
    @overload
    async def acomplete(
        self, prompt: AnyPrompt, **options: Unpack[AnswerOptions]
    ) -> ShapedAnswer[Any]: ...
    async def acomplete(
        self, prompt: AnyPrompt, *, model: str | None = None, **options: Any
    ) -> Completion | ShapedAnswer[Any]:
        """Answer one prompt while the event loop goes on; cancelling the task stops the model."""
        from jupyter_llm.ask.question import Question

        question = Question.one(prompt, options)
        return await question.wait(partial(self.current.get, model), self.answers)

    def complete(
        self,
        prompt: AnyPrompt,
        *,
        model: str | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Completion:
        """Continue raw text as it is, without a chat template.

        `<|im_end|>` and the like are plain text in it: a `RawPrompt` has control tokens where it
        says `Special`.
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
        from jupyter_llm.ask.many import run_batch
        from jupyter_llm.ask.question import Question

        if not (questions := Question.several(several(prompts), options)):
            return []
        engine = self.current.get(model)
        requests = [question.request for question in questions]
        return run_batch(engine, requests, lambda n, one: questions[n].answer(one, engine))

    def samples(
        self, prompt: AnyPrompt, n: int, **options: Unpack[PromptOptions]
    ) -> list[Completion]:
        """Answer one prompt `n` times, reading it once; see `batch`."""
        from jupyter_llm.ask.many import check_count

        return self.batch([prompt] * check_count("n", n), **options)

    def map(self, items: Any, template: str, **options: Unpack[MapOptions]) -> Any:
        """Ask the same of every row: of a list, a Series, a frame, an Arrow table, any iterable.

        In the template stand `{{column}}`s, or `{{item}}` where a row is one value; without any the
        row follows it. There comes back a value a row, as the same kind, in the same order, with
        the same index; of an object in a frame, a frame of its fields. Lists get the values as
        they are, columns of frames plain ones. A row with a missing value is not asked; it is null.

        Equal prompts are asked once, those that begin alike one after another, at a priority that
        chats do not feel. With a `seed` each row has its own, which follows from that and its
        prompt.

        Parameters
        ----------
        items
            The rows; of an iterable that has no end, `limit` says how many.
        template
            The prompt, with the columns that are put in.
        schema, choices, regex, grammar
            What each answer is to look like, as in `llm(…)`; without any it is free text.
        confidence
            Also give how likely each answer was, as a frame (of a list, mappings): `value` and
            `confidence`; of an object, its fields and a `…_confidence` for each that has one.
        on_error
            With "raise" all other rows are finished, and then `BatchError` has the column. With
            "null" rows that failed are null, and a frame says why in `error`.
        keep
            Answers are kept as they come: what was stopped, even by `kill -9`, goes on with the
            same call. False asks anew, and leaves nothing on the disk.
        limit
            Ask the first rows alone, and say how long all would take.
        calibrate
            Divide each choice by its mean probability over all rows: what a small model prefers
            anyway goes. It harms where one choice truly is the most frequent by far.
        client
            A `Client` of a Dask cluster: its workers answer the rows, each with the model of its
            own, which goes to where it is not. The rows may be a Dask frame, column or bag, which
            is read a partition at a time, and comes back as such.
        show_progress
            Is told how far it is; without it a line says so.
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
        """The rows of which something is true: `llm.filter(df, "{{text}} is about delays")`.

        They come as the same kind, with their index. Those are kept whose probability is at least
        `threshold`; with `probabilities=True` there comes a column of these instead, for all rows.
        The options are those of `map`: `check="larger model"` decides what is unsure.
        """
        from jupyter_llm.columns.operators import asking, filter_rows

        ask = asking(self.map, "filter", options)
        return filter_rows(ask, items, question, threshold=threshold, probabilities=probabilities)

    def top_k(self, items: Any, what: str, k: int, **options: Unpack[ColumnOptions]) -> Any:
        """The `k` rows that are most of something, best first: `llm.top_k(df, "urgent", 5)`.

        The model compares two at a time, in both orders: about six prompts a row where `k` is
        small. It comes out the same each time. The options are those of `map`.
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
        """Pairs of rows that belong together: `llm.join(a, b, "same firm")`.

        For each row of `left` the model is asked about the `candidates` rows of `right` whose
        vectors (see `embed`) are the likest. There come the columns of both and `probability`; of
        lists, mappings. The options are those of `map`.
        """
        from jupyter_llm.columns.operators import asking, join_rows

        ask = asking(self.map, "join", options)
        embed = partial(self.embed, client=options.get("client"))
        return join_rows(ask, embed, (left, right), what, candidates, threshold)

    def reduce(self, items: Any, instruction: str, **options: Unpack[ColumnOptions]) -> str:
        """One text of all rows, in their order: `llm.reduce(df.text, "Sum up")`.

        As many as the model can be told become one text, and those again, until there is one. Of
        no rows it is "". The options are those of `map`, but no row may fail.
        """
        from jupyter_llm.columns.map import placed
        from jupyter_llm.columns.operators import asking, reduce_rows

        ask = asking(self.map, "reduce", options)
        get = placed(self.current, options.get("client"))
        engine = get(options.get("model"), show=options.get("show_progress"))
        return reduce_rows(ask, engine, items, instruction, options.get("max_tokens"))

    async def amap(self, items: Any, template: str, **options: Unpack[MapOptions]) -> Any:
        """Ask the same of every row while the event loop goes on; see `map`.

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
        """Let the model answer a function that has no body; a decorator, with options or without.

        The docstring is the prompt, in which `{{name}}` stands for an argument; arguments that it
        does not name follow it. What the function returns is of the annotated type. `examples` are
        pairs of arguments and results: `[(("Great!",), "good")]`.
        """
        from jupyter_llm.columns.functions import ModelFunction

        make = partial(ModelFunction, llm=self, options=options)
        return make if function is None else make(function)

    def score(
        self,
        prompt: AnyPrompt,
        continuations: Iterable[str],
        *,
        system: str | None = None,
        model: str | None = None,
        raw: bool = False,
    ) -> list[Score]:
        """How likely each of some answers is, without writing any; all in one batch."""
        asked = chat_prompt(prompt, system, raw=raw)
        return self.current.get(model).score(asked, check_texts(continuations))

    def read_again(self, answer: Completion) -> Completion:
        """The same answer with its log-probabilities, where it was asked without `logprobs`.

        The model reads what it wrote behind its prompt; `.show_tokens()` shows what comes of it.

        Raises
        ------
        OptionError
            The prompt is not known any more, or the model not the same.
        """
        from jupyter_llm.records.verify import read_again

        return read_again(answer, self.current.named, self.answers.prompt_of)

    def embed(
        self, texts: Iterable[str], *, model: str | None = None, client: Any = None
    ) -> np.ndarray:
        """A vector of length one for each text, as an array (num_texts, n_embd).

        The dot product of two is their likeness. A model made for embedding does this best:
        `llm.use("name", role="embed")` lets it do so beside the model of the chats. For `client`
        see `map`.
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

        Returns at once; reading goes on while nothing else is to be done and no cell runs. With
        `pin=True` it stays resident when other prompts have to go. The sampling options tell, as
        for a prompt, whether it is wanted exactly.
        """
        request = request_of(prompt, system, raw=raw, is_pinned=pin, sampling=sampling)
        self.current.get(model).prefill(request)

    def chat(self, name: str | None = None, *, system: str | None = None) -> Chat:
        """The conversation of that name, or a new one of its own without a name.

        Names are shared with `%%llm --chat NAME`; plain `%%llm` cells talk in "default".
        """
        return self.chats.get(name, system=system)

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
        """Load a model by name or path and stay with it, or go to a server.

        The old model's memory is freed first; if the new one cannot be loaded, the old one is
        loaded again. With `role="task"` the model is for `/fix` and the like alone, with
        "complete" for code at the cursor, with "embed" for `embed`; it stays loaded beside that of
        the chats, while there is room. The options are those of
        `jupyter_llm.engine.options.EngineOptions`, such as `n_ctx=8192`;
        without a name they are for the model that is in use. `show_progress` is told how far it is;
        without it a line says so.

        `llm.use("http://gpu:8000/v1", model="qwen3-4b", api_key_env="GPU_KEY")` sends prompts, and
        what goes along with them, to a server that speaks OpenAI's protocol, from then on; the key
        is in that environment variable or keyring entry. With `allow=True` it is the server that
        the project's `pyproject.toml` names, which is asked about once.

        Raises
        ------
        ModelNotFoundError, ModelFileError, ModelLoadError, OptionError
        NotAllowedError, ServerError
        """
        return self.current.use(name, role=role, show=show_progress, allow=allow, **options)

    def alias(self, name: str, target: str | os.PathLike[str] | None, /, **options: Any) -> None:
        """Let a name stand for a model with loading options, on this machine; None takes it back.

        `default` stands for the model that is used where nothing else is chosen. It may be one of
        a server: `llm.alias("gpu", "http://gpu:8000/v1", model="qwen3-4b")`.

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
        """What each name that the user gave stands for."""
        from jupyter_llm.models.aliases import aliases

        return aliases()

    def pull(
        self,
        name: str,
        *,
        accept_licence: bool = False,
        show_progress: ShowProgress | None = None,
    ) -> Pulled:
        """Download a model from the Hugging Face hub, or go on where a pull was interrupted.

        It is a name from the catalogue, `owner/repo` or `owner/repo:quantization`, or the address
        of a page there. Nothing else uses the network, but for a server that `use` is told of.
        `accept_licence` accepts a licence with conditions, once. `show_progress` is told how far it
        is; without it a line says so.

        Raises
        ------
        DownloadError, LicenceError, DownloadInterrupted
        """
        from jupyter_llm.models.pull import pull

        return pull(name, accept_licence=accept_licence, show=show_progress)

    def unload(self, model: str | os.PathLike[str] | None = None) -> None:
        """Free the memory of all models, or of one. The next prompt loads what it needs again.

        Conversations stay. What one that is named did beside chats, the chats' model does again.
        """
        self.current.unload(model)

    def status(self) -> Status:
        """What is loaded and what it holds."""
        return self.current.status()

    def engine(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        show_progress: ShowProgress | None = None,
    ) -> Engine:
        """The engine of a model, which is loaded if it is not the resident one.

        Without a model it is the one that `use` chose, or else the default one. `show_progress` is
        told how far it is loaded; without it a line says so.
        """
        return self.current.get(model, show=show_progress)

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
        """What `fix`, `explain` and their like know of the notebook, and whom they ask.

        `show` is given the stream of each answer, to read it to its end. With `try_drafts` code is
        run in a sealed copy of the kernel before it is proposed; None does as is configured. With
        `is_kept=False` nothing of it is written to the disk; `params` are the sampling options as
        one value. What is asked follows a `former` proposal.
        """
        from jupyter_llm.tasks.task import Asking
        from jupyter_llm.tasks.tries import Tries

        is_allowed = self.tries_drafts if try_drafts is None else try_drafts
        asking = Asking(
            partial(self.current.get, model, role="task", show=show_progress),
            params or sampling_params(sampling),
            self.answers,
            show,
            is_private=not is_kept,
            show_progress=show_progress,
            tries=Tries.here(self.timeline, is_allowed=is_allowed, show_progress=show_progress),
            former=former,
        )
        return asking.task(self.timeline, self.last_error)

    def fix(
        self,
        cell: int | None = None,
        *,
        model: str | None = None,
        try_drafts: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Proposal:
        """Propose a change to the cell that caused the last error, or to cell In [`cell`].

        It never runs in your kernel unless you run it; drafts are tried in a sealed copy, as far
        as `try_drafts` says, or else as is configured.

        Raises
        ------
        MagicUsageError
            No cell has failed, there is no such cell, or no code in the answer.
        """
        from jupyter_llm.tasks.fix import fix

        task = self.task(model=model, try_drafts=try_drafts, **sampling)
        return fix(task, "" if cell is None else str(cell))

    def explain(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Completion:
        """Explain the last cell, a cell by its number, a name or a function, or "error"."""
        from jupyter_llm.tasks.explain import explain

        return explain(self.task(model=model, **sampling), _name_of(subject))

    def review(
        self, subject: object = "", *, model: str | None = None, **sampling: Unpack[SamplingOptions]
    ) -> Review:
        """Say what is wrong with a cell, a function or a class; the last cell by itself.

        By rules; a large model says something about the logic, too. Nothing runs.
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
        """Propose a docstring for a function, a class, or the only one in a cell.

        As `fix` explains, drafts may be tried.
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

        As `fix` explains, drafts may be tried.
        """
        from jupyter_llm.tasks.tests import write_tests

        task = self.task(model=model, try_drafts=try_drafts, **sampling)
        return write_tests(task, _name_of(subject))

    def write(
        self,
        prompt: str,
        *,
        model: str | None = None,
        context: ContextMode = "auto",
        try_drafts: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> CodeAnswer:
        """Write code that parses, without a memory of other prompts.

        The prompt includes cells and variables as `%%llm -f code` does; `context="none"` sends it
        alone. The code never runs in your kernel unless you run it; drafts are tried in a sealed
        copy, as far as `try_drafts` says, or else as is configured.
        """
        from jupyter_llm.chat.asked import Asked
        from jupyter_llm.notebook.cells.shell import user_namespace
        from jupyter_llm.notebook.values.variables import mentioned, without_at
        from jupyter_llm.tasks.tries import Tries
        from jupyter_llm.tasks.write import write_in_chat

        names = user_namespace()
        asked = Asked(
            prompt=without_at(check_text(prompt), names),
            model=model,
            named=mentioned(prompt, names),
            context=context,
            about=prompt,
            vars="none" if context == "none" else "auto",
            params=sampling_params(sampling),
        )
        is_allowed = self.tries_drafts if try_drafts is None else try_drafts
        tries = Tries.here(self.timeline, is_allowed=is_allowed)
        chat = self.chats.get()
        return write_in_chat(chat, asked, namespace=names, tries=tries)[0]

    def verify(
        self,
        notebook: str | os.PathLike[str] | None = None,
        *,
        show_progress: ShowProgress | None = None,
    ) -> VerifyReport:
        """Write answers again from their records and say which come out the same.

        They are the answers of this kernel, or those in a notebook file, whose prompts are known
        if they were asked on this machine. `show_progress` is told how far it is; without it a
        line says so.

        Raises
        ------
        NotebookFileError, PromptInterrupted
        """
        from pathlib import Path

        from jupyter_llm.notebook.files import read_notebook
        from jupyter_llm.records.answers import answers_in
        from jupyter_llm.records.verify import verify

        answers: Iterable[RecordedAnswer] = self.answers
        if notebook is not None:
            answers = answers_in(read_notebook(Path(notebook).expanduser()))
        return verify(answers, self.current.named, self.prompts.find, show=show_progress)


def _name_of(subject: object) -> str:
    """How a subject is called on a command line: functions go by their names."""
    return str(getattr(subject, "__qualname__", subject))


llm = LLM()
