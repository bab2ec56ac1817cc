"""The commands of a chat over a comm: those of every front end, and help of its own."""

from __future__ import annotations

from dataclasses import replace

from jupyter_llm.common.markdown import code_block
from jupyter_llm.errors import DownloadError
from jupyter_llm.frontends.comm.messages import ChoiceData
from jupyter_llm.frontends.comm.pulls import PULLS
from jupyter_llm.frontends.prompt.commands import (
    ACCEPT,
    COMMANDS,
    Call,
    Command,
    Shown,
    help_command,
    models_shown,
    named,
    suggested,
    suggestions,
    to_pull,
)
from jupyter_llm.frontends.prompt.model_list import by_name, listed_models

_HELP = (
    "Type a prompt, or a command. `@name` includes a variable, `@In[3]` a cell and "
    "`@data/prices.csv` a file; `{{expression}}` puts a value into the prompt. After `-- ` a "
    "prompt may begin with a slash. Enter sends, Shift+Enter begins a new line, Up brings back "
    "what you typed, Esc stops."
)


def _models(call: Call) -> Shown:
    models = listed_models(call.llm)
    names = [one.entry.name for one in by_name(models) if not one.is_loaded]
    pull = ChoiceData(label="Pull another model", text="/pull")
    choices = (*(_choice("use", name) for name in names), pull)
    return Shown(models_shown(models), choices=choices)


def _choice(command: str, name: str) -> ChoiceData:
    return ChoiceData(label=f"{command.capitalize()} {name}", text=f"/{command} {name}")


def _pull(call: Call) -> Shown:
    """Pull a model on a thread that all pages see, or list those that suit this machine."""
    name, is_accepted = to_pull(call.argument)
    if not name:
        found = suggestions()
        choices = tuple(_choice("pull", one.entry.name) for one in found)
        return Shown(suggested(found), choices=choices)
    end = PULLS.begin(name, is_accepted=is_accepted).wait(call.show_progress)
    again = f"/pull {name}"
    match end.state:
        case "failed":
            raise DownloadError(end.text)
        case "licence":
            text = f"{code_block(end.licence, 'text')}\n\n{end.text}" if end.licence else end.text
            accept = ChoiceData(label="Accept the licence and pull", text=f"{again} {ACCEPT}")
            return Shown(text, choices=(accept,))
        case "stopped":
            return Shown(end.text, choices=(ChoiceData(label="Go on pulling", text=again),))
        case _:
            return Shown(end.text, choices=(_choice("use", end.model or name),))


PANEL_COMMANDS: dict[str, Command] = {
    **named(help_command(lambda: PANEL_COMMANDS, _HELP)),  # options are for lines and cells
    **COMMANDS,
    **named(replace(COMMANDS["models"], run=_models), replace(COMMANDS["pull"], run=_pull)),
}
