"""The commands of `%llm`: those of every front end, the help for lines and cells, and `/chat`."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_llm.chat.budget import ContextMode
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call, Command, help_command, named
from jupyter_llm.frontends.prompt.options import OPTIONS

OpenPanel = Callable[[Chat, ContextMode], object]
"""Makes a panel for a chat; what it returns is displayed."""

_INTRODUCTION = r"""`%llm PROMPT` asks in one line, `%%llm` with a cell, `VAR << PROMPT` puts the
answer into a variable. *Stop* ends an answer at once and keeps its text.

- `{{expression}}` is evaluated once, and its value stands in the prompt. Single braces, LaTeX and
  JSON stay as typed; `\{{` is for two braces. `@name` lets a variable go along, and
  `@In[3]` a cell with what it showed.
- Options come first, then the prompt. A first word that begins with `/` is a command, but after
  `--` all is prompt. Options and commands complete on Tab.
- `%config LLMMagics` shows the defaults, `%config LLMMagics.temperature = 0` sets one, and so does
  `temperature = 0` below `[tool.jupyter_llm]` in a `pyproject.toml` beside or above the notebook.
- `%llm` lines and `llm(...)` may stand in loops and functions; `%%llm` takes a whole cell.
"""


def magic_commands(open_panel: OpenPanel) -> dict[str, Command]:
    """The commands by their names; `/chat` shows what `open_panel` makes."""

    def chat(call: Call) -> object:
        name = call.argument.strip("\"'")
        return open_panel(call.llm.chat(name) if name else call.chat, call.options.context)

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
