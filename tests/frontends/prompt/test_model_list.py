"""What people are told of each model that they can load."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.gguf_edit import I32, U32
from support.model_stores import LM_STUDIO, put, write_small_gguf

from jupyter_llm import llm
from jupyter_llm.frontends.prompt.model_list import ListedModel, listed_models, model_table


@pytest.fixture
def folder(home: Path) -> Path:
    return home / LM_STUDIO / "p"


def listed(name: str) -> ListedModel:
    return next(model for model in listed_models(llm) if model.entry.name == name)


def test_all_that_is_known_of_a_model_stands_in_its_row(tiny_gguf: Path, folder: Path) -> None:
    put(tiny_gguf, folder / "m.gguf")
    model = listed("m")
    *facts, here, source = model.facts
    assert facts == ["0.109M", "F32", "441.3 kB", "4,096", "chat", "cc0-1.0"]
    assert here.startswith("fits: ")
    assert " MB and up to 25.0 MB for texts with a seed, of " in here
    assert here.endswith(" GB")
    assert source == "LM Studio"
    row = model_table([model]).splitlines()[-1]
    assert all(fact in row for fact in ("m", *model.facts))


def test_a_model_that_needs_more_than_there_is_says_so_with_the_numbers(
    tiny_gguf: Path, folder: Path
) -> None:
    write_small_gguf(
        tiny_gguf,
        folder / "huge.gguf",
        llama__block_count=(U32, 512),
        llama__attention__head_count=(U32, 65536),
        llama__attention__head_count_kv=(U32, 65536),
        llama__attention__key_length=(U32, 4096),
    )
    model = listed("huge")
    assert not model.fits
    assert model.needs_bytes > model.free_bytes > 0
    assert "too large: needs " in model.here


@pytest.mark.parametrize(
    ("keys", "purpose"),
    [
        ({"tokenizer__ggml__fim_mid_token_id": (I32, 5)}, "chat, code at the cursor"),
        ({"llama__pooling_type": (I32, 1)}, "vectors"),
    ],
)
def test_what_a_model_is_for_is_told(
    tiny_gguf: Path, folder: Path, keys: dict[str, tuple[int, object]], purpose: str
) -> None:
    write_small_gguf(tiny_gguf, folder / "m.gguf", **keys)
    assert listed("m").purpose == purpose
