"""What was measured of a model file on a machine, and what to load since then.

Light: no threads, no llama.cpp. One JSON file for each file hash and machine, in the cache folder;
whatever cannot be read there counts as not measured.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import file_sha256, known_sha256
from jupyter_llm.models.inspect import ModelFile, inspect
from jupyter_llm.models.machine import Machine

T = TypeVar("T")

Settings = Mapping[str, int | bool]
"""Loading options by their names in `EngineOptions`; what is missing is left to the default."""

NEAR_LOSSLESS = "Q8_0"
"""The quantization that keeps what any other holds, to within a rounding."""

# What a stored setting may be: a number in a range, or a choice.
_NUMBERS = {"n_threads": range(1, 513), "n_batch": range(32, 65537)}
_CHOICES = ("flash_attention", "repack")
# Bytes a weight takes. Small tensors stay larger and the vocabulary comes on top: see _SPARE.
_BYTES_PER_WEIGHT = {"Q8_0": 34 / 32, "Q4_K_M": 0.75, "Q4_0": 0.65}
_SPARE = 1.1
_SPARE_BYTES = 64 << 20
# A turn of a conversation, in tokens: what is read anew, and what is written.
_TURN_PREFILL, _TURN_DECODE = 256, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """How fast a file ran with some settings: tokens/s, medians.

    `quantization` is that of a copy, or None for the file itself. `perplexity` is of the fixed
    text, where it was measured.
    """

    quantization: str | None
    settings: Settings
    prefill: float
    decode: float
    perplexity: float | None = None

    @property
    def turn_s(self) -> float:
        """How long a turn takes that reads 256 tokens and writes 64: the one number to compare."""
        return _TURN_PREFILL / self.prefill + _TURN_DECODE / self.decode

    def times_as_fast(self, other: Figure) -> float:
        """Return how many of our turns take the time of one of the other's."""
        return other.turn_s / self.turn_s

    @property
    def label(self) -> str:
        """What was measured, in a few words."""
        file = "as it is" if self.quantization is None else f"{self.quantization} copy"
        return ", ".join([file, *describe(self.settings)])


def describe(settings: Settings) -> list[str]:
    """Return each setting in words."""
    words: dict[str, Callable[[int | bool], str]] = {
        "n_threads": lambda n: "1 thread" if n == 1 else f"{n} threads",
        "n_batch": lambda n: f"batches of {n}",
        "flash_attention": lambda on: "flash attention" if on else "no flash attention",
        "repack": lambda on: "repacking" if on else "no repacking",
    }
    return [words[name](value) for name, value in settings.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What to load in place of a model file's defaults on one machine."""

    sha256: str
    size_bytes: int
    machine: Machine
    settings: Settings = field(default_factory=dict)
    copy: Path | None = None
    copy_quantization: str | None = None
    copy_sha256: str | None = None
    figures: tuple[Figure, ...] = ()


def tuned_folder() -> Path:
    """Return where tunings and copies are kept; it need not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("jupyter_llm") / "tuned"


def load_tuning(path: Path, machine: Machine) -> Tuning | None:
    """Return what was measured of a file on this machine, if it was.

    Cheap: a file is only read if its hash is not known and one of its size was measured here. A
    file that changed since, a copy that is gone or changed and a damaged record all count as not
    measured.
    """
    try:
        sha256 = known_sha256(path) or _sha256_if_likely(path, machine)
        if sha256 is None:
            return None
        tuning = _read(tuned_folder() / _record_name(sha256, machine), sha256, machine)
        if tuning and tuning.copy and file_sha256(tuning.copy) != tuning.copy_sha256:
            return None
    except OSError:
        return None
    return tuning


def _sha256_if_likely(path: Path, machine: Machine) -> str | None:
    """Hash a file if one as large was measured: it may have been moved or installed anew."""
    size_bytes = path.stat().st_size
    for record in tuned_folder().glob(f"*-{machine.key}.json"):
        tuning = _read(record, record.name.partition("-")[0], machine)
        if tuning is not None and tuning.size_bytes == size_bytes:
            return file_sha256(path)
    return None


def save_tuning(tuning: Tuning) -> None:
    """Remember a tuning in place of an earlier one, whose copy goes if it is another."""
    record = asdict(tuning) | {"copy": tuning.copy.name if tuning.copy else None}
    del record["sha256"], record["machine"]  # the file's name tells both
    folder = tuned_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _record_name(tuning.sha256, tuning.machine)
    draft = target.with_suffix(f".{os.getpid()}.part")
    try:
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    for copy in folder.glob(f"{tuning.sha256}-*.gguf"):
        if copy != tuning.copy:
            copy.unlink(missing_ok=True)


def keep_copy(scratch: Path, sha256: str, quantization: str) -> Path:
    """Move a finished copy to its place and return where it is."""
    target = tuned_folder() / f"{sha256}-{quantization}.gguf"
    scratch.replace(target)
    return target


def forget_tuning(path: Path) -> bool:
    """Remove all that is remembered of a file, copies too; False if there was nothing."""
    inspect(path)  # says it if the file is not there
    found = list(tuned_folder().glob(f"{file_sha256(path)}-*"))
    for item in found:
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
    return bool(found)


def copy_bytes(file: ModelFile, quantization: str) -> int:
    """Return about how large a copy in another quantization is."""
    return int(file.num_parameters * _BYTES_PER_WEIGHT[quantization] * _SPARE) + (4 << 20)


def check_room(
    file: ModelFile,
    quantizations: tuple[str, ...],
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> None:
    """Refuse to write copies that do not fit on the disk.

    Raises
    ------
    ModelFileError
        There is not room enough; the message has the numbers.
    """
    folder = tuned_folder()
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(copy_bytes(file, quantization) for quantization in quantizations) + _SPARE_BYTES
    free = free_bytes(folder)
    if free < needed:
        raise ModelFileError(
            file.path,
            f"A copy of {file.path.name} needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB "
            f"are free in {folder}. Make room there, or measure without --copy.",
        )


def _record_name(sha256: str, machine: Machine) -> str:
    return f"{sha256}-{machine.key}.json"


def _read(path: Path, sha256: str, machine: Machine) -> Tuning | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = _optional(record["copy"], str)
        if name is not None and not name.startswith(f"{sha256}-"):
            raise ValueError(name)
        return Tuning(
            sha256=sha256,
            size_bytes=int(record["size_bytes"]),
            machine=machine,
            settings=_settings(record["settings"]),
            copy=path.with_name(name) if name else None,
            copy_quantization=_optional(record["copy_quantization"], str),
            copy_sha256=_optional(record["copy_sha256"], str),
            figures=tuple(read_figures(record["figures"])),
        )
    return None


def read_figures(records: list[dict[str, Any]]) -> Iterator[Figure]:
    """Make figures of what `asdict` made of them.

    Raises
    ------
    KeyError, TypeError, ValueError
        They are damaged.
    """
    for record in records:
        perplexity = record["perplexity"]
        yield Figure(
            quantization=_optional(record["quantization"], str),
            settings=_settings(record["settings"]),
            prefill=float(record["prefill"]),
            decode=float(record["decode"]),
            perplexity=None if perplexity is None else float(perplexity),
        )


def _settings(record: Any) -> Settings:
    for name, value in dict(record).items():
        is_choice = name in _CHOICES
        if isinstance(value, bool) is not is_choice or not (is_choice or value in _NUMBERS[name]):
            raise ValueError(name)
    return dict(record)


def _optional(value: Any, kind: type[T]) -> T | None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(value)
    return value


def copy_candidates(file: ModelFile, *, lossy: bool) -> tuple[str, ...]:
    """Return the quantizations worth a try in a copy: those with fast kernels nearly everywhere.

    Q8_0 keeps what the file has, to within a rounding that perplexity does not notice; the others
    lose more. From Q8_0 on, a copy can only lose.
    """
    names = tuple(_BYTES_PER_WEIGHT) if lossy else (NEAR_LOSSLESS,)
    return tuple(name for name in names if name != file.quantization)
