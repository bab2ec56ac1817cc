"""The commands of a chat over a comm: those of every front end, and help of its own."""

from __future__ import annotations

from typing import NoReturn

from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call, Command, command_table, named

_HELP = (
    "Type a prompt, or a command. `@name` tells more of a variable and `@In[3]` of a cell; "
    "`{{expression}}` puts a value into the prompt. After `-- ` a prompt may begin with a slash. "
    "Enter sends, Shift+Enter begins a new line, Up brings back what you typed, Esc stops."
)


def _help(_call: Call) -> str:  # options are for lines and cells
    return f"{_HELP}\n\n{command_table(SHOWN_COMMANDS)}"


def _chat(_call: Call) -> NoReturn:
    raise MagicUsageError("/chat shows a panel below a cell.", "Type `%llm /chat` in one.")


SHOWN_COMMANDS = {**named(Command("help", "", "this page", _help)), **COMMANDS}
PANEL_COMMANDS = {**SHOWN_COMMANDS, **named(Command("chat", "[NAME]", "", _chat))}
