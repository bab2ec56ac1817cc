"""The models that were chosen for roles, and how each one is loaded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.naming import default_server, server_of
from jupyter_llm.engine.options import LOADING, EngineOptions
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError, OptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from jupyter_llm.engine.project import Project
    from jupyter_llm.engine.roles import ModelRole
    from jupyter_llm.models.discover import ModelEntry

    # A model that has a file here, or a model of a server; and how it is loaded.
    Named = ModelEntry | Address
    Choice = tuple[Named, EngineOptions]


def with_file(entry: Named) -> ModelEntry:
    """Return a model that has a file here; `OptionError` if it is a model of a server."""
    if isinstance(entry, Address):
        raise OptionError(f"{entry.host} is a server, and this is for models of this machine.")
    return entry


class Choices:
    """One model a role, by `use`; without a choice, the default of the user or the project.

    `usual`: loading options that hold unless the choice, the model's name or the project sets them.
    """

    def __init__(self) -> None:
        self.by_role: dict[ModelRole, Choice] = {}
        self.usual: dict[str, Any] = {}
        self.seen: dict[str, ModelEntry] = {}
        """Models that were loaded, by name, the latest one last."""
        self.embedding: set[Path] = set()
        """The files of models that only make vectors."""
        self._default: Named | None = None  # at the last call of `find`
        self._project: Project | None = None

    def chosen(self, model: str | os.PathLike[str] | None, role: ModelRole = "chat") -> Choice:
        """Return a model by its name, or the model of a role, with its loading options."""
        if model is None and (choice := self.by_role.get(role) or self.by_role.get("chat")):
            return choice
        entry = self.find(model)
        return entry, self.options_of(entry, is_named=model is not None)

    def find(self, model: str | os.PathLike[str] | None = None) -> Named:
        """Return the model of a name, path or address, or the default model; load nothing."""
        from jupyter_llm.models.discover import GET_A_MODEL, default_model, find_model

        if model is not None:
            return server_of(model) or find_model(model)
        project = self.project()
        self._default = default_server(project) or default_model(project.model)
        entry = self._default or self.fallback(self.seen.values())
        if entry is None:
            raise ModelNotFoundError("", message=f"There is no model yet. {GET_A_MODEL}")
        return entry

    def candidates(self, role: ModelRole) -> list[Named]:
        """Return the models of a role as chosen so far, the first loaded one of which answers."""
        choices = self.by_role.copy()
        entries = [choices[one][0] for one in (role, "chat") if one in choices]
        if "chat" not in choices and self._default is not None:
            entries.append(self._default)
        return entries

    def fallback(self, entries: Iterable[Named]) -> ModelEntry | None:
        """Return the last model that no role has and that writes text, servers left out."""
        taken = {entry.path for entry, _ in self.by_role.copy().values()} | self.embedding
        here = (entry for entry in reversed(list(entries)) if not isinstance(entry, Address))
        return next((entry for entry in here if entry.path not in taken), None)

    def roles_at(self, place: Path | Address) -> tuple[ModelRole, ...]:
        """Return the roles that the model of a file or an address was chosen for."""
        choices = self.by_role.copy().items()
        return tuple(role for role, (one, _) in choices if one.path == place)

    def choose(self, role: ModelRole, choice: Choice, before: Mapping[ModelRole, Choice]) -> None:
        """Choose a model for a role, and for no other role how the same file is loaded."""
        entry = choice[0]
        self.by_role = {  # a file is loaded once, for all its roles
            used: choice if one.path == entry.path else (one, theirs)
            for used, (one, theirs) in before.items()
        } | {role: choice}

    def drop(self, place: Path | Address) -> None:
        """Give the roles of a model to the model of chats again."""
        for role in self.roles_at(place):
            if role != "chat":
                self.by_role.pop(role, None)

    def before(self, role: ModelRole) -> dict[ModelRole, Choice]:
        """Return the choices that a new one for a role must keep.

        If chats have no choice, the model that they have now becomes their choice.
        """
        choices = self.by_role.copy()
        if role != "chat" and "chat" not in choices:
            with suppress(JupyterLLMError):
                choices["chat"] = self.chosen(None)
        return choices

    def options_of(self, entry: Named, *, is_named: bool) -> EngineOptions:
        """Return the options for loading a model.

        A model that was chosen for a role has those of that choice. Otherwise they come from the
        user's name for it and from the project. If `is_named`, those of the name override the
        project's.
        """
        for one, options in self.by_role.values():
            if isinstance(one, Address) or isinstance(entry, Address):
                continue
            # Two names of a file may have different options; a path has none of its own.
            if one.path == entry.path and (entry.source == "path" or one.options == entry.options):
                return options
        return self.options(entry, is_named=is_named)

    def options(
        self, entry: Named, typed: Mapping[str, Any] | None = None, *, is_named: bool = False
    ) -> EngineOptions:
        """Return how to load a model: as is typed, then as its name or the project says.

        A name that was typed comes before the project, the user's default after it. A model of a
        server is not loaded here.
        """
        if isinstance(entry, Address):
            return EngineOptions()
        own = {name: value for name, value in entry.options if name in LOADING}
        project = self.project().loading
        options = {**project, **own} if is_named else {**own, **project}
        return EngineOptions(**{**self.usual, **options, **(typed or {})})

    def project(self, folder: Path | None = None) -> Project:
        """Return the defaults of the project, by default of the working folder at the first call.

        With a folder they are read anew. `MagicUsageError` says what is wrong in them.
        """
        from jupyter_llm.engine.project import project_of

        if self._project is None or folder is not None:
            with suppress(OSError):  # the working folder was deleted
                folder = folder or Path.cwd()
            self._project = project_of(folder or Path())
        return self._project
