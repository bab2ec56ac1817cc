"""What is remembered of a measured file, and when it counts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.stored import remember

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.engine.tuning.figures import (
    Figure,
    Tuning,
    check_room,
    copy_candidates,
    describe,
    forget_tuning,
    keep_copy,
    load_tuning,
    save_tuning,
    tuned_folder,
)
from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import Machine, this_machine

HERE = Machine(cpu="Abacus 7", num_cores=4, build="llama-cpp-python 0")
SETTINGS = {"n_threads": 3, "n_batch": 256, "flash_attention": False, "repack": False}


@pytest.fixture
def model(tiny_gguf: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_gguf, tmp_path / "model.gguf"))


def tuning_of(path: Path) -> Tuning:
    return Tuning(
        sha256=file_sha256(path),
        size_bytes=path.stat().st_size,
        machine=HERE,
        settings=SETTINGS,
        figures=(
            Figure(quantization=None, settings={}, prefill=100.0, decode=10.0, perplexity=7.5),
            Figure(quantization="Q8_0", settings=SETTINGS, prefill=200.0, decode=20.0),
        ),
    )


def with_copy(path: Path) -> Tuning:
    tuning = tuning_of(path)
    tuned_folder().mkdir(parents=True, exist_ok=True)
    scratch = shutil.copy(path, tuned_folder() / "scratch")
    copy = keep_copy(Path(scratch), tuning.sha256, "Q8_0")
    return replace(tuning, copy=copy, copy_quantization="Q8_0", copy_sha256=file_sha256(copy))


def put(record: object) -> None:
    """Change what is remembered."""
    data = json.dumps(record).encode() if isinstance(record, dict) else record
    remember(data, "tuning")


def record() -> dict[str, Any]:
    (value,) = Remembered("tuning").all().values()
    found: dict[str, Any] = json.loads(value)
    return found


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_what_is_saved_is_loaded(model: Path) -> None:
    assert load_tuning(model, HERE) is None
    for make in (tuning_of, with_copy):
        tuning = make(model)
        save_tuning(tuning)
        assert load_tuning(model, HERE) == tuning


def test_a_file_that_changed_counts_as_not_measured(model: Path) -> None:
    save_tuning(tuning_of(model))
    change(model)
    assert load_tuning(model, HERE) is None
    model.unlink()
    assert load_tuning(model, HERE) is None


def test_a_file_that_was_moved_is_known_again(model: Path, tmp_path: Path) -> None:
    tuning = tuning_of(model)
    save_tuning(tuning)
    assert load_tuning(Path(shutil.copy(model, tmp_path / "moved.gguf")), HERE) == tuning


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, cpu="Abacus 8"),
        replace(HERE, num_cores=2),
        replace(HERE, build="llama-cpp-python 1"),
        replace(HERE, features="avx512"),
    ],
    ids=str,
)
def test_what_was_measured_elsewhere_does_not_count(model: Path, other: Machine) -> None:
    save_tuning(tuning_of(model))
    assert load_tuning(model, other) is None


def test_without_its_copy_a_tuning_does_not_count(model: Path) -> None:
    tuning = with_copy(model)
    save_tuning(tuning)
    assert tuning.copy is not None
    change(tuning.copy)
    assert load_tuning(model, HERE) is None
    tuning.copy.unlink()
    assert load_tuning(model, HERE) is None


WRONG_SETTINGS: tuple[object, ...] = (
    *({"n_threads": "many"}, {"n_threads": True}, {"n_threads": -1}, {"n_threads": 1.5}),
    *({"n_gpu_layers": 7}, {"n_batch": 1}, {"repack": None}, {"flash_attention": 1}, None),
)


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b"{", b"[]", b"null", b"\x00", b"[" * 100_000, b'{"copy": 5}'),
        *({"settings": settings} for settings in WRONG_SETTINGS),
        *({"figures": [{}]}, {"figures": 5}, {"copy": "elsewhere.gguf"}, {"size_bytes": "large"}),
    ],
    ids=lambda damage: str(damage)[:40],
)
def test_a_damaged_record_is_ignored(model: Path, damage: bytes | dict[str, object]) -> None:
    save_tuning(tuning_of(model))
    put(record() | damage if isinstance(damage, dict) else damage)
    assert load_tuning(model, HERE) is None


def test_a_record_cannot_name_a_file_outside_its_folder(model: Path, tmp_path: Path) -> None:
    tuning = tuning_of(model)
    save_tuning(tuning)
    outside = Path(shutil.copy(model, tmp_path / "outside.gguf"))
    copy = {"copy": f"{tuning.sha256}-/../{outside}", "copy_sha256": file_sha256(outside)}
    put(record() | copy)
    assert load_tuning(model, HERE) is None


def test_forgetting_removes_record_and_copy_of_this_file_alone(
    model: Path, tiny_base_gguf: Path
) -> None:
    other = tuning_of(tiny_base_gguf)
    save_tuning(other)
    tuning = with_copy(model)
    save_tuning(tuning)
    assert forget_tuning(model)
    assert list(tuned_folder().iterdir()) == []
    assert (load_tuning(model, HERE), load_tuning(tiny_base_gguf, HERE)) == (None, other)
    assert not forget_tuning(model)


def test_a_new_copy_replaces_the_old_one(model: Path) -> None:
    first = with_copy(model)
    scratch = Path(shutil.copy(model, tuned_folder() / "scratch"))
    second = keep_copy(scratch, first.sha256, "Q4_0")
    save_tuning(replace(first, copy=second))
    assert set(tuned_folder().iterdir()) == {second}


def test_a_full_disk_is_refused_with_the_numbers(model: Path) -> None:
    file = inspect(model)
    check_room(file, ("Q8_0",), free_bytes=lambda _path: 1 << 40)
    with pytest.raises(ModelFileError, match=r"needs \d+ MB, but only 5 MB are free") as caught:
        check_room(file, ("Q8_0",), free_bytes=lambda _path: 5_000_000)
    assert "\n" not in str(caught.value)


def test_by_default_only_a_near_lossless_copy_is_tried(model: Path) -> None:
    file = inspect(model)
    assert copy_candidates(file, lossy=False) == ("Q8_0",)
    assert "Q4_0" in copy_candidates(file, lossy=True)
    assert copy_candidates(replace(file, quantization="Q8_0"), lossy=False) == ()


def test_this_machine_is_the_same_each_time() -> None:
    assert this_machine(2).key == this_machine(2).key != this_machine(3).key
    assert "2 cores" in str(this_machine(2))


def test_settings_are_said_in_words() -> None:
    words = ["3 threads", "batches of 256", "no flash attention", "no repacking"]
    assert describe(SETTINGS) == words
