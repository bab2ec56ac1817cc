"""Shift+Tab on `%llm` lines: what an option or a command is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jupyter_llm.frontends.prompt.options import OPTIONS

if TYPE_CHECKING:
    from jupyter_llm.frontends.prompt.commands import Command

_MAGIC = re.compile(r"\s*(?:\w+\s*=\s*)?%%?llm\s")
_OPTIONS = {name: option for option in OPTIONS for name in option.names}


def description(code: str, cursor: int, commands: Mapping[str, Command]) -> str | None:
    """What the word at the cursor of a cell is for, if it is an option's or a command's.

    `cursor` counts characters from the start of the cell.
    """
    start = code.rfind("\n", 0, cursor) + 1
    line = code[start:].partition("\n")[0]
    if _MAGIC.match(line) is None:
        return None
    place = cursor - start
    word = next((w[0] for w in re.finditer(r"\S+", line) if w.start() <= place <= w.end()), "")
    option = _OPTIONS.get(word.partition("=")[0])
    if option is not None:
        said = [f"{', '.join(option.names)} {option.metavar}".rstrip(), option.help]
        if option.choices:
            said.append(f"One of: {', '.join(option.choices)}")
        return "\n\n".join(said)
    command = commands.get(word.removeprefix("/")) if word.startswith("/") else None
    if command is None:
        return None
    return f"/{command.name} {command.argument}".rstrip() + f"\n\n{command.help}"


class Inspection:
    """Answers a kernel's `inspect_request` where it is about our words, and lets it do the rest.

    There is no hook for it: what IPython itself is asked is a Python name, and `--chat` is none. So
    the kernel's method is wrapped, on this one kernel.
    """

    def __init__(self, kernel: Any, commands: Mapping[str, Command]) -> None:
        self._kernel = kernel
        self._commands = commands
        kernel.do_inspect = self._inspect

    def close(self) -> None:
        """Let the kernel answer alone again."""
        if self._kernel.__dict__.get("do_inspect") == self._inspect:
            del self._kernel.do_inspect

    def _inspect(self, code: str, cursor_pos: int, *args: Any, **options: Any) -> Any:
        said = description(code, cursor_pos, self._commands)
        if said is None:
            return type(self._kernel).do_inspect(self._kernel, code, cursor_pos, *args, **options)
        return {"status": "ok", "found": True, "data": {"text/plain": said}, "metadata": {}}
