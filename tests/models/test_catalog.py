"""The catalogue: nothing in it is guessed, and what suits a machine comes first."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from jupyter_llm.common.tables import markdown_table
from jupyter_llm.models import catalog as module
from jupyter_llm.models.catalog import (
    CatalogEntry,
    catalog,
    find_entry,
    suitable,
)
from jupyter_llm.models.hub import HubFile, Repository, wanted
from jupyter_llm.models.machine import FreeMemory

README = Path(__file__).parents[2] / "README.md"


def test_each_fact_has_its_source() -> None:
    document = tomllib.loads(Path(module.__file__).with_name("catalog.toml").read_text("utf-8"))
    for model in document["model"]:
        told = [fact for facts in model["sources"].values() for fact in facts.split(", ")]
        assert sorted(told) == sorted(model.keys() - {"name", "sources"})
        assert all(document["source"][name].startswith("https://") for name in model["sources"])


@pytest.mark.parametrize("entry", catalog(), ids=lambda entry: entry.name)
def test_each_file_is_one_that_can_be_asked_for(entry: CatalogEntry) -> None:
    others = (HubFile(f"other-{entry.quantization}.gguf", 1, ""), HubFile(entry.file, 1, ""))
    repository = Repository(name=entry.repository, revision="", files=others)
    assert [file.name for file in repository.choose(entry.file)] == [entry.file]
    assert wanted(entry.repository).repository == entry.repository
    assert entry.quantization.lower() in entry.file.lower()


def test_names_are_words_that_are_there_once() -> None:
    names = [entry.name for entry in catalog()]
    assert len(set(names)) == len(names) >= 25
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)


def test_all_uses_are_served_from_small_to_large() -> None:
    for use in ("general", "code", "fim", "embedding"):
        sizes = [entry.parameters for entry in catalog() if use in entry.uses]
        assert len(sizes) >= 4
        assert min(sizes) <= 0.5
    assert max(entry.parameters for entry in catalog()) == 30


def test_a_name_is_found_whatever_its_case() -> None:
    assert find_entry("Qwen3-4B") == find_entry("qwen3-4b") is not None
    assert find_entry("qwen") is None


def test_what_is_quick_comes_first_and_the_largest_of_that() -> None:
    found = suitable(FreeMemory(ram_bytes=16_000_000_000), num_cores=4)
    talking = [one for one in found if "embedding" not in one.entry.uses]
    quick = [one.entry.active or one.entry.parameters for one in talking if one.is_quick]
    assert max(quick) == 4
    assert [one.is_quick for one in talking] == sorted(one.is_quick for one in talking)[::-1]
    assert talking[0].entry.parameters == 21  # of which each token needs 3.6
    assert talking[0].reason == "about 13.0 GB of 16.0 GB free; quick on 4 cores"


def test_of_what_is_quick_code_comes_first_and_then_what_talks() -> None:
    found = suitable(FreeMemory(ram_bytes=4_000_000_000), num_cores=2)
    purposes = [one.entry.purpose for one in found if one.is_quick]
    assert list(dict.fromkeys(purposes)) == ["code", "talk", "code at the cursor", "vectors"]


def test_what_does_not_fit_is_not_offered() -> None:
    found = suitable(FreeMemory(ram_bytes=2_000_000_000), num_cores=64)
    assert found
    assert all(one.entry.about_bytes < 1_400_000_000 for one in found)
    assert suitable(FreeMemory(ram_bytes=100_000_000), num_cores=64) == []


def test_what_fits_on_the_gpu_is_quick() -> None:
    free = FreeMemory(ram_bytes=64_000_000_000, vram_bytes=12_000_000_000)
    by_name = {one.entry.name: one for one in suitable(free, num_cores=2)}
    assert by_name["qwen3-14b"].reason == "about 9.2 GB of 12.0 GB on the GPU"
    assert by_name["qwen3-14b"].is_quick
    assert not by_name["mistral-small-24b"].is_quick


def test_the_readme_shows_what_matters_of_the_catalogue() -> None:
    text = README.read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- catalogue -->\n\n(.*?)\n\n<!-- end -->", text, re.DOTALL)
    entries = [find_entry(name) for name in re.findall(r"^\| `(\S+)`", shown, re.MULTILINE)]
    rows = [
        (
            f"`{entry.name}`",
            entry.size,
            entry.purpose,
            entry.licence,
            f"[{entry.repository}](https://huggingface.co/{entry.repository})",
        )
        for entry in entries
        if entry is not None
    ]
    assert shown == markdown_table(("name", "parameters", "for", "licence", "repository"), rows)
