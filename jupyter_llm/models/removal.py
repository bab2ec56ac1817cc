"""Removing a model: only files in our own folder and in the hub's cache are ours to delete."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.inspect import parts_of
from jupyter_llm.models.sources import hub_cache, models_folder


@dataclass(frozen=True, slots=True)
class Removal:
    """What is deleted with a model, and what that frees; nothing is before `carry_out`."""

    paths: tuple[Path, ...]
    size_bytes: int
    carry_out: Callable[[], None]


def removal(entry: ModelEntry) -> Removal:
    """What is to be deleted for a model; `ModelFileError` if it is not ours to delete."""
    path = Path(os.path.abspath(entry.path))  # noqa: PTH100  links stay: it is they that go
    if not os.path.lexists(path):
        raise ModelFileError(path, f"There is no file {path}.")
    if _is_in(path, models_folder()):
        return _of_files(parts_of(path))
    if _is_in(path, hub_cache()):
        return _of_hub(path)
    raise ModelFileError(
        path,
        f"{path} was not downloaded by jupyter_llm and is not deleted: remove it with the program "
        "it belongs to, or by hand.",
    )


def _is_in(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, and not only by way of a link to elsewhere."""
    return Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder))


def _of_files(paths: list[Path]) -> Removal:
    def carry_out() -> None:
        try:
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ModelFileError(path, f"{path} cannot be deleted: {error.strerror}.") from None

    size_bytes = sum(path.lstat().st_size for path in paths if os.path.lexists(path))
    return Removal(tuple(paths), size_bytes, carry_out)


def _of_hub(path: Path) -> Removal:
    """The files of a model in huggingface_hub's cache, or the revision if it has no others."""
    from huggingface_hub import scan_cache_dir

    cache = scan_cache_dir(hub_cache())
    resolved = Path(os.path.realpath(path.parent))
    names = {part.name for part in parts_of(path)}
    for repo in cache.repos:
        for revision in repo.revisions:
            if resolved.is_relative_to(os.path.realpath(revision.snapshot_path)):
                # Another repository may have a revision of the same hash, so it is not shown.
                alone = replace(cache, repos=frozenset({repo}))
                files = [
                    file
                    for file in revision.files
                    if file.file_name in names
                    and resolved == Path(os.path.realpath(file.file_path.parent))
                ]
                # With its only revision the whole repository goes, and what of it still comes.
                is_coming = any((repo.repo_path / "blobs").glob("*.incomplete"))
                if len(files) == len(revision.files) and not is_coming:
                    strategy = alone.delete_revisions(revision.commit_hash)
                elif not hasattr(alone, "delete_files"):
                    raise ModelFileError(
                        path,
                        f"{repo.repo_id} has other files here, or a download was begun, and these "
                        "would go too. Upgrade huggingface_hub to 2.4, which removes one alone.",
                    )
                else:
                    strategy = alone.delete_files(*files)
                paths = tuple(sorted(file.file_path for file in files))
                carry_out = partial(_delete, paths, strategy.execute)
                return Removal(paths, strategy.expected_freed_size, carry_out)
    raise ModelFileError(path, f"huggingface_hub does not know {path}. Delete it by hand.")


def _delete(paths: tuple[Path, ...], execute: Callable[[], None]) -> None:
    """Let huggingface_hub delete files; where it may not, it mostly only warns."""
    try:
        execute()
    except OSError as error:
        raise ModelFileError(paths[0], f"{paths[0]} cannot be deleted: {error}.") from None
    for path in filter(os.path.lexists, paths):
        raise ModelFileError(path, f"{path} cannot be deleted. Delete it by hand.")
