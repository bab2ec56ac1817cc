"""Registers the magics with a shell and removes them, with the defaults of a project."""

from __future__ import annotations

import re
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from IPython.core.inputtransformer2 import EscapedCommand
from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitError

from jupyter_llm.api import llm
from jupyter_llm.frontends.magics.magics import LLMMagics, OpenPanel
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.code.landing import Page
from jupyter_llm.notebook.sealed.first_step import register_first
from jupyter_llm.notebook.values import secrets, seen_secrets


def load(
    shell: InteractiveShell,
    open_panel: OpenPanel,
    find_page: Callable[[], Page | None],
    open_page: Callable[[], Page],
) -> None:
    """Register the magics with a shell, with the defaults of the nearest pyproject.toml.

    `/chat` shows the panel that `open_panel` makes. `find_page` returns the page that shows the
    notebook, and `open_page` connects to one that has not connected by itself. `MagicUsageError`: a
    default is invalid.
    """
    register_first()
    magics = LLMMagics(shell, open_panel, find_page, open_page)
    _set_defaults(magics, Path.cwd())
    unload(shell)
    shell.register_magics(magics)
    llm.tries_drafts = magics.try_drafts
    magics.allow_remote &= llm.current.allows_remote  # stays forbidden if it was before
    llm.current.allows_remote = magics.allow_remote
    llm.last_error.watch(shell)
    llm.archive.open(llm.notebook.path or notebook_path(shell.user_ns))
    magics.recorder.attach()  # before ours: at a cell's end we read its record
    shell.Completer.custom_matchers.append(magics.complete)
    shell.input_transformer_manager.token_transformers.append(_Question)
    shell.ast_transformers.append(cast("Any", magics.runs))  # it only needs `visit`
    shell.events.register("pre_run_cell", magics.settle)
    shell.events.register("pre_run_cell", magics.runs.start)
    shell.events.register("post_run_cell", magics.runs.end)


def unload(shell: InteractiveShell) -> None:
    """Remove the magics from a shell; the model and its chats stay."""
    magics = shell.magics_manager.registry.pop("LLMMagics", None)
    if magics is None:
        return
    magics.close()
    llm.tries_drafts = True
    llm.last_error.unwatch(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("llm", None)
    shell.Completer.custom_matchers.remove(magics.complete)
    shell.input_transformer_manager.token_transformers.remove(_Question)
    shell.ast_transformers.remove(cast("Any", magics.runs))
    shell.events.unregister("pre_run_cell", magics.settle)
    shell.events.unregister("pre_run_cell", magics.runs.start)
    shell.events.unregister("post_run_cell", magics.runs.end)
    magics.recorder.detach()
    seen_secrets.forget()
    secrets.forget()
    if (servers := sys.modules.get("jupyter_llm.ask.mcp_servers")) is not None:
        servers.stop_servers()
    shell.configurables.remove(magics)


class _Question(EscapedCommand):
    """A transformer that lets a `%llm` line end with a question mark, IPython's sign for help."""

    priority = 4  # before IPython's HelpEnd, which still handles `%llm?`

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> _Question | None:
        """Return the first `%llm PROMPT` in the tokens of a cell."""
        for line in tokens_by_line:
            tokens = [t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT)]
            if not tokens or tokens[0].string != "%":
                continue
            row, column = tokens[0].start
            if re.match(r"%llm\s+\S", tokens[0].line.splitlines()[0][column:]):
                return cls((row, column))
        return None


def _set_defaults(magics: LLMMagics, folder: Path) -> None:
    project = llm.current.project(folder)
    for name, value in project.prompting.items():
        if name in magics.shell.config.LLMMagics:
            continue  # IPython's configuration is the user's, and precedes the project's
        try:
            setattr(magics, name, value)
        except TraitError as error:
            raise project.wrong(name, error) from None
