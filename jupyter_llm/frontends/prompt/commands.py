"""Commands: a first word that starts with `/`, the same wherever people type prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.common.tables import count_of, human_size, markdown_table
from jupyter_llm.errors import MagicUsageError, ModelFileError
from jupyter_llm.frontends.prompt.history import (
    ARGUMENT as HISTORY_ARGUMENT,
)
from jupyter_llm.frontends.prompt.history import (
    HELP as HISTORY_HELP,
)
from jupyter_llm.frontends.prompt.history import (
    cleared,
    exported,
    kept_in_notebook,
    parse_history,
    shown,
)
from jupyter_llm.frontends.prompt.options import OPTIONS, nearest

if TYPE_CHECKING:
    from jupyter_llm.api import LLM
    from jupyter_llm.chat.context_report import ContextReport
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.base import Completion
    from jupyter_llm.engine.tuning.report import TuneReport
    from jupyter_llm.frontends.panel import ChatPanel
    from jupyter_llm.frontends.views import View
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.records.verify import VerifyReport
    from jupyter_llm.tasks.proposal import Proposal
    from jupyter_llm.tasks.situation import Situation

    Answer: TypeAlias = (
        str | TuneReport | ContextReport | VerifyReport | Completion | Proposal | ChatPanel
    )

T = TypeVar("T")

_COMMAND = re.compile(r"/([A-Za-z][\w-]*)(?=\s|$)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """A command somebody typed, and what it acts on."""

    llm: LLM
    chat: Chat
    argument: str
    context: ContextMode = "auto"
    situation: Callable[[], Situation] | None = None
    view: View | None = None  # where bars appear; they are printed without one

    def ask(self, task: Callable[[Situation, str], T]) -> T:
        """Carry out a task about the notebook."""
        situation = self.situation or self.llm.situation
        return task(situation(), self.argument)


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    `run` returns Markdown, which whoever shows it takes for untrusted; or a report that knows how
    to show itself and whose `str` is such Markdown; or what the model wrote, as a completion or as
    a proposal for a cell.
    """

    name: str
    argument: str
    help: str
    run: Callable[[Call], Answer]


def find_command(prompt: str) -> tuple[Command, str] | None:
    """Return the command a prompt consists of and its argument; None for an ordinary prompt.

    Raises
    ------
    MagicUsageError
        There is no command of that name.
    """
    match = _COMMAND.fullmatch(prompt.strip())
    if match is None:
        return None
    command = COMMANDS.get(match[1])
    if command is None:
        hint = nearest(match[1], list(COMMANDS), "`/help` lists them.")
        raise MagicUsageError(
            f"There is no command /{match[1]}.",
            f"{hint.replace('mean ', 'mean /')} A prompt may begin with a slash after --.",
        )
    argument = match[2].strip()
    if argument and not command.argument:
        raise MagicUsageError(f"/{command.name} takes nothing after it, not {argument[:40]!r}.")
    return command, argument


def command_table(*left_out: str) -> str:
    """Return all commands and what they do, as a Markdown table."""
    rows = [
        (f"`/{c.name}{' ' if c.argument else ''}{c.argument}`", c.help)
        for c in COMMANDS.values()
        if c.name not in left_out
    ]
    return markdown_table(("command", ""), rows)


_INTRODUCTION = r"""`%llm PROMPT` asks in one line, `%%llm` with a cell, `VAR << PROMPT` puts the
answer into a variable. *Stop* ends an answer at once and keeps its text.

- `{{expression}}` is evaluated once, and its value stands in the prompt. Single braces, LaTeX and
  JSON stay as typed; `\{{` is for two braces. `@name` lets a variable go along.
- Options come first, then the prompt. A first word that begins with `/` is a command, but after
  `--` all is prompt. Options and commands complete on Tab.
- `%config LLMMagics` shows the defaults, `%config LLMMagics.temperature = 0` sets one, and so does
  `temperature = 0` below `[tool.jupyter_llm]` in a `pyproject.toml` beside or above the notebook.
- `%llm` lines and `llm(...)` may stand in loops and functions; `%%llm` takes a whole cell.
"""


def _help(_call: Call) -> str:
    options = [
        (" ".join([", ".join(f"`{name}`" for name in o.names), o.metavar]), o.help) for o in OPTIONS
    ]
    return "\n\n".join((_INTRODUCTION, command_table(), markdown_table(("option", ""), options)))


def _status(call: Call) -> str:
    return call.llm.status().to_markdown()


def _use(call: Call) -> str:
    name = call.argument.strip("\"'")
    if not name:
        raise MagicUsageError("/use needs a model.", "`%llm /models` lists what can be loaded.")
    info = call.llm.use(name, view=call.view).info
    assert info is not None
    return f"Using **{info.name}** ({info.quantization}, context window {info.n_ctx} tokens)."


def _unload(call: Call) -> str:
    if not call.llm.status().is_loaded:
        return "No model is loaded."
    call.llm.unload()
    return "The model's memory is free again. The next prompt loads it."


def _reset(call: Call) -> str:
    count = len(call.chat.turns)
    call.chat.reset()
    return f"Forgot {count_of(count, 'turn')} of chat *{call.chat.name}*."


def _history(call: Call) -> str:
    archive = call.llm.archive
    asked = parse_history(call.argument)
    if asked.action == "show":
        return shown(call.chat.saved(), archive.path)
    chats = call.llm.saved_chats()
    if asked.action == "into notebook":
        return kept_in_notebook(archive.path, chats)
    if asked.action == "clear":
        call.llm.clear_chats()
        return cleared(chats)
    assert asked.path is not None
    return exported(asked.path, chats)


def _fix(call: Call) -> Proposal:
    from jupyter_llm.tasks.fix import fix

    return call.ask(fix)


def _explain(call: Call) -> Completion:
    from jupyter_llm.tasks.explain import explain

    return call.ask(explain)


def _doc(call: Call) -> Proposal:
    from jupyter_llm.tasks.explain import document

    return call.ask(document)


def _test(call: Call) -> Proposal:
    from jupyter_llm.tasks.explain import write_tests

    return call.ask(write_tests)


def _review(call: Call) -> Completion:
    from jupyter_llm.tasks.explain import review

    return call.ask(review)


def _verify(call: Call) -> VerifyReport:
    return call.llm.verify(call.argument.strip("\"'") or None, view=call.view)


def _context(call: Call) -> ContextReport:
    from jupyter_llm.chat.context_report import context_report

    return context_report(call.llm, call.chat, call.context)


def _cells(call: Call, name: str) -> list[int | str]:
    """Return the cells a command names: execution counts, or ids."""
    words = call.argument.replace(",", " ").split()
    if not words:
        raise MagicUsageError(
            f"/{name} needs the numbers of cells.", f"/{name} 3 5 means In [3] and In [5]."
        )
    return [int(word) if word.isdecimal() else word for word in words]


def _told(cells: list[CellEvent], what: str) -> str:
    names = ", ".join(f"In [{cell.execution_count}]" for cell in cells)
    return f"{names} {'is' if len(cells) == 1 else 'are'} {what}"


def _pin(call: Call) -> str:
    cells = call.llm.timeline.pin(*_cells(call, "pin"))
    return _told(cells, "pinned: what is told when other cells no longer fit.")


def _unpin(call: Call) -> str:
    return _told(call.llm.timeline.unpin(*_cells(call, "unpin")), "no longer pinned.")


def _hide(call: Call) -> str:
    cells = call.llm.timeline.hide(*_cells(call, "hide"))
    return _told(cells, "hidden: no prompt tells any run of it from here on.")


def _unhide(call: Call) -> str:
    return _told(call.llm.timeline.unhide(*_cells(call, "unhide")), "no longer hidden.")


def _chat(call: Call) -> ChatPanel:
    name = call.argument.strip("\"'")
    chat = call.llm.chat(name) if name else call.chat
    return chat.panel(context=call.context)


def _models(call: Call) -> str:
    from jupyter_llm.models.discover import HOW_TO_GET_ONE, WHICH_ONE, list_models
    from jupyter_llm.models.inspect import inspect

    resident = call.llm.status().info
    rows = []
    for entry in list_models():
        try:
            file = inspect(entry.path)
        except ModelFileError:
            continue  # it went away or was damaged since it was listed
        is_resident = resident is not None and resident.path == entry.path
        rows.append(
            (
                f"**{entry.name}** (loaded)" if is_resident else entry.name,
                human_size(file.size_bytes),
                file.quantization,
                file.n_ctx_train or "",
                "yes" if file.has_chat_template else "no",
                file.license or "not stated",
                entry.source,
            )
        )
    if not rows:
        return f"No model found. {HOW_TO_GET_ONE}\n\n{WHICH_ONE}"
    header = ("model", "size", "quantization", "context", "chats", "licence", "from")
    return f"{markdown_table(header, rows)}\n\n{WHICH_ONE}"


def _tune(call: Call) -> str | TuneReport:
    words = call.argument.split()
    flags = {word for word in words if word.startswith("--")}
    for flag in flags - _TUNE_FLAGS:
        hint = nearest(flag, sorted(_TUNE_FLAGS), f"It takes {', '.join(sorted(_TUNE_FLAGS))}.")
        raise MagicUsageError(f"/tune does not know {flag}.", hint)
    name = " ".join(word for word in words if word not in flags).strip("\"'") or None
    if "--forget" in flags:
        if not call.llm.forget_tuning(name):
            return "There is no tuning of this model."
        return "Forgot the tuning. The next prompt loads the file as it is, with the defaults."
    copy, lossy = "--copy" in flags, "--lossy" in flags
    return call.llm.tune(name, copy=copy, lossy=lossy, view=call.view)


_TUNE_FLAGS = {"--copy", "--lossy", "--forget"}


_SUBJECT = "[N|NAME|error]"


COMMANDS = {
    command.name: command
    for command in (
        Command("help", "", "this page", _help),
        Command("status", "", "the resident model: what it holds, speed, memory, threads", _status),
        Command("models", "", "what can be loaded now", _models),
        Command("use", "MODEL", "load a model by name or path and stay with it", _use),
        Command("unload", "", "free the model's memory", _unload),
        Command(
            "tune",
            "[MODEL] [--copy] [--lossy] [--forget]",
            "measure a model here and use the best settings from then on; `--copy` makes a faster "
            "near-lossless copy, `--lossy` admits others, `--forget` undoes it all",
            _tune,
        ),
        Command("context", "", "what the next prompt tells of the notebook, and why", _context),
        Command("pin", "N…", "keep cells In [N] in the prompts when others no longer fit", _pin),
        Command("unpin", "N…", "let pinned cells give way again", _unpin),
        Command("hide", "N…", "keep cells In [N] out of all prompts", _hide),
        Command("unhide", "N…", "let the model see hidden cells again", _unhide),
        Command("fix", "[N]", "propose a change to the cell that caused the last error", _fix),
        Command(
            "explain", _SUBJECT, "explain the last cell, In [N], a name or the error", _explain
        ),
        Command("doc", "[N|NAME]", "propose a docstring for a function or a class", _doc),
        Command("test", "[N|NAME]", "propose a cell with tests", _test),
        Command("review", "[N|NAME]", "say what is wrong with a cell or a function", _review),
        Command(
            "verify",
            "[NOTEBOOK]",
            "write recorded answers again, of this kernel or a notebook file, and compare",
            _verify,
        ),
        Command("chat", "[NAME]", "show a panel to talk in, also while cells run", _chat),
        Command("history", HISTORY_ARGUMENT, HISTORY_HELP, _history),
        Command("reset", "", "forget the turns of the chat", _reset),
    )
}
