"""The list of models that can be loaded, for `/models` and the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jupyter_llm.api import LLM
from jupyter_llm.common.tables import human_size, markdown_table, parameter_count
from jupyter_llm.engine.naming import server_of
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.remote.address import Address
from jupyter_llm.engine.roles import ModelRole, role_words
from jupyter_llm.errors import JupyterLLMError, NotEnoughMemoryError
from jupyter_llm.models.aliases import aliases
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.inspect import ModelFile
from jupyter_llm.models.machine import FreeMemory

MODEL_COLUMNS = (
    *("model", "parameters", "quantization", "size", "context"),
    *("for", "licence", "here", "from"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model that can be loaded, and its fit to this machine.

    `roles` are a loaded model's uses. `needs_bytes` is its memory with the default options,
    `promised_bytes` the most that texts with a seed add, and `free_bytes` the free memory.
    """

    entry: ModelEntry
    file: ModelFile
    is_loaded: bool = False
    roles: tuple[ModelRole, ...] = ()
    needs_bytes: int = 0
    promised_bytes: int = 0
    free_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether there is memory for it."""
        return self.is_loaded or self.needs_bytes <= self.free_bytes

    @property
    def purpose(self) -> str:
        """Return its uses in words."""
        if self.file.is_embedding:
            return "vectors"
        first = "chat" if self.file.has_chat_template else "text"
        return f"{first}, code at the cursor" if self.file.fills_middle else first

    @property
    def here(self) -> str:
        """Return its fit to this machine in words."""
        if self.is_loaded:
            return f"loaded for {role_words(self.roles)}" if self.roles else "loaded"
        needs, free = human_size(self.needs_bytes), human_size(self.free_bytes)
        if not self.fits:
            return f"too large: needs {needs}, {free} are free"
        promised = human_size(self.promised_bytes)
        more = f" and up to {promised} for texts with a seed" if self.promised_bytes else ""
        return f"fits: {needs}{more}, of {free}"

    @property
    def note(self) -> str:
        """Return the most important facts in one line."""
        here = "" if self.fits and not self.is_loaded else f" · {self.here}"
        return f"{self.purpose} · {human_size(self.file.size_bytes)}{here}"

    @property
    def facts(self) -> tuple[str, ...]:
        """Return the cells of its table row, without the name."""
        context = self.file.n_ctx_train
        return (
            parameter_count(self.file.num_parameters),
            self.file.quantization,
            human_size(self.file.size_bytes),
            f"{context:,}" if context else "",
            self.purpose,
            self.file.license or "",
            self.here,
            self.entry.source,
        )


def listed_models(llm: LLM) -> list[ListedModel]:
    """Return all models that can be loaded, in the order of `list_models`."""
    from jupyter_llm.models.discover import list_with_facts

    free = llm.current.free_alone()
    loaded = {one.info.path: one for one in llm.current.loaded}
    return [
        ListedModel(entry=entry, file=file, is_loaded=True, roles=loaded[entry.path].roles)
        if entry.path in loaded
        else _weighed(ListedModel(entry=entry, file=file), free)
        for entry, file in list_with_facts()
    ]


def listed_servers() -> list[tuple[str, Address]]:
    """Return the user's names of servers' models, with the addresses."""
    addresses = ((name, server_of(name)) for name in aliases())
    return [(name, address) for name, address in addresses if address is not None]


def by_name(models: Iterable[ListedModel]) -> list[ListedModel]:
    """Return the models without those that have the name of an earlier one."""
    models_by_name: dict[str, ListedModel] = {}
    for model in models:
        models_by_name.setdefault(model.entry.name, model)
    return list(models_by_name.values())


def _weighed(model: ListedModel, free: FreeMemory) -> ListedModel:
    """Return a model with its needed and the free memory."""
    from jupyter_llm.engine.local.native.memory import plan_load

    try:
        plan = plan_load(model.file, EngineOptions(), free)
    except NotEnoughMemoryError as error:
        return replace(model, needs_bytes=error.needed_bytes, free_bytes=error.free_bytes)
    except JupyterLLMError:
        return replace(model, needs_bytes=model.file.size_bytes)
    return replace(
        model,
        needs_bytes=plan.need.total,
        promised_bytes=0 if model.file.is_embedding else plan.promised.total,
        free_bytes=free.ram_bytes + (free.vram_bytes or 0),
    )


def model_table(models: Iterable[ListedModel]) -> str:
    """Return models as a Markdown table, with the user's names; loaded ones are bold."""
    given = [(alias.model, name) for name, alias in aliases().items()]

    def name(one: ListedModel) -> str:
        own = [name for model, name in given if model in (one.entry.name, str(one.entry.path))]
        shown = f"**{one.entry.name}** (loaded)" if one.is_loaded else one.entry.name
        return f"{shown}, alias {', '.join(own)}" if own else shown

    return markdown_table(MODEL_COLUMNS, ((name(one), *one.facts) for one in models))
