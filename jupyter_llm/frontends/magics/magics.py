"""`%llm` and `%%llm`: parse, call the API, show. Runs on the main thread."""

from __future__ import annotations

import logging
import re
import tokenize
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.display_functions import display
from IPython.core.inputtransformer2 import EscapedCommand
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from traitlets import Bool, Enum, Float, Int, List, TraitError, Unicode, Union

from jupyter_llm.api import llm
from jupyter_llm.chat.budget import MODES, ContextMode
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import count_of
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.magics.commands import OpenPanel, magic_commands
from jupyter_llm.frontends.prompt.attaching import ASK_S, describer, expander
from jupyter_llm.frontends.prompt.commands import Call, find_command
from jupyter_llm.frontends.prompt.history import restored_note
from jupyter_llm.frontends.prompt.options import (
    FORMATS,
    PromptLine,
    complete_option,
    parse_line,
    pending_option,
)
from jupyter_llm.frontends.views import NoView, answer_metadata, make_view, show_interrupt, watch
from jupyter_llm.models.discover import list_models
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.cells.recorder import Recorder
from jupyter_llm.notebook.cells.shell import own_variables
from jupyter_llm.notebook.code.landing import NextInput
from jupyter_llm.notebook.values.mentions import without_at
from jupyter_llm.records.records import to_metadata
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.write import code_cells, code_prompt, land

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import (
        ExecutionInfo,
        ExecutionResult,
        InteractiveShell,
    )

    from jupyter_llm.chat.conversation import Chat, Describe
    from jupyter_llm.chat.store import SavedChat
    from jupyter_llm.engine.provenance import Provenance
    from jupyter_llm.frontends.prompt.commands import Command
    from jupyter_llm.frontends.prompt.options import Variables
    from jupyter_llm.frontends.views import View

logger = logging.getLogger(__name__)

_DEFAULTS = SamplingParams()
_SAMPLING_DEFAULTS = {field.name: getattr(_DEFAULTS, field.name) for field in fields(_DEFAULTS)}
_MAGIC = re.compile(r"\s*%%?llm(\s.*)", re.DOTALL)
_MIMES = {"markdown": "text/markdown", "code": "text/markdown", "text": "text/plain"}
_PLACES = ("--below", "--replace")
_PROPOSING = ("fix", "doc", "test")  # commands that write a cell
_READ_AHEAD_S = 0.1  # that the user's own `repr`s may take where nobody waits for us


@dataclass(slots=True, eq=False)
class _CellRun:
    """One run of a cell, and how many prompts it has sent."""

    cell_id: Hashable
    num_calls: int = 0


@magics_class
class LLMMagics(Magics):
    """Prompts and commands for the resident model."""

    model = Unicode("", help="Model name or path; empty for the resident or default one.").tag(
        config=True
    )
    system = Unicode("", help="System text of new chats.").tag(config=True)
    temperature = Float(_DEFAULTS.temperature, help="0 takes the likeliest token.").tag(config=True)
    top_p = Float(_DEFAULTS.top_p, help="Probability to draw from.").tag(config=True)
    top_k = Int(_DEFAULTS.top_k, help="Number of tokens to draw from; 0 for all.").tag(config=True)
    min_p = Float(_DEFAULTS.min_p, help="Least probability, relative to the likeliest.").tag(
        config=True
    )
    repeat_penalty = Float(_DEFAULTS.repeat_penalty, help="Above 1 avoids repetition.").tag(
        config=True
    )
    seed = Int(None, allow_none=True, help="Seed; None draws one.").tag(config=True)
    max_tokens = Int(_DEFAULTS.max_tokens, allow_none=True, help="Longest answer.").tag(config=True)
    format = Enum(FORMATS, "markdown", help="How answers are shown.").tag(config=True)
    context = Union(
        [Enum(MODES), Int(min=0)],
        default_value="auto",
        help="Which cells go along: auto, none, all, or the last so many.",
    ).tag(config=True)
    vars = Union(
        [Enum(("auto", "none")), List(Unicode())],
        default_value="auto",
        help="Which variables go along: auto, none, or a list of names.",
    ).tag(config=True)
    chat = Unicode("default", help="The conversation to talk in.").tag(config=True)
    stats = Bool(default_value=False, help="Show token counts and times.").tag(config=True)

    def __init__(self, shell: InteractiveShell, open_panel: OpenPanel, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self.commands = magic_commands(open_panel)
        self.shell: InteractiveShell = shell
        self.recorder = Recorder(shell, llm.timeline)
        self.writer = NextInput(shell)
        self._restored: dict[str | None, SavedChat] = {}  # of an earlier kernel; not told yet
        self._runs: list[_CellRun] = []  # the cells that run now, the innermost last

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def llm(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> None:
        """Ask the resident model, or run a command; `%llm /help` explains both."""
        with self.recorder.unheard():  # an answer is a turn and no output of the cell
            self._run(line, cell, local_ns or {})

    def _run(self, line: str, cell: str | None, local_ns: dict[str, Any]) -> None:
        namespace = {**self.shell.user_ns, **local_ns}
        expand = expander(namespace)
        parsed = parse_line(line, expand)
        prompt = parsed.prompt if cell is None else f"{parsed.prompt}\n{cell}".strip()
        chat = self._chat(parsed)
        found = None if parsed.is_literal else find_command(prompt, self.commands)
        if found is not None:
            command, argument = found
            self._obey(command, expand(argument), parsed, chat)
            return
        # As it was typed: an @ in a value that is put in means nothing.
        describe = self._describe(parsed, prompt)
        prompt = expand(without_at(prompt, namespace))
        check_text(prompt)
        self._ask(parsed, chat, prompt, describe)

    def _obey(self, command: Command, argument: str, parsed: PromptLine, chat: Chat) -> None:
        """Run a command, and show what it answers."""
        words = argument.split()
        place = {word for word in words if word in _PLACES} if command.name in _PROPOSING else set()
        argument = " ".join(w for w in words if w not in place) if place else argument
        view = self._view(parsed)
        task = partial(
            llm.task,
            model=self._model(parsed),
            show=lambda stream: watch(stream, view),
            show_progress=view.progress,
            **self._sampling(parsed),
        )
        with self._interruptible(view):
            answer = command.run(Call(llm, chat, argument, self._mode(parsed), task))
        in_place = "--replace" in place or bool(parsed.options.get("replace"))
        if isinstance(answer, str):
            self._show_markdown(answer)
        elif isinstance(answer, Proposal):
            self._show_proposal(answer, view, in_place=in_place)
        elif isinstance(answer, Completion):
            view.close(answer.text, self._cost(parsed, answer), answer_metadata(answer))
            self._assign(parsed, answer)
        else:
            display(answer)

    def _show_proposal(self, proposal: Proposal, view: View, *, in_place: bool) -> None:
        note = ""
        records: list[Provenance] = []
        if proposal.diff or proposal.cell is None:
            made = proposal.completion
            note, records = land(self.writer, [proposal.source], made, in_place=in_place)
        view.close(str(proposal), note, to_metadata(records))

    def _ask(self, parsed: PromptLine, chat: Chat, prompt: str, describe: Describe | None) -> None:
        settings: dict[str, Any] = dict(
            self._sampling(parsed),
            system=parsed.options.get("system"),
            is_new=parsed.options.get("new", False),
            origin=self._next_origin(),
            context=self._mode(parsed),
            describe=describe,
        )
        is_code = parsed.options.get("format", self.format) == "code"
        if parsed.options.get("dry_run"):
            self._show_prompt(chat, code_prompt(prompt) if is_code else prompt, parsed, settings)
            return
        settings.update(model=self._model(parsed), is_kept=not parsed.options.get("no_save"))
        is_quiet = parsed.options.get("quiet") or parsed.assign_to
        view = NoView() if is_quiet else self._view(parsed)
        with self._interruptible(view, parsed):
            answer = self._write_code if is_code else self._write
            self._assign(parsed, answer(parsed, chat, prompt, view, settings))

    def _write(
        self, parsed: PromptLine, chat: Chat, prompt: str, view: View, settings: dict[str, Any]
    ) -> Completion:
        with chat.stream(prompt, show_progress=view.progress, **settings) as stream:
            completion = watch(stream, view)
        notes = self._notes(parsed, chat, completion)
        records: list[Provenance] = []
        if parsed.options.get("below") or parsed.options.get("replace"):
            is_cut_off = completion.finish_reason != "stop"
            cells = code_cells(completion.text, self.shell.user_ns, is_cut_off=is_cut_off)
            sources = [cell.source for cell in cells]
            place, records = self._land(parsed, sources, completion)
            notes.insert(0, place or "there is no code in the answer")
        own = [completion.provenance] if completion.provenance is not None else []
        view.close(completion.text, "; ".join(notes), to_metadata([*own, *records]))
        return completion

    def _write_code(
        self, parsed: PromptLine, chat: Chat, prompt: str, view: View, settings: dict[str, Any]
    ) -> Completion:
        answer = chat.write_code(
            prompt,
            namespace=self.shell.user_ns,
            show=lambda stream: watch(stream, view),
            show_progress=view.progress,
            **settings,
        )
        place, records = self._land(parsed, answer.sources, answer.completion)
        notes = [place, answer.note, *self._notes(parsed, chat, answer.completion)]
        view.close(answer.text, "; ".join(filter(None, notes)), to_metadata(records))
        return replace(answer.completion, text="\n\n".join(answer.sources), token_ids=None)

    def _land(
        self, parsed: PromptLine, sources: Sequence[str], completion: Completion
    ) -> tuple[str, list[Provenance]]:
        in_place = bool(parsed.options.get("replace"))
        return land(self.writer, sources, completion, in_place=in_place)

    @contextmanager
    def _interruptible(self, view: View, parsed: PromptLine | None = None) -> Iterator[None]:
        """Turn an interrupt into one line, and keep what was written by then."""
        try:
            yield
        except PromptInterrupted as interrupt:
            if interrupt.completion is None:
                show_interrupt(interrupt, view)
            elif parsed is not None:
                self._assign(parsed, interrupt.completion)
            raise
        except KeyboardInterrupt:
            early = PromptInterrupted()
            show_interrupt(early, view)
            raise early from None

    def _view(self, parsed: PromptLine) -> View:
        return make_view(self.shell, _MIMES[parsed.options.get("format", self.format)])

    def _model(self, parsed: PromptLine) -> str | None:
        return parsed.options.get("model", self.model) or None

    def _sampling(self, parsed: PromptLine) -> dict[str, Any]:
        return {
            name: parsed.options.get(name, getattr(self, name, default))
            for name, default in _SAMPLING_DEFAULTS.items()
        }

    def _chat(self, parsed: PromptLine) -> Chat:
        name = parsed.options.get("chat", self.chat)
        is_known = any(chat.name == name for chat in llm.chats)
        chat = llm.chat(name)
        if not is_known and chat.turns:
            self._restored[name] = chat.saved()
        if not chat.turns and chat.system is None:
            chat.system = self.system or None
        return chat

    def _mode(self, parsed: PromptLine) -> ContextMode:
        mode: ContextMode = parsed.options.get("context", self.context)
        return mode

    def _describe(self, parsed: PromptLine, prompt: str, deadline_s: float = ASK_S) -> Describe:
        """Return what summarises the variables that go along with a prompt.

        Where no cells go along no variables do, but for those that are asked for by name.
        """
        usual: Variables = "none" if self._mode(parsed) == "none" else self.vars
        wanted = parsed.options.get("vars", usual)
        choice = wanted if isinstance(wanted, str) else ",".join(wanted)
        variables = partial(own_variables, self.shell)
        return describer(prompt, variables, choice=choice, deadline_s=deadline_s)

    def _next_origin(self) -> Hashable:
        """Return what tells this prompt from the others of its cell, the same on a re-run."""
        if not self._runs or self._runs[-1].cell_id is None:
            return None
        run = self._runs[-1]
        run.num_calls += 1
        return (run.cell_id, run.num_calls)

    def _assign(self, parsed: PromptLine, completion: Completion) -> None:
        for name in (parsed.assign_to, parsed.options.get("out")):
            if name:
                self.shell.user_ns[name] = completion

    def _notes(self, parsed: PromptLine, chat: Chat, completion: Completion) -> list[str]:
        notes = []
        if completion.finish_reason == "length":
            notes.append(
                f"cut off after {completion.usage.completion_tokens} tokens; "
                "-n allows more, as far as the context window reaches"
            )
        notes += self._left_out(chat, self._mode(parsed))
        if (restored := self._restored.pop(chat.name, None)) is not None:
            notes.append(restored_note(restored))
        if cost := self._cost(parsed, completion):
            notes.append(cost)
        return notes

    def _cost(self, parsed: PromptLine, completion: Completion) -> str:
        if not parsed.options.get("stats", self.stats):
            return ""
        seed = f"; seed {completion.seed}" if completion.seed is not None else ""
        return f"{completion.usage}{seed}"

    @staticmethod
    def _left_out(chat: Chat, mode: ContextMode) -> Iterator[str]:
        """Say how much the prompt left out, if anything; `/context` tells what."""
        num_turns, num_cells = chat.num_left_out, len(chat.cells_left_out)
        if isinstance(mode, int):
            num_cells = 0
            total = len(llm.timeline.snapshot().visible)
            if total > mode:
                yield f"told the last {mode} of {total} cells"
        gone = [count_of(n, what) for n, what in ((num_turns, "turn"), (num_cells, "cell")) if n]
        if gone:
            yield f"the chat's first {' and '.join(gone)} no longer fit and were left out"

    def _show_prompt(
        self, chat: Chat, prompt: str, parsed: PromptLine, settings: dict[str, Any]
    ) -> None:
        view = make_view(self.shell, "text/plain")
        engine = llm.current.get(self._model(parsed), show=view.progress)
        messages = chat.preview(engine, prompt, **settings)
        text = engine.format(messages)
        count, n_ctx = engine.count_tokens(messages), engine.info.n_ctx
        view.close(text, f"{count} tokens of {n_ctx}, for {engine.info.name}; nothing was run")

    def _show_markdown(self, text: str) -> None:
        make_view(self.shell, "text/markdown").close(text, "")

    def start_cell(self, info: ExecutionInfo) -> None:
        """Note which cell runs (IPython's pre_run_cell).

        What runs inside a cell without an id of its own, as under `%%capture`, counts as the cell.
        """
        llm.current.hold_background(is_held=True)
        cell_id = getattr(info, "cell_id", None)
        if cell_id is not None:
            self._runs = [_CellRun(cell_id)]
        else:
            self._runs.append(self._runs[-1] if self._runs else _CellRun(None))

    def end_cell(self, result: ExecutionResult | None) -> None:
        """Forget what this cell asked before and asks no more (IPython's post_run_cell)."""
        run = self._runs.pop() if self._runs else _CellRun(None)  # it began before we were loaded
        if run not in self._runs:
            llm.current.hold_background(is_held=False)
            self._read_ahead()
            llm.archive.flush()
        if result is None:  # a cell with `await` was broken off
            return
        if run in self._runs or run.cell_id is None or not run.num_calls or not result.success:
            return
        for chat in llm.chats:
            chat.forget(lambda o: o is not None and o[0] == run.cell_id and o[1] > run.num_calls)

    def _read_ahead(self) -> None:
        """Let the resident model read the cells that the next prompt tells."""
        engine = llm.current.resident
        if engine is None or self.context != "auto":
            return
        try:
            describe = self._describe(PromptLine(), "", deadline_s=_READ_AHEAD_S)
            self._chat(PromptLine()).read_ahead(engine, describe)
        except Exception:  # whoever ran the cell asked for nothing
            logger.debug("The cells could not be read ahead", exc_info=True)

    @context_matcher(identifier="LLMMagics.complete")  # type: ignore[untyped-decorator]
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete options, their values and commands on `%llm` lines."""
        match = _MAGIC.match(context.text_until_cursor)
        words = _words_at(match[1], self.commands) if match else None
        if words is None:
            return {"completions": []}
        fragment, candidates = words
        found = [word for word in candidates if word.startswith(fragment)]
        return {
            "completions": [SimpleCompletion(word, type="magic") for word in found],
            "matched_fragment": fragment,
            "suppress": bool(found),
        }


class _PromptLine(EscapedCommand):
    """Lets a `%llm` line end with a question mark, which IPython takes for a call for help."""

    priority = 4  # before IPython's HelpEnd; `%llm?` alone is left to it

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> _PromptLine | None:
        """Find the first `%llm PROMPT` in the tokens of a cell."""
        for line in tokens_by_line:
            tokens = [t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT)]
            if not tokens or tokens[0].string != "%":
                continue
            row, column = tokens[0].start
            if re.match(r"%llm\s+\S", tokens[0].line.splitlines()[0][column:]):
                return cls((row, column))
        return None


def load(shell: InteractiveShell, open_panel: OpenPanel) -> None:
    """Register the magics with a shell, with the defaults of the nearest pyproject.toml.

    `/chat` shows what `open_panel` makes.
    """
    magics = LLMMagics(shell, open_panel)
    path, defaults = _project_defaults(Path.cwd())
    for name, value in defaults.items():
        if name not in magics.trait_names(config=True):
            hint = nearest(name, magics.trait_names(config=True), "`%config LLMMagics` lists them.")
            raise MagicUsageError(f"{path}: [tool.jupyter_llm] has no setting {name!r}.", hint)
        if name in shell.config.LLMMagics:
            continue  # IPython's own configuration is the user's, the project's comes second
        try:
            setattr(magics, name, value)
        except TraitError as error:
            raise MagicUsageError(f"{path}: [tool.jupyter_llm] {name} is wrong: {error}") from None
    unload(shell)
    shell.register_magics(magics)
    llm.last_error.watch(shell)
    llm.archive.open(llm.notebook.path or notebook_path(shell.user_ns))
    magics.recorder.attach()  # before us: at the end of a cell we read what it has written down
    shell.Completer.custom_matchers.append(magics.complete)
    shell.input_transformer_manager.token_transformers.append(_PromptLine)
    shell.events.register("pre_run_cell", magics.start_cell)
    shell.events.register("post_run_cell", magics.end_cell)


def unload(shell: InteractiveShell) -> None:
    """Take the magics out of a shell; the model and its chats stay."""
    magics = shell.magics_manager.registry.pop("LLMMagics", None)
    if magics is None:
        return
    magics.writer.close()
    llm.last_error.unwatch(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("llm", None)
    shell.Completer.custom_matchers.remove(magics.complete)
    shell.input_transformer_manager.token_transformers.remove(_PromptLine)
    shell.events.unregister("pre_run_cell", magics.start_cell)
    shell.events.unregister("post_run_cell", magics.end_cell)
    magics.recorder.detach()
    shell.configurables.remove(magics)


def _words_at(before: str, names: Iterable[str]) -> tuple[str, list[str]] | None:
    """Return the word at the end of an option line and all it may become."""
    commands = [f"/{name}" for name in names]
    argument = re.fullmatch(r"\s*/use\s+(\S*)", before)
    if argument is not None:
        return argument[1], [entry.name for entry in list_models()]
    found = complete_option(before)
    if found is None:
        command = re.fullmatch(r"\s*(/\w*)", before)
        return (command[1], commands) if command is not None else None
    fragment, words = found
    values = _VALUES.get(pending_option(before) or "")
    return fragment, list(values()) if values is not None else words


_VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "model": lambda: (entry.name for entry in list_models()),
    "chat": lambda: (chat.name or "" for chat in llm.chats),
    "context": lambda: MODES,
    "vars": lambda: ("auto", "none"),
}


def _project_defaults(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the nearest pyproject.toml, upwards, and its [tool.jupyter_llm] table."""
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return path, {}  # not ours to complain about: other tools will
        return path, document.get("tool", {}).get("jupyter_llm", {})
    return None, {}
