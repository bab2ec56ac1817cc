"""A file that takes the place of another in one step: nobody ever sees half of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAFT_SUFFIX = ".tmp"
"""What the names of drafts end with; a process that is killed may leave one."""


@contextmanager
def replacing(path: Path, *, is_private: bool = True) -> Iterator[BinaryIO]:
    """A draft to write, which becomes the file if nothing is raised meanwhile.

    It is for its owner only, or as the file before it. After an `OSError` the file is as it was.
    """
    handle, draft = tempfile.mkstemp(suffix=DRAFT_SUFFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        if not is_private:
            shutil.copymode(path, draft)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
