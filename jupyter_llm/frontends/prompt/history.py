"""What `/history` is asked for, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jupyter_llm.chat.transcript import (
    chat_markdown,
    date_of,
    into_notebook,
    other_branches,
    to_json,
    to_markdown,
)
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import MagicUsageError

if TYPE_CHECKING:
    from jupyter_llm.chat.store import SavedChat

Action = Literal["show", "export", "into notebook", "clear"]

ARGUMENT = "[--export FILE] [--into-notebook] [--clear]"
HELP = (
    "the turns of the chat; `--export` writes all chats of the notebook to a .md or .json file, "
    "`--into-notebook` into its metadata, `--clear` forgets them and removes them from the disk"
)
_FLAGS: dict[str, Action] = {
    "--export": "export",
    "--into-notebook": "into notebook",
    "--clear": "clear",
}
_WRITERS = {".md": to_markdown, ".json": to_json}


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What is to be done with the chats; `path` is the file to export to."""

    action: Action
    path: Path | None = None


def parse_history(argument: str) -> HistoryRequest:
    """Return what the words after `/history` ask for.

    Raises
    ------
    MagicUsageError
        They ask for nothing that there is.
    """
    flag, _, rest = argument.strip().partition(" ")
    name = rest.strip().strip("\"'")
    if not flag:
        return HistoryRequest("show")
    action = _FLAGS.get(flag)
    if action is None:
        hint = nearest(flag, list(_FLAGS), f"It takes {', '.join(_FLAGS)}.")
        raise MagicUsageError(f"/history does not know {flag}.", hint)
    if action != "export":
        if name:
            raise MagicUsageError(f"/history {flag} takes nothing after it, not {name[:40]!r}.")
        return HistoryRequest(action)
    path = Path(os.path.expanduser(name))  # noqa: PTH111  pathlib's raises
    if path.suffix.lower() not in _WRITERS:
        raise MagicUsageError("/history --export needs a file.", "Its name ends in .md or .json.")
    return HistoryRequest(action, path)


def shown(chat: SavedChat, file: Path | None) -> str:
    """Answer `/history`: the turns, and where they are kept."""
    turns = chat_markdown(chat) if chat.turns else f"Chat *{chat.name}* has no turns yet."
    if file is None:
        return f"{turns}\n\n(It is not known which notebook this is, so chats end with the kernel.)"
    return turns


def exported(path: Path, chats: Mapping[str, SavedChat]) -> str:
    """Write chats to a new file and say so.

    Raises
    ------
    MagicUsageError
        There is such a file, or it cannot be written.
    """
    text = _WRITERS[path.suffix.lower()](chats)
    try:
        # What is no Unicode in a text is no reason to keep nothing of it.
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except FileExistsError:
        raise MagicUsageError(f"{path} is there already.", "Give another name.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MagicUsageError(f"{path} cannot be written: {reason}.") from None
    return f"Wrote {_sum(chats)} to `{path}`."


def kept_in_notebook(notebook: Path | None, chats: Mapping[str, SavedChat]) -> str:
    """Write chats into the notebook's metadata and say what to do now.

    Raises
    ------
    NotebookFileError
        The notebook cannot be read or written; nothing changed.
    MagicUsageError
        It is not known which notebook this is.
    """
    if notebook is None:
        raise MagicUsageError(
            "It is not known which notebook this is.", "`/history --export FILE.md` needs none."
        )
    into_notebook(notebook, chats)
    return (
        f"Wrote {_sum(chats)} into the metadata of `{notebook.name}` as it is on the disk. "
        "**Load it again before you save it** (*File → Reload Notebook from Disk*): the page that "
        "is open does not know of them, and saving it would take them out again."
    )


def cleared(chats: Mapping[str, SavedChat]) -> str:
    """Say what was forgotten."""
    if not chats:
        return "There were no chats."
    num_others = sum(chat.num_other_branches for chat in chats.values())
    more = f" and {other_branches(num_others)}" if num_others else ""
    return f"Forgot {_sum(chats)}{more}, here and on the disk."


def restored_note(chat: SavedChat) -> str:
    """Return the note under the first answer of a chat that goes on after a restart."""
    if not chat.turns:
        return ""
    return (
        f"goes on from {count_of(len(chat.turns), 'turn')} kept since {date_of(chat.turns[-1])}; "
        "--new starts afresh"
    )


def _sum(chats: Mapping[str, SavedChat]) -> str:
    num_turns = sum(len(chat.turns) for chat in chats.values())
    return f"{count_of(num_turns, 'turn')} of {count_of(len(chats), 'chat')}"
