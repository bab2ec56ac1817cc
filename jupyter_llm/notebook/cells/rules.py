"""The rules of a project: a file that its owner writes for the model.

The file is `.jupyter_llm.md` in the notebook's folder, or in the nearest parent folder that has it,
up to the user's home folder. In a parent folder the file counts only if it has the same owner as
the notebook's folder: somebody else may write into `/tmp`. A link is not followed, since it could
lead to any file of the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from jupyter_llm.common.clipping import clip
from jupyter_llm.common.controls import plain
from jupyter_llm.common.files import open_regular
from jupyter_llm.notebook.cells.shell import current_shell
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.redaction import redact_mixed, without_registered

RULES_FILE: Final = ".jupyter_llm.md"
_MOST_READ: Final = 64_000  # bytes
_MOST_CHARS: Final = 2000  # about 500 tokens: small models lose the thread in more


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a project; if the text `is_cut`, its middle is left out."""

    text: str
    is_cut: bool

    @property
    def sent(self) -> str:
        """The text as the model reads it; secrets that are hidden by now are masked."""
        return f"Rules of this project ({RULES_FILE}):\n\n{without_registered(self.text)}"

    @property
    def remark(self) -> str:
        """A remark for the user if prompts do not include all of the rules, else ""."""
        return (
            f"only {_MOST_CHARS:,} characters of {RULES_FILE} are included" if self.is_cut else ""
        )


class ProjectRules:
    """Reads the rules of a notebook's project. While they are hidden, prompts exclude them.

    `find_notebook` returns the notebook's file. If it is unknown, the kernel's working folder
    counts; outside IPython there are no rules.
    """

    def __init__(self, find_notebook: Callable[[], Path | None]) -> None:
        self._find_notebook = find_notebook
        self.is_hidden = False

    def included(self) -> Rules | None:
        """Return the rules that prompts include now."""
        return None if self.is_hidden else self.read()

    def read(self) -> Rules | None:
        """Return the rules as they are now, also hidden ones; None if there are none."""
        notebook = self._find_notebook()
        if notebook is None and current_shell() is None:
            return None
        start = notebook.parent if notebook is not None else Path()
        for folder in _upwards(start):
            with suppress(OSError), open_regular(folder / RULES_FILE, follows_links=False) as file:
                owner = os.fstat(file.fileno()).st_uid
                if folder == start or owner == start.stat().st_uid:
                    return _rules(file.read(_MOST_READ))
        return None

    def above(self, system: str | None) -> str | None:
        """Return a system text below the rules, so that it has the last word."""
        return joined(self.included(), system)


def joined(rules: Rules | None, system: str | None) -> str | None:
    """Return a system text below the rules."""
    return system if rules is None else "\n\n".join(filter(None, (rules.sent, system)))


def _upwards(folder: Path) -> Iterator[Path]:
    """Yield a folder and its parents, up to the user's home."""
    yield folder
    home = os.path.expanduser("~")  # noqa: PTH111  pathlib's raises an error
    with suppress(OSError):  # the working folder was deleted
        whole = Path(os.path.abspath(folder))  # noqa: PTH100  pathlib's keeps `..`
        for below, parent in pairwise((whole, *whole.parents)):
            if str(below) == home:
                return
            yield parent


def _rules(data: bytes) -> Rules | None:
    """Return the rules in the start of a file; None if it is empty or no text."""
    if len(data) == _MOST_READ:
        data = data[: data.rfind(b"\n") + 1]  # the last line may hold half of a secret
    with seen_secrets.at_most(seen_secrets.MOST // 2):
        text = redact_mixed(plain(data.decode("utf-8-sig", "replace")).strip()).text
    is_text = text and b"\0" not in data
    return Rules(clip(text, _MOST_CHARS), len(text) > _MOST_CHARS) if is_text else None
