"""What was measured of a model file on a machine, and what to load since then.

Light: no llama.cpp. What is remembered of a file hash and a machine stands in the user's store, and
copies in the cache folder; whatever cannot be read there counts as not measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_llm.common.packing import DamagedValueError, packed, unpacked
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import file_sha256, known_sha256
from jupyter_llm.models.inspect import ModelFile, inspect
from jupyter_llm.models.machine import Machine

Settings = Mapping[str, int | bool]
"""Loading options by their names in `EngineOptions`; what is missing is left to the default."""

NEAR_LOSSLESS = "Q8_0"
"""The quantization that keeps what any other holds, to within a rounding."""

_REMEMBERED = Remembered("tuning")
# What a setting may be: a number in a range, or a choice.
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

    def __post_init__(self) -> None:
        """Refuse settings that there are not."""
        check_settings(self.settings)

    @property
    def turn_s(self) -> float:
        """How long a turn takes that reads 256 tokens and writes 64: the one number to compare."""
        return _TURN_PREFILL / self.prefill + _TURN_DECODE / self.decode

    def times_as_fast(self, other: Figure) -> float:
        """How many of our turns take the time of one of the other's."""
        return other.turn_s / self.turn_s

    @property
    def label(self) -> str:
        """What was measured, in a few words."""
        file = "as it is" if self.quantization is None else f"{self.quantization} copy"
        return ", ".join([file, *describe(self.settings)])


def describe(settings: Settings) -> list[str]:
    """Each setting in words."""
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

    @property
    def in_use(self) -> Figure | None:
        """How fast it runs as it is loaded now."""
        chosen = (self.copy_quantization, self.settings)
        figures = (
            figure for figure in self.figures if (figure.quantization, figure.settings) == chosen
        )
        return next(figures, None)

    def __post_init__(self) -> None:
        """Refuse settings that there are not, and a copy of another file."""
        check_settings(self.settings)
        if self.copy is not None and not self.copy.name.startswith(f"{self.sha256}-"):
            raise ValueError(f"{self.copy.name} is no copy of {self.sha256}")


def check_settings(settings: Settings) -> None:
    """Refuse a setting that there is not, or a value that it cannot have."""
    for name, value in settings.items():
        is_choice = name in _CHOICES
        is_known = isinstance(value, bool) if is_choice else value in _NUMBERS.get(name, ())
        if not is_known or isinstance(value, bool) is not is_choice:
            raise ValueError(f"{name} cannot be {value!r}")


def tuned_folder() -> Path:
    """Where tunings and copies are kept; it need not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("jupyter_llm") / "tuned"


def load_tuning(path: Path, machine: Machine) -> Tuning | None:
    """What was measured of a file on this machine, if it was.

    Cheap: a file is only read if its hash is not known and one of its size was measured here. A
    file that changed since, a copy that is gone or changed and a damaged record all count as not
    measured.
    """
    try:
        sha256 = known_sha256(path) or _sha256_if_likely(path, machine)
        if sha256 is None:
            return None
        tuning = _read(_REMEMBERED.get(_key(sha256, machine)))
        if tuning and tuning.copy and file_sha256(tuning.copy) != tuning.copy_sha256:
            return None
    except OSError:
        return None
    return tuning


def _sha256_if_likely(path: Path, machine: Machine) -> str | None:
    """Hash a file if one as large was measured: it may have been moved or installed anew."""
    size_bytes = path.stat().st_size
    for record in _REMEMBERED.all().values():
        tuning = _read(record)
        if tuning is not None and (tuning.machine, tuning.size_bytes) == (machine, size_bytes):
            return file_sha256(path)
    return None


def measured_sizes(machine: Machine) -> set[int]:
    """The sizes of the files that were measured on this machine: others need not be looked up."""
    tunings = (_read(record) for record in _REMEMBERED.all().values())
    return {tuning.size_bytes for tuning in tunings if tuning and tuning.machine == machine}


def save_tuning(tuning: Tuning) -> None:
    """Remember a tuning in place of an earlier one, whose copy goes if it is another."""
    record = packed(tuning, lambda copy: copy.name).decode()
    _REMEMBERED.put(_key(tuning.sha256, tuning.machine), record)
    for copy in tuned_folder().glob(f"{tuning.sha256}-*.gguf"):
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
    return forget_tuning_of(file_sha256(path))


def forget_tuning_of(sha256: str) -> bool:
    """Remove all that is remembered of the files with a hash; False if there was nothing."""
    known = [key for key in _REMEMBERED.all() if key.startswith(sha256)]
    _REMEMBERED.forget(known)
    found = list(tuned_folder().glob(f"{sha256}-*"))
    for item in found:
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
    return bool(known or found)


def copy_bytes(file: ModelFile, quantization: str) -> int:
    """About how large a copy in another quantization is."""
    return int(file.num_parameters * _BYTES_PER_WEIGHT[quantization] * _SPARE) + (4 << 20)


def check_room(
    file: ModelFile,
    quantizations: tuple[str, ...],
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> None:
    """Refuse, with the numbers, to write copies that do not fit on the disk: `ModelFileError`."""
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


def _key(sha256: str, machine: Machine) -> str:
    return f"{sha256} {machine.key}"


def _read(record: str | None) -> Tuning | None:
    if record is None:
        return None
    try:
        data = record.encode("utf-8", "surrogateescape")
        return unpacked(data, Tuning, lambda _kind, name: tuned_folder() / Path(name).name)
    except DamagedValueError:
        return None


def copy_candidates(file: ModelFile, *, lossy: bool) -> tuple[str, ...]:
    """The quantizations worth a try in a copy: those with fast kernels nearly everywhere.

    Q8_0 keeps what the file has, to within a rounding that perplexity does not notice; the others
    lose more. From Q8_0 on, a copy can only lose.
    """
    names = tuple(_BYTES_PER_WEIGHT) if lossy else (NEAR_LOSSLESS,)
    return tuple(name for name in names if name != file.quantization)
