"""Recommended models, from the data file beside this one, and those that suit a machine."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jupyter_llm.common.tables import count_of, human_size, markdown_table
from jupyter_llm.models.machine import FreeMemory

# Approximate bits of a weight: enough to estimate what fits. A pull gets the exact size.
_BITS = {"q4_k_m": 4.9, "q4_0": 4.7, "q8_0": 8.6, "mxfp4": 4.7, "f16": 16.1}
_WINDOW_BYTES = 600 << 20  # a context window and llama.cpp's buffers, for a usual model
_SPARE_SHARE = 0.9  # of the free memory that a model may take
# billions of parameters a token; with more, the text appears slower than one reads
_QUICK_PER_CORE = 1.0
SUGGESTION_COLUMNS = ("model", "parameters", "for", "licence", "here", "download")
# Models that answer come before those that only continue text, and models for code come first.
_USES = {
    "code": "code",
    "general": "talk",
    "fim": "code at the cursor",
    "embedding": "vectors",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A recommended model. Sizes, hashes and revisions are not stored: a pull asks the hub."""

    name: str
    repository: str
    file: str
    licence: str
    parameters: float
    """In billions."""
    active: float | None = None
    """In billions, the parameters that each token needs, if not all."""
    uses: tuple[str, ...]
    licence_link: str = ""

    @property
    def quantization(self) -> str:
        """Return the quantization in the file's name."""
        name = next((kind for kind in _BITS if kind in self.file.lower()), "q8_0")
        return name.upper()

    @property
    def about_bytes(self) -> int:
        """Return the approximate size of the file."""
        return int(self.parameters * 1e9 * _BITS[self.quantization.lower()] / 8)

    @property
    def purpose(self) -> str:
        """Return the model's uses in words."""
        return ", ".join(_USES[use] for use in self.uses)

    @property
    def size(self) -> str:
        """Return the number of parameters in words."""
        is_large = self.parameters >= 0.5  # noqa: PLR2004 as in models' names
        text = f"{self.parameters:g}B" if is_large else f"{self.parameters * 1e3:g}M"
        return f"{text} ({self.active:g}B a token)" if self.active else text


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model that suits a machine, and the reason."""

    entry: CatalogEntry
    is_quick: bool
    reason: str

    @property
    def facts(self) -> tuple[str, ...]:
        """Return the cells of the model's table row, without its name."""
        entry = self.entry
        size = f"about {human_size(entry.about_bytes)}"
        return entry.size, entry.purpose, entry.licence, self.reason, size

    @property
    def note(self) -> str:
        """Return the most important facts in one line."""
        _parameters, purpose, licence, _reason, size = self.facts
        return f"{purpose} · {licence} · {size}{'' if self.is_quick else ' · slow here'}"


@cache
def catalog() -> tuple[CatalogEntry, ...]:
    """Return all entries of the data file, which also cites the source of each fact."""
    text = Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8")
    models = tomllib.loads(text)["model"]
    for model in models:
        del model["sources"]
    return tuple(CatalogEntry(**{**model, "uses": tuple(model["uses"])}) for model in models)


def find_entry(name: str) -> CatalogEntry | None:
    """Return the entry of a name, regardless of case."""
    return next((entry for entry in catalog() if entry.name == name.lower()), None)


def entry_of(repository: str) -> CatalogEntry | None:
    """Return the entry of a repository on the hub, regardless of case."""
    wanted = repository.lower()
    return next((entry for entry in catalog() if entry.repository.lower() == wanted), None)


def suitable(memory: FreeMemory, num_cores: int) -> list[Suggestion]:
    """Return the models that fit into free memory, best first: quick, for code, large."""
    judged = [_judge(entry, memory, num_cores) for entry in catalog()]
    fitting = [suggestion for suggestion in judged if suggestion is not None]

    def rank(suggestion: Suggestion) -> tuple[bool, bool, int, float]:
        uses, size = suggestion.entry.uses, suggestion.entry.parameters
        is_quick = suggestion.is_quick
        kind = min(map(tuple(_USES).index, uses))
        return "embedding" in uses, not is_quick, kind, -size if is_quick else size

    return sorted(fitting, key=rank)


def _judge(entry: CatalogEntry, memory: FreeMemory, num_cores: int) -> Suggestion | None:
    needed = entry.about_bytes + _WINDOW_BYTES
    read = entry.active or entry.parameters
    size = f"about {human_size(needed)}"
    vram = memory.vram_bytes or 0
    if needed <= _SPARE_SHARE * vram:
        return Suggestion(entry, is_quick=True, reason=f"{size} of {human_size(vram)} on the GPU")
    if needed > _SPARE_SHARE * memory.ram_bytes:
        return None
    is_quick = read <= _QUICK_PER_CORE * num_cores
    pace = "quick on" if is_quick else "slow on"
    cores = count_of(num_cores, "core")
    reason = f"{size} of {human_size(memory.ram_bytes)} free; {pace} {cores}"
    return Suggestion(entry, is_quick, reason)


def suggestion_table(suggestions: Iterable[Suggestion]) -> str:
    """Return suggested models as a Markdown table."""
    return markdown_table(SUGGESTION_COLUMNS, [(one.entry.name, *one.facts) for one in suggestions])
