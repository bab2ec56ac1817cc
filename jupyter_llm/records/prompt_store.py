"""Keeps prompts on disk under the hash of their tokens, so that an answer can be written again.

A file is `FOLDER/HASH.prompt`, HASH the SHA-256 of the token ids that were sent. It holds the line
`jllm-prompt 1`, the SHA-256 of the rest, and JSON packed by zlib: the hash once more, the text or
the messages with the tokens that they carry, and what the answer was made to begin with. Files are
their owner's alone, since they hold what the user wrote. When one was last used, its mtime tells.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import re
import stat
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from jupyter_llm.engine.request import Message, Prompt, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jupyter_llm.engine.request import Request

logger = logging.getLogger(__name__)

_MAGIC = b"jllm-prompt 1\n"
_DIGEST_SIZE = sha256().digest_size
_SUFFIX = ".prompt"
_TEMPORARY = ".tmp"
_NAME = re.compile("[0-9a-f]{64}")
_MAX_BYTES = 64 << 20
_MAX_UNPACKED = 64 << 20  # no prompt is longer; a file that says so is no friend
_MAX_PENDING = 64
_ABANDONED_S = 600.0  # a temporary file that has not grown for this long is nobody's any more
_CLOSING_S = 2.0  # the end of a kernel is not held up for longer
_TOKEN_RANGE = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class KeptPrompt:
    """A prompt as it was asked: what makes the same tokens again."""

    prompt: Prompt
    answer_prefix: str = ""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the prompt of a request."""
        return cls(request.prompt, getattr(request, "answer_prefix", "") or "")


def prompts_folder() -> Path:
    """Return where prompts are kept; it need not exist."""
    from platformdirs import user_data_path

    return user_data_path("jupyter_llm") / "prompts"


class PromptStore:
    """Prompts in a folder that several kernels share. Safe from any thread.

    The files take at most `max_bytes`; the least recently used ones go first. The thread
    "jupyter-llm-prompts" writes, and ends when it has nothing to do. Trouble with the disk is
    logged, the first time as a warning, and never raised. A forked child keeps and finds nothing.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = _MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._pid = os.getpid()
        self._changed = threading.Condition()  # guards all below
        self._pending: dict[Path, KeptPrompt | None] = {}  # by where it will be; None: remove it
        self._writer: threading.Thread | None = None
        self._is_told = False

    def keep(self, prompt_sha256: str, prompt: KeptPrompt) -> None:
        """Write a prompt in the background; returns at once."""
        if self._pid != os.getpid() or not _NAME.fullmatch(prompt_sha256):
            return
        with self._changed:
            kept = [path for path, waiting in self._pending.items() if waiting is not None]
            if len(kept) >= _MAX_PENDING:  # the disk is too slow: the oldest are not kept
                del self._pending[kept[0]]
            self._put({self._path(prompt_sha256): prompt})

    def forget(self, prompt_sha256s: Iterable[str]) -> None:
        """Remove prompts from the disk, in the background; returns at once."""
        paths = [self._path(name) for name in prompt_sha256s if _NAME.fullmatch(name)]
        if paths and self._pid == os.getpid():
            with self._changed:
                self._put(dict.fromkeys(paths))

    def _put(self, tasks: Mapping[Path, KeptPrompt | None]) -> None:
        self._pending.update(tasks)
        if self._writer is None:
            self._start_writer()

    def find(self, prompt_sha256: str) -> KeptPrompt | None:
        """Return a prompt, if it is here and sound; a damaged file is removed."""
        if self._pid != os.getpid() or not _NAME.fullmatch(prompt_sha256):
            return None
        path = self._path(prompt_sha256)
        with self._changed:
            if path in self._pending:
                return self._pending[path]
        try:
            data = path.read_bytes()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._tell(error, path.parent)
            return None
        prompt = _unpacked(data, prompt_sha256)
        with contextlib.suppress(OSError):
            if prompt is None:
                logger.info("A damaged prompt is removed: %s", path)
                path.unlink(missing_ok=True)
            else:
                os.utime(path)
        return prompt

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, and return whether it is."""
        if self._pid != os.getpid():
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self._writer is None, timeout_s)

    def _path(self, prompt_sha256: str) -> Path:
        # Asked for on first need: platformdirs is not free to import.
        return (self._folder or prompts_folder()) / f"{prompt_sha256}{_SUFFIX}"

    def _start_writer(self) -> None:
        writer = threading.Thread(
            target=self._write_pending, name="jupyter-llm-prompts", daemon=True
        )
        try:
            writer.start()
        except RuntimeError as error:  # the interpreter is shutting down, or has no room
            logger.debug("No more prompts are kept: %s", error)
            self._pending.clear()
            return
        self._writer = writer
        # A kernel may end as soon as its last cell has; a daemon thread would end with it.
        atexit.unregister(self._close)
        atexit.register(self._close)

    def _close(self) -> None:
        self.flush(_CLOSING_S)

    def _write_pending(self) -> None:
        while True:
            with self._changed:
                if not self._pending:
                    self._writer = None
                    self._changed.notify_all()
                    return
                path = next(iter(self._pending))
                prompt = self._pending[path]  # found there until it is on disk
            try:
                if prompt is None:
                    path.unlink(missing_ok=True)
                else:
                    self._write(path, prompt)
            except OSError as error:
                self._tell(error, path.parent)
            except Exception:
                logger.exception("A prompt could not be kept")
            with self._changed:
                if path in self._pending and self._pending[path] is prompt:
                    del self._pending[path]

    def _write(self, path: Path, prompt: KeptPrompt) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # known already: used just now
            return
        folder = path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=_TEMPORARY, dir=folder)  # for its owner only
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_packed(path.stem, prompt))
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        self._shrink(keep=path)

    def _shrink(self, keep: Path) -> None:
        """Remove the least recently used files above the cap, and what crashed kernels left."""
        abandoned_s = time.time() - _ABANDONED_S
        stored: list[tuple[float, int, Path]] = []
        for path in keep.parent.iterdir():
            with contextlib.suppress(FileNotFoundError):  # others remove files too
                status = path.lstat()
                if path.suffix == _SUFFIX and stat.S_ISREG(status.st_mode):
                    stored.append((status.st_mtime, status.st_size, path))
                elif path.suffix == _TEMPORARY and status.st_mtime < abandoned_s:
                    path.unlink()
        excess = sum(size for _, size, _ in stored) - self._max_bytes
        for _, size, path in sorted(stored):
            if excess <= 0:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                excess -= size

    def _tell(self, error: OSError, folder: Path) -> None:
        level = logging.DEBUG if self._is_told else logging.WARNING
        self._is_told = True
        logger.log(
            level,
            "Prompts cannot be kept in %s (%s), so /verify will not find them after a restart. "
            "Make room there, or make the folder writable.",
            folder,
            error,
        )


def _packed(prompt_sha256: str, kept: KeptPrompt) -> bytes:
    """Return what stands in a file."""
    prompt = kept.prompt
    content: dict[str, Any] = {
        "prompt_sha256": prompt_sha256,
        "answer_prefix": kept.answer_prefix,
        "prompt": prompt if isinstance(prompt, str) else [_packed_message(m) for m in prompt],
    }
    body = zlib.compress(json.dumps(content).encode("ascii"))
    return _MAGIC + sha256(body).digest() + body


def _unpacked(data: bytes, prompt_sha256: str) -> KeptPrompt | None:
    """Return the prompt in a file, or None if it is damaged or another one's."""
    start = len(_MAGIC) + _DIGEST_SIZE
    digest, body = data[len(_MAGIC) : start], data[start:]
    if not data.startswith(_MAGIC) or sha256(body).digest() != digest:
        return None
    unpacker = zlib.decompressobj()
    try:
        content = json.loads(unpacker.decompress(body, _MAX_UNPACKED))
        if not unpacker.eof or content["prompt_sha256"] != prompt_sha256:
            return None
        prompt, prefix = content["prompt"], content["answer_prefix"]
        if not isinstance(prefix, str):
            return None
        if isinstance(prompt, str):
            return KeptPrompt(prompt, prefix)
        return KeptPrompt(tuple(_message(message) for message in prompt), prefix)
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _packed_message(message: Message) -> dict[str, Any]:
    """Return what a message says beyond the defaults: texts, and lists of tokens or texts."""
    values = {one.name: (getattr(message, one.name), one.default) for one in fields(message)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _message(data: dict[str, Any]) -> Message:
    is_sound = data["role"] in get_args(Role) and isinstance(data["content"], str)
    values: dict[str, Any] = {"role": data["role"], "content": data["content"]}
    for name in data.keys() - values:
        values[name] = tuple(data[name])
        is_item = _is_token if name == "token_ids" else _is_text
        is_sound = is_sound and isinstance(data[name], list) and all(map(is_item, values[name]))
    if not is_sound:
        raise ValueError(data)
    return Message(**values)  # what it does not know is a newer version's


def _is_token(value: object) -> bool:
    return type(value) is int and value in _TOKEN_RANGE


def _is_text(value: object) -> bool:
    return isinstance(value, str)
