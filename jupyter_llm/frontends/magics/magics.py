"""`%llm` and `%%llm`: parse the typed text and carry it out. Runs on the main thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from IPython.core.display_functions import display
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from traitlets import Bool, Enum, Float, Int, List, TraitType, Unicode, Union, observe

from jupyter_llm.api import llm
from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.question import ChatQuestion
from jupyter_llm.common.option import Option
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.completion import BatchError, Completion, PromptInterrupted
from jupyter_llm.errors import MagicUsageError, PanelFilesError
from jupyter_llm.frontends import views
from jupyter_llm.frontends.magics import answering
from jupyter_llm.frontends.magics.cell_runs import CellRuns
from jupyter_llm.frontends.magics.completion import matcher
from jupyter_llm.frontends.prompt.commands import (
    COMMANDS,
    Call,
    Command,
    Order,
    Shown,
    help_command,
    named,
)
from jupyter_llm.frontends.prompt.history import kept_note
from jupyter_llm.frontends.prompt.options import OPTIONS, Options, flags_in
from jupyter_llm.frontends.prompt.typed import Typed, read
from jupyter_llm.frontends.views import SilentView, View, make_view, show_interrupt
from jupyter_llm.models.discover import better_model_hint
from jupyter_llm.notebook.cells.recorder import Recorder
from jupyter_llm.notebook.cells.shell import parent_header
from jupyter_llm.notebook.code.landing import CellWriter, Page

OpenPanel = Callable[[Chat, ContextMode], object]
"""Makes a panel for a chat; the result is displayed."""

_INTRODUCTION = r"""`%llm PROMPT` sends one line, `%%llm` sends a cell, and `VAR << PROMPT` assigns
the answer to a variable. *Stop* ends an answer at once and keeps its text.

- The prompt includes the value of `{{expression}}`, which is evaluated once. Single braces, LaTeX
  and JSON are sent as typed; write `\{{` for two braces. `@name` includes a variable, `@In[3]` a
  cell with its outputs, and `@data/prices.csv` a file below the notebook's folder.
- Options come first, then the prompt. A first word that begins with `/` is a command; everything
  after `--` is the prompt. Options and commands complete on Tab.
- `%config LLMMagics` shows the defaults, and `%config LLMMagics.temperature = 0` sets one. So does
  `temperature = 0` below `[tool.jupyter_llm]` in a `pyproject.toml` beside or above the notebook.
- Loops and functions may contain `%llm` lines and `llm(...)`; `%%llm` needs a cell of its own.
"""

T = TypeVar("T", bound="TraitType[Any, Any]")

_WHERE = ("--below", "--replace")  # also allowed after commands that propose a cell
_PROPOSING = ("fix", "doc", "test")
_NUM_ROWS = 5  # rows of a column to show


def magic_commands(open_panel: OpenPanel) -> dict[str, Command]:
    """Return the commands by name; `/chat` shows the panel that `open_panel` makes."""

    def chat(call: Call) -> Shown:
        name = call.argument.strip("\"'")
        chat = call.llm.chat(name) if name else call.chat
        return Shown(rich=open_panel(chat, call.options.context))

    options = [
        (" ".join([", ".join(f"`{name}`" for name in o.names), o.metavar]), o.help) for o in OPTIONS
    ]
    table = markdown_table(("option", ""), options)
    commands = {
        **named(help_command(lambda: commands, _INTRODUCTION, table)),
        **COMMANDS,
        **named(Command("chat", "[NAME]", "show a panel to talk in, also while cells run", chat)),
    }
    return commands


def _setting(kind: T, help: str) -> T:  # noqa: A002  traitlets' word
    """Return a default that `%config` shows, explains and sets."""
    kind.help = help
    return kind.tag(config=True)


def _setting_of(option: Option) -> TraitType[Any, Any]:
    """Return the `%config` setting for the default of an option of prompts."""
    meaning = f"{option.help[:1].upper()}{option.help[1:]}"
    meaning += f"; None {option.unset}." if option.unset else "."
    match option.key:
        case "format":
            kind: TraitType[Any, Any] = Enum(option.words, option.default)
        case "context":
            kind = Union([Enum(option.words), Int(min=0)], default_value="auto")
        case "vars":
            kind = Union([Enum(option.words), List(Unicode())], default_value="auto")
        case _:
            made: Any = {float: Float, int: Int, bool: Bool}.get(option.kind, Unicode)
            is_text, limits = made is Unicode, {"min": option.low} if option.key == "reason" else {}
            default = (option.default or "") if is_text else option.default
            kind = made(default, allow_none=bool(option.unset), **limits)
    return _setting(kind, meaning)


_SETTINGS = {option.key: _setting_of(option) for option in OPTIONS if option.is_setting}
_Settings: Any = type("Settings", (Magics,), {"__doc__": "The settings of prompts.", **_SETTINGS})


@magics_class
class LLMMagics(_Settings):  # type: ignore[misc]  # mypy cannot see them
    """Prompts and commands for the resident model."""

    allow_remote = _setting(
        Bool(default_value=True),
        "Let text be sent to servers that you name; False, to none.",
    )
    system = _setting(Unicode(""), "System text of new chats.")
    try_drafts = _setting(
        Bool(default_value=True),
        "Try drafts of code in a sealed copy of the kernel, which can change nothing.",
    )
    idle_minutes = _setting(
        Float(None, allow_none=True, min=0.1),
        "Free the memory of models not used for so long, from 0.1 on; None keeps it.",
    )

    def __init__(
        self,
        shell: InteractiveShell,
        open_panel: OpenPanel,
        find_page: Callable[[], Page | None],
        open_page: Callable[[], Page],
        **kwargs: Any,
    ) -> None:
        super().__init__(shell, **kwargs)
        self.shell: InteractiveShell = shell
        self.commands = magic_commands(open_panel)
        self.recorder = Recorder(shell, llm.timeline)
        self.runs = CellRuns(lambda: self.defaults, self._chat)
        self.writer = CellWriter(
            shell, self._page, lambda: self.runs.running, on_write=llm.kept_runs.wrote
        )
        self._find_page, self._open_page = find_page, open_page
        self._opened: Page | None = None
        self.complete = matcher(self.commands)
        self._noted_chats: set[str] = set()  # chats whose stored turns were mentioned
        self._remarked = View()  # the last view with a remark

    @observe("idle_minutes")
    def _set_idle_time(self, _change: object) -> None:
        """Unload models after this time without use."""
        minutes = self.idle_minutes
        llm.current.idle_s = None if minutes is None else 60 * minutes

    @observe("allow_remote")
    def _set_remote(self, _change: object) -> None:
        """Allow or forbid sending text to servers, everywhere."""
        llm.current.allows_remote = self.allow_remote

    @observe("try_drafts")
    def _set_tries(self, _change: object) -> None:
        """Allow or forbid trying drafts, also in the Python API."""
        llm.tries_drafts = self.try_drafts

    @property
    def defaults(self) -> Options:
        """Return the options for lines that set none."""
        values = {name: getattr(self, name) for name in _SETTINGS}
        values["model"] = self.model or None
        values["vars"] = self.vars if isinstance(self.vars, str) else ",".join(self.vars)
        return Options(no_try=not self.try_drafts).with_line(values)

    def settle(self, *_info: object) -> None:
        """Remove the remark below the last answer (IPython's pre_run_cell).

        The page saves what it shows, and two runs of a notebook have to save the same.
        """
        view, self._remarked = self._remarked, View()
        with self.recorder.muted():
            view.remark("")

    def close(self) -> None:
        """Insert no more code."""
        self.writer.close()
        if self._opened is not None:
            self._opened.close()

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def llm(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> None:
        """Ask the resident model, or run a command; `%llm /help` explains both."""
        typed = read(
            line,
            cell or "",
            commands=self.commands,
            namespace={**self.shell.user_ns, **(local_ns or {})},
            snapshot=llm.timeline.snapshot(),
            defaults=self.defaults,
            notebook=llm.notebook.path,
        )
        with self.recorder.muted():  # an answer is a turn, not an output of the cell
            if isinstance(typed.what, Order):
                self._obey(typed.what, typed.options)
            elif typed.rows is not None:
                self._map(typed.what, typed)
            else:
                self._ask(typed.what, typed)

    def _obey(self, order: Order, options: Options) -> None:
        """Run a command, and show its result."""
        view, argument = self._view(options), order.argument
        where: frozenset[str] = frozenset()
        if order.command.name in (*_PROPOSING, "do"):
            self._page()
        if order.command.name in _PROPOSING:
            where, argument = flags_in(order.command.name, argument, _WHERE)
        call = Call(
            llm=llm,
            chat=self._chat(options),
            argument=argument,
            options=replace(options, replace=options.replace or "--replace" in where),
            show=lambda stream: views.watch(stream, view),
            show_progress=view.progress,
        )
        with self._interruptible(view):
            shown = order.command.run(call)
        completion = shown.completion
        if shown.proposal is not None:
            answering.propose(shown.proposal, call.options, view, self.writer)
            cell, page = shown.proposal.cell, self._find_page()
            if shown.proposal.only_runs and cell is not None and cell.cell_id and page is not None:
                page.show_fix(cell.cell_id)
        elif completion is not None:
            notes = filter(None, (views.remarks(completion), answering.cost(completion, options)))
            view.close(completion.text, "; ".join(notes), views.answer_metadata(completion))
        elif shown.rich is None:
            if options.format == "text":  # answers are; this is Markdown all the same
                view = self._view(replace(options, format="markdown"))
            view.close(shown.text, "")
        elif not options.quiet:
            display(shown.rich)
        if completion is not None:
            self._assign(completion, options)
            self._end(view, completion)
        elif names := " and ".join(filter(None, (options.assign_to, options.out))):
            raise MagicUsageError(
                f"/{order.command.name} has no answer to assign, so {names} is unchanged."
            )

    def _map(self, question: ChatQuestion, typed: Typed) -> None:
        """Ask for a column, and show its first rows."""
        options = typed.options
        if options.dry_run:
            raise MagicUsageError(
                "--dry-run shows one prompt, but --map sends one for each row. Use one of them."
            )
        try:
            column = llm.map(
                typed.rows,
                question.prompt,
                schema=question.shape,
                system=options.system or self.system or None,
                model=options.model,
                keep=not options.no_save,
                params=options.params,
            )
        except (BatchError, PromptInterrupted) as stopped:
            if stopped.best is not None:
                self._assign(stopped.best, options)
            raise
        self._assign(column, options)
        if not (options.assign_to or options.quiet):
            display(column.head() if hasattr(column, "head") else column[:_NUM_ROWS])

    def _ask(self, question: ChatQuestion, typed: Typed) -> None:
        """Answer a prompt, or show it for a dry run."""
        options = typed.options
        chat = self._chat(options)
        question = replace(question, cell=self.runs.next_origin())
        view = self._view(options, is_plain=question.shape is not None)
        if options.dry_run:
            with self._interruptible(view):
                answering.preview(chat, question, options, view)
            return
        if options.assign_to and not options.quiet:
            view = SilentView(view)
        is_noted = options.continue_ or options.chat in self._noted_chats
        kept = "" if is_noted else kept_note(chat)
        if options.format == "code" or options.below:
            self._page()
        arguments = (chat, question, options, view, self.writer, typed.remark)
        with self._interruptible(view, options if question.shape is None else None):
            if options.format == "code":
                value: object = (completion := answering.write_code(*arguments))
            else:
                completion, value = answering.write(*arguments)
            self._assign(value, options)
            self._end(view, completion, kept)
        is_shown = options.show_tokens and not (options.assign_to or options.quiet)
        if is_shown and completion.text:
            display(llm.read_again(completion).show_tokens())
        self._noted_chats.add(options.chat)

    @contextmanager
    def _interruptible(self, view: View, options: Options | None = None) -> Iterator[None]:
        """Report an interrupt in one line, and keep the text so far."""
        try:
            yield
        except PromptInterrupted as interrupt:
            if interrupt.completion is None or interrupt.best is not None:
                show_interrupt(interrupt, view)
            if interrupt.completion is not None and options is not None:
                self._assign(interrupt.completion, options)
            raise
        except KeyboardInterrupt:
            early = PromptInterrupted()
            show_interrupt(early, view)
            raise early from None
        finally:
            view.clear()

    def _page(self) -> Page | None:
        """Return the page that shows the notebook, if it allows changes of cells.

        A page that does not connect by itself has to be opened in advance.
        """
        if "deletedCells" not in parent_header(self.shell).get(
            "metadata", ()
        ):  # such pages send it
            return None
        if (page := self._find_page()) is not None:
            return page
        if self._opened is None:
            with suppress(PanelFilesError):
                self._opened = self._open_page()
        return self._opened

    def _view(self, options: Options, *, is_plain: bool = False) -> View:
        if options.quiet and not options.dry_run:
            return View()
        is_markdown = not (is_plain or options.format == "text" or options.dry_run)
        mime = "text/markdown" if is_markdown else "text/plain"
        return make_view(self.shell, mime, self._clear_cell)

    def _clear_cell(self) -> bool:
        """Empty the cell if it shows only the progress of its only prompt."""
        is_ours = self.runs.is_single_prompt and not self.recorder.has_output
        if is_ours:
            self.shell.display_pub.clear_output()
        return is_ours

    def _chat(self, options: Options) -> Chat:
        chat = llm.chat(options.chat)
        if not chat.turns or chat.restored:
            chat.begin_with(self.system or None)
        return chat

    def _end(self, view: View, completion: Completion, remark_first: str = "") -> None:
        """Show a remark that is not saved, if a person is present."""
        self.settle()
        content = parent_header(self.shell).get("content", {})
        is_read = content.get("allow_stdin", True)  # otherwise nobody is there
        if is_read and (
            remark := "; ".join(filter(None, (remark_first, better_model_hint(completion.model))))
        ):
            view.remark(remark)
            self._remarked = view

    def _assign(self, value: object, options: Options) -> None:
        for name in (options.assign_to, options.out):
            if name:
                self.shell.user_ns[name] = value
