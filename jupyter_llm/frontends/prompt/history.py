"""The commands `/history` and `/search`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from jupyter_llm.chat.chats import Chats
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.store import SavedChat
from jupyter_llm.chat.transcript import chat_markdown, date_of, other_branches, to_markdown
from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.prompt.options import flags_in

_FLAGS = ("--export", "--clear")
_MOST_RESULTS = 20
ARGUMENT = "[--export FILE] [--clear]"
HELP = (
    "the turns of the chat; `--export` writes all chats of the notebook to a .md file, `--clear` "
    "forgets them, the prompts kept for `/verify` and all that models have read, also on the disk"
)


def answer(
    argument: str, chat: Chat, chats: Chats, notebook: Path | None, *, continues: bool = False
) -> str:
    """Carry out `/history`, and return the report.

    With `continues` the next prompt continues an earlier kernel's turns, so that is not advised.
    Raises `MagicUsageError` for a wrong argument, or if a file cannot be written.
    """
    flags, name = flags_in("history", argument, _FLAGS)
    name = name.strip("\"'")
    if name and "--export" not in flags:
        raise MagicUsageError(f"/history takes no {name[:40]!r}.", f"It takes {', '.join(_FLAGS)}.")
    if len(flags) > 1:
        raise MagicUsageError("/history exports or clears, not both at once.", "Nothing was done.")
    if "--export" in flags:
        path = Path(os.path.expanduser(name))  # noqa: PTH111 pathlib raises
        return _exported(path, chats.saved())
    if "--clear" in flags:
        saved = chats.saved()
        chats.clear()
        return _cleared(saved)
    note = "" if continues else kept_note(chat)
    return "\n\n".join(filter(None, (_shown(chat.saved(), notebook), note)))


def search(text: str, chats: Chats) -> str:
    """Return the places in the notebook's chats that have all words of a text.

    Raises `MagicUsageError` if there are no words.
    """
    if not text:
        raise MagicUsageError("/search needs words to look for.", "`/history` shows all turns.")
    results = chats.search(text)
    if not results:
        return f"No turn of {count_of(len(chats.saved()), 'chat')} has all of that."
    lines = [
        f"- *{_marked(one.chat)}*, **{one.place}.** {date_of(one.when)}: "
        f"{_marked(one.before)}**{_marked(one.words)}**{_marked(one.after)}"
        for one in results[:_MOST_RESULTS]
    ]
    num_others = len(results) - len(lines)
    more = f"\n\n{count_of(num_others, 'older turn')} not shown" if num_others else ""
    return "\n".join(lines) + more


def _marked(text: str) -> str:
    """Return a text with Markdown's special characters escaped."""
    return re.sub(r"(?=[\\`*_{}\[\]()<>#|~$&])", r"\\", text)


def kept_note(chat: Chat) -> str:
    """Return a note about an earlier kernel's turns that the chat does not continue, or ""."""
    count, turns = len(chat.restored), chat.turns
    if not (count and turns):
        return ""
    since = date_of(turns[-1].finished_at)
    return f"{count_of(count, 'turn')} stored since {since} (`--continue` continues them)"


def _shown(chat: SavedChat, notebook: Path | None) -> str:
    turns = chat_markdown(chat) if chat.turns else f"Chat *{chat.name}* has no turns yet."
    if notebook is None:
        return f"{turns}\n\n(It is not known which notebook this is, so chats end with the kernel.)"
    return turns


def _exported(path: Path, chats: Mapping[str, SavedChat]) -> str:
    if path.suffix.lower() != ".md":
        raise MagicUsageError("/history --export needs a file.", "Its name ends in .md.")
    try:
        # A lone surrogate must not prevent the export.
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(to_markdown(chats))
    except FileExistsError:
        raise MagicUsageError(f"{path} is there already.", "Give another name.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MagicUsageError(f"{path} cannot be written: {reason}.") from None
    return f"Wrote {_sum(chats)} to `{path}`."


def _cleared(chats: Mapping[str, SavedChat]) -> str:
    if not chats:
        return "There were no chats."
    num_others = sum(chat.num_other_branches for chat in chats.values())
    more = f" and {other_branches(num_others)}" if num_others else ""
    return f"Forgot {_sum(chats)}{more}, here and on the disk."


def _sum(chats: Mapping[str, SavedChat]) -> str:
    num_turns = sum(len(chat.turns) for chat in chats.values())
    return f"{count_of(num_turns, 'turn')} of {count_of(len(chats), 'chat')}"
