"""The defaults of a project: `[tool.jupyter_llm]` in the nearest pyproject.toml, upwards."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.option import options_of
from jupyter_llm.engine.options import LOADING, EngineOptions, SamplingParams, sampling_params
from jupyter_llm.errors import MagicUsageError, OptionError

_SAMPLING = tuple(one.key for one in options_of(SamplingParams) if one.is_setting)
PROMPTING = (
    *("system", "format", "context", "vars", "chat", "try_drafts", "stats", "idle_minutes"),
    *_SAMPLING,
)
"""The settings of prompts, by the names of `LLMMagics`."""

SETTINGS = ("model", *PROMPTING, *LOADING)
"""All settings that the table may have."""

_TYPES = {"model": (str, "a text"), "system": (str, "a text"), "stats": (bool, "true or false")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's settings: its model, load options, and options for prompts.

    `path` is the file's, None if there is none.
    """

    path: Path | None = None
    model: str | None = None
    loading: dict[str, Any] = field(default_factory=dict)
    prompting: dict[str, Any] = field(default_factory=dict)

    def with_setting(self, name: str, value: Any) -> Project:
        """Return this project with one more setting; `OptionError` if it is invalid.

        A model's path is relative to the file.
        """
        kind, words = _TYPES.get(name, (object, ""))
        if not isinstance(value, kind):
            raise OptionError(f"it takes {words}, not {value!r:.60}.")
        if name == "model":
            assert self.path is not None
            model = str(value)
            path = self.path.parent / os.path.expanduser(model)  # noqa: PTH111 pathlib raises
            is_path = os.path.lexists if model.lower().endswith(".gguf") else os.path.isfile
            return replace(self, model=str(path) if is_path(path) else model)
        if name in LOADING:
            loading = {**self.loading, name: value}
            EngineOptions(**loading)
            return replace(self, loading=loading)
        if name in _SAMPLING:
            sampling_params({name: value})
        return replace(self, prompting={**self.prompting, name: value})

    def wrong(self, name: str, error: Exception) -> MagicUsageError:
        """Return the error for an invalid setting."""
        return MagicUsageError(f"{self.path}: [tool.jupyter_llm] {name} is wrong: {error}")


def project_of(folder: Path) -> Project:
    """Return the project of a folder; `MagicUsageError` names an invalid setting."""
    path, table = _table(folder)
    project = Project(path=path)
    for name, value in table.items():
        if name not in SETTINGS:
            hint = nearest(name, SETTINGS, "`%config LLMMagics` lists those of prompts.")
            raise MagicUsageError(f"{path}: [tool.jupyter_llm] has no setting {name!r}.", hint)
        try:
            project = project.with_setting(name, value)
        except OptionError as error:
            raise project.wrong(name, error) from None
    return project


def _table(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the nearest pyproject.toml, and our table in it."""
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
            return path, {}  # other tools report it
        tools = document.get("tool", {})
        table = tools.get("jupyter_llm", {}) if isinstance(tools, dict) else {}
        if not isinstance(table, dict):
            raise MagicUsageError(f"{path}: [tool.jupyter_llm] must be a table.")
        return path, table
    return None, {}
