"""`%llm` and `%%llm`: what was typed is read, and carried out. Runs on the main thread."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from IPython.core.display_functions import display
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from traitlets import Bool, Enum, Float, Int, List, Unicode, Union, observe

from jupyter_llm.api import llm
from jupyter_llm.chat.budget import MODES
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import MagicUsageError, PanelFilesError
from jupyter_llm.frontends.magics.answering import Answering, cost
from jupyter_llm.frontends.magics.cell_runs import CellRuns
from jupyter_llm.frontends.magics.commands import magic_commands
from jupyter_llm.frontends.magics.completion import matcher
from jupyter_llm.frontends.magics.inspection import Inspection
from jupyter_llm.frontends.prompt.attaching import of_cell
from jupyter_llm.frontends.prompt.commands import Call, Order
from jupyter_llm.frontends.prompt.history import kept_note
from jupyter_llm.frontends.prompt.options import FORMATS, Options
from jupyter_llm.frontends.prompt.typed import Reader
from jupyter_llm.frontends.views import (
    SilentView,
    View,
    answer_metadata,
    cut_off,
    make_view,
    show_interrupt,
    watch,
)
from jupyter_llm.notebook.cells.recorder import Recorder
from jupyter_llm.notebook.code.page import PageInput
from jupyter_llm.tasks.proposal import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.chat.asked import Asked
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.frontends.magics.commands import OpenPanel
    from jupyter_llm.notebook.code.page import Page

_DEFAULTS = SamplingParams()
_WHERE = {"--below", "--replace"}  # also behind commands that propose a cell
_PROPOSING = ("fix", "doc", "test")


@magics_class
class LLMMagics(Magics):
    """Prompts and commands for the resident model."""

    model = Unicode("", help="Model name or path; empty for the resident or default one.").tag(
        config=True
    )
    system = Unicode("", help="System text of new chats.").tag(config=True)
    temperature = Float(
        None,
        allow_none=True,
        help="0 takes the likeliest token; None, here and below, is as the model recommends.",
    ).tag(config=True)
    top_p = Float(None, allow_none=True, help="Probability to draw from.").tag(config=True)
    top_k = Int(None, allow_none=True, help="Number of tokens to draw from; 0 for all.").tag(
        config=True
    )
    min_p = Float(None, allow_none=True, help="Least probability, relative to the likeliest.").tag(
        config=True
    )
    repeat_penalty = Float(None, allow_none=True, help="Above 1 avoids repetition.").tag(
        config=True
    )
    may_repeat = Bool(
        default_value=False, help="Write on where the text has begun to repeat itself."
    ).tag(config=True)
    think = Bool(
        None, allow_none=True, help="Think before answers; None is as the chat template has it."
    ).tag(config=True)
    seed = Int(None, allow_none=True, help="Seed; None draws one.").tag(config=True)
    max_tokens = Int(
        _DEFAULTS.max_tokens,
        allow_none=True,
        help="Longest answer, thoughts included; four times the default where a model can think.",
    ).tag(config=True)
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
    try_drafts = Bool(
        default_value=True,
        help="Try drafts of code in a sealed copy of the kernel, which can change nothing.",
    ).tag(config=True)
    idle_minutes = Float(
        None,
        allow_none=True,
        min=0.1,
        help="Free the memory of models not used for so long, from 0.1 on; None keeps it.",
    ).tag(config=True)
    stats = Bool(default_value=False, help="Show token counts and times.").tag(config=True)

    def __init__(
        self,
        shell: InteractiveShell,
        open_panel: OpenPanel,
        open_page: Callable[[], Page],
        **kwargs: Any,
    ) -> None:
        super().__init__(shell, **kwargs)
        self.shell: InteractiveShell = shell
        self.commands = magic_commands(open_panel)
        self.recorder = Recorder(shell, llm.timeline)
        self.runs = CellRuns(lambda: self.defaults, self._chat)
        self.writer = PageInput(shell, self._page, lambda: self.runs.running)
        self._open_page = open_page
        self._opened: Page | None = None
        self.complete = matcher(self.commands)
        kernel = getattr(shell, "kernel", None)
        self._inspection = Inspection(kernel, self.commands) if kernel is not None else None
        self._told: set[str] = set()  # chats of which it was said what was kept of them

    @observe("idle_minutes")
    def _rest(self, _change: object) -> None:
        """Let models go once they were not used for so long."""
        minutes = self.idle_minutes
        llm.current.idle_s = None if minutes is None else 60 * minutes

    @observe("try_drafts")
    def _let_try(self, _change: object) -> None:
        """Let drafts be tried, or not, by the Python API too."""
        llm.tries_drafts = self.try_drafts

    @property
    def defaults(self) -> Options:
        """What holds where a line says nothing."""
        drawn = {f.name: getattr(self, f.name) for f in fields(_DEFAULTS) if self.has_trait(f.name)}
        return Options(
            model=self.model or None,
            params=SamplingParams(**drawn),
            format=self.format,
            context=self.context,
            vars=self.vars if isinstance(self.vars, str) else ",".join(self.vars),
            chat=self.chat,
            no_try=not self.try_drafts,
            stats=self.stats,
        )

    def close(self) -> None:
        """Let nothing land any more."""
        self.writer.close()
        if self._inspection is not None:
            self._inspection.close()
        if self._opened is not None:
            self._opened.close()

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def llm(
        self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> None:
        """Ask the resident model, or run a command; `%llm /help` explains both."""
        reader = Reader(
            commands=self.commands,
            namespace={**self.shell.user_ns, **(local_ns or {})},
            cells=llm.timeline.snapshot().visible,
            defaults=self.defaults,
        )
        typed = reader.read(line, cell or "")
        with self.recorder.unheard():  # an answer is a turn and no output of the cell
            if isinstance(typed.what, Order):
                self._obey(typed.what, typed.options)
            else:
                self._ask(typed.what, typed.options, typed.remark)

    def _obey(self, order: Order, options: Options) -> None:
        """Run a command, and show what it answers."""
        if options.dry_run:
            raise MagicUsageError(
                f"--dry-run shows a prompt, and /{order.command.name} is a command.",
                "Nothing was done.",
            )
        view, words = self._view(options), order.argument.split()
        where: set[str] = set()
        if order.command.name in _PROPOSING:
            flags = [word for word in words if word.startswith("--")]
            where = _WHERE.intersection(flags)
            for flag in flags:
                if flag not in _WHERE:
                    hint = nearest(flag, sorted(_WHERE), "Options stand before the command.")
                    raise MagicUsageError(f"/{order.command.name} does not know {flag}.", hint)
            self._page()
        call = Call(
            llm=llm,
            chat=self._chat(options),
            argument=" ".join(w for w in words if w not in where) if where else order.argument,
            options=replace(options, replace=options.replace or "--replace" in where),
            show=lambda stream: watch(stream, view),
            show_progress=view.progress,
        )
        with self._interruptible(view):
            answer = order.command.run(call)
        completion = answer if isinstance(answer, Completion) else None
        if isinstance(answer, str):
            if not options.quiet:
                self._tell(answer)
        elif isinstance(answer, Proposal):
            completion = answer.completion
            self._answering(call.options, view).propose(answer)
        elif completion is not None:
            notes = filter(None, (cut_off(completion), cost(completion, options)))
            view.close(completion.text, "; ".join(notes), answer_metadata(completion))
        elif not options.quiet:
            display(answer)
        if completion is not None:
            self._assign(completion, options)
        elif names := " and ".join(filter(None, (options.assign_to, options.out))):
            raise MagicUsageError(
                f"/{order.command.name} gave no completion, so {names} is as it was."
            )

    def _ask(self, asked: Asked, options: Options, remark: str) -> None:
        """Answer a prompt, or show it if that is all that is wanted."""
        chat = self._chat(options)
        asked = of_cell(asked, chat, self.runs.next_origin())
        view = self._view(options)
        if options.dry_run:
            with self._interruptible(view):
                self._answering(options, view).preview(chat, asked)
            return
        if options.assign_to and not options.quiet:
            view = SilentView(view)
        is_told = options.continue_ or options.chat in self._told
        note = "; ".join(filter(None, (remark, "" if is_told else kept_note(chat))))
        answering = self._answering(options, view, note)
        answer = answering.write_code if options.format == "code" else answering.write
        if options.format == "code" or options.below:
            self._page()
        with self._interruptible(view, options):
            self._assign(answer(chat, asked), options)
        self._told.add(options.chat)

    @contextmanager
    def _interruptible(self, view: View, options: Options | None = None) -> Iterator[None]:
        """Turn an interrupt into one line, and keep what was written by then."""
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

    def _answering(self, options: Options, view: View, note: str = "") -> Answering:
        return Answering(
            options, view, self.writer, self.shell.user_ns, note, has_cells=self.runs.has_cells
        )

    def _page(self) -> Page | None:
        """The page that shows the notebook, where there is one that lets its cells be changed.

        It has to be opened a while before something is wanted of it.
        """
        parent = getattr(self.shell, "parent_header", None) or {}
        if "deletedCells" not in parent.get("metadata", ()):  # which the pages that do so send
            return None
        if self._opened is None:
            with suppress(PanelFilesError):
                self._opened = self._open_page()
        return self._opened

    def _tell(self, markdown: str) -> None:
        make_view(self.shell, "text/markdown").close(markdown, "")

    def _view(self, options: Options) -> View:
        if options.quiet and not options.dry_run:
            return View()
        is_markdown = options.format != "text" and not options.dry_run
        mime = "text/markdown" if is_markdown else "text/plain"
        return make_view(self.shell, mime, self._clear_cell)

    def _clear_cell(self) -> bool:
        """Empty the cell, where it shows nothing but how far its only prompt is."""
        is_ours = self.runs.is_one_prompt and not self.recorder.has_heard
        if is_ours:
            self.shell.display_pub.clear_output()
        return is_ours

    def _chat(self, options: Options) -> Chat:
        chat = llm.chat(options.chat)
        if not chat.turns or chat.num_restored:
            chat.begin_with(self.system or None)
        return chat

    def _assign(self, completion: Completion, options: Options) -> None:
        for name in (options.assign_to, options.out):
            if name:
                self.shell.user_ns[name] = completion
