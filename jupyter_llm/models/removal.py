"""Deletes a model; only files in our own folder and in the hub's cache are ours to delete."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.inspect import parts_of
from jupyter_llm.models.sources import hub_cache, models_folder


@dataclass(frozen=True, slots=True)
class Removal:
    """The files to delete with a model, and their size; `carry_out` deletes them."""

    paths: tuple[Path, ...]
    size_bytes: int
    others: tuple[Path, ...] = ()
    """Further paths to delete: the hub's blobs behind links, and an empty repository."""

    def carry_out(self) -> None:
        """Delete all files."""
        try:
            for path in (*self.paths, *self.others):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise ModelFileError(path, f"{path} cannot be deleted: {error.strerror}.") from None


def removal(entry: ModelEntry) -> Removal:
    """Return what to delete for a model; raise `ModelFileError` if it is not ours to delete."""
    path = Path(os.path.abspath(entry.path))  # noqa: PTH100 a link itself is deleted
    if not os.path.lexists(path):
        raise ModelFileError(path, f"There is no file {path}. Check the name.")
    paths = [part for part in parts_of(path) if os.path.lexists(part)]
    if _is_in(path, models_folder()):
        return Removal(tuple(paths), sum(part.lstat().st_size for part in paths))
    if _is_in(path, hub_cache()):
        return _of_hub(paths)
    raise ModelFileError(
        path,
        f"jupyter_llm did not download {path} and does not delete it. Delete it with the program "
        "that downloaded it, or by hand.",
    )


def _is_in(path: Path, folder: Path) -> bool:
    """Whether a file is really in a folder, not through a link that leads out of it."""
    return Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))


def _of_hub(paths: list[Path]) -> Removal:
    """Return the names in a snapshot of the hub's cache, and the blobs that have no other name.

    With its last name the whole repository is deleted, unless more of it is being downloaded.
    """
    cache = Path(os.path.realpath(hub_cache()))
    here = Path(os.path.realpath(paths[0].parent))
    name, *below = (*here.relative_to(cache).parts, "")
    if below[:1] != ["snapshots"]:
        raise ModelFileError(
            paths[0], f"{paths[0]} is not in huggingface_hub's cache. Delete it by hand."
        )
    repository = cache / name
    removed = {here / path.name for path in paths}
    kept = [path for path in repository.glob("snapshots/*/**/*") if path not in removed]
    in_use = {os.path.realpath(path) for path in kept if not path.is_dir()}
    blobs = {Path(os.path.realpath(path)) for path in removed} - removed
    blobs = {blob for blob in blobs if str(blob) not in in_use and blob.parent.parent == repository}
    size = sum(path.lstat().st_size for path in (removed | blobs) if not path.is_symlink())
    is_downloading = any(repository.glob("blobs/*.incomplete"))
    others = blobs if in_use or is_downloading else {repository}
    return Removal(tuple(paths), size, tuple(others))
