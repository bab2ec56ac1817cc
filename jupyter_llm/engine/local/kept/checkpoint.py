"""Keeps the KV state of prefixes on disk, so that a restarted kernel resumes warm.

Knows token ids and bytes, not llama.cpp. A file is `FOLDER/SCOPE/TOKENS.kv`, where SCOPE and TOKENS
are SHA-256 sums in hexadecimal, cut to 32 digits. It holds, little-endian and without gaps: a magic
of 8 bytes, the version, the number of tokens, the length of the state, the SHA-256 of the scope and
of the state, that of all these fields and the tokens, the tokens in 4 bytes each, and the state.

Nothing behind the fields is read unless their lengths add up to the size of the file. SHA-256 is
the fastest cryptographic sum of hashlib where the processor helps (35 MB: 19 ms, BLAKE2b: 39 ms).
The mtime of a file is the time of its last use.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jupyter_llm.common.files import open_regular
from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.local.native.system import pages
from jupyter_llm.engine.local.sched.slots import common_prefix

logger = logging.getLogger(__name__)

_MAGIC = b"jllm-kv\n"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQ32s32s")
_HEADER_SIZE = _FIELDS.size + sha256().digest_size
_TOKEN_SIZE = 4

_SUFFIX = ".kv"
_DRAFT_SUFFIX = ".tmp"  # a process that is killed may leave one
_SCOPE_NAME = re.compile("[0-9a-f]{32}")  # of no other folder do we touch a file

_CLEAR_S = 10.0  # a state that is being written is waited for
_MAX_PENDING = 2  # writes; each holds a whole state in memory
_ABANDONED_S = 600.0  # a temporary file that has not grown for this long is nobody's any more


def checkpoint_folder() -> Path:
    """Return the folder of the checkpoints."""
    import platformdirs

    return platformdirs.user_cache_path("jupyter_llm") / "checkpoints"


def _pack(token_ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(token_ids)}i", *token_ids)


def _unpack(tokens: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(tokens) // _TOKEN_SIZE}i", tokens)


def _file_name(tokens: bytes) -> str:
    return sha256(tokens).hexdigest()[:32] + _SUFFIX


class _FileStart(NamedTuple):
    """The verified header of a file."""

    tokens: bytes
    state_length: int
    state_digest: bytes


def _read_header(file: BinaryIO, name: str, scope: bytes) -> _FileStart | None:
    """Read a file up to its state, or return None if it is damaged or foreign."""
    start = file.read(_HEADER_SIZE)
    if len(start) < _HEADER_SIZE:
        return None
    fields, digest = start[: _FIELDS.size], start[_FIELDS.size :]
    magic, version, num_tokens, state_length, file_scope, state_digest = _FIELDS.unpack(fields)
    tokens_size = _TOKEN_SIZE * num_tokens
    whole_size = _HEADER_SIZE + tokens_size + state_length
    is_ours = (magic, version, file_scope) == (_MAGIC, _VERSION, scope)
    if not is_ours or os.fstat(file.fileno()).st_size != whole_size:
        return None
    tokens = file.read(tokens_size)
    if sha256(fields + tokens).digest() != digest or _file_name(tokens) != name:
        return None
    return _FileStart(tokens, state_length, state_digest)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored prefix that begins like a prompt: its first `num_common` tokens are the same.

    `read` returns its state, or None if the file is missing or damaged. A damaged file is removed.
    """

    token_ids: tuple[int, ...]
    num_common: int
    read: Callable[[], memoryview | None] = field(repr=False)


class _Unwritten(NamedTuple):
    """A state on its way to the disk."""

    tokens: bytes
    state: bytes | memoryview
    whole: bool

    def supersedes(self, tokens: bytes) -> bool:
        """Tell whether it serves every prompt that a checkpoint of these tokens does."""
        return self.tokens == tokens or (not self.whole and self.tokens.startswith(tokens))


_stores: weakref.WeakSet[CheckpointStore] = weakref.WeakSet()  # of this process


class CheckpointStore:
    """States of prefixes in a folder that several kernels share.

    `scope` names all that a state depends on (model file, llama.cpp build, context settings): what
    was stored under another scope is never found. The files of all scopes together take at most
    `max_bytes`; the least recently used ones go first. Safe from any thread. The thread
    "jupyter-llm-checkpoints" writes, and ends when it has nothing to do.

    Trouble with the disk is logged once as a warning, never raised.
    """

    def __init__(self, folder: Path, scope: str, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._scope = sha256(scope.encode()).digest()
        self._own_folder = folder / self._scope.hex()[:32]
        self._pid = os.getpid()
        self._has_warned = False  # that the disk does not do as asked
        self._listing = threading.Lock()  # guards what is known of the files
        self._known: dict[str, bytes | None] = {}  # packed tokens by file name; None: damaged
        self._lock = threading.Lock()  # guards what waits
        self._pending: dict[str, _Unwritten] = {}  # by file name, the oldest first
        self._writer = Chore(self._write_next, "jupyter-llm-checkpoints")
        _stores.add(self)

    def find(
        self, token_ids: Sequence[int], *, more_than: int, whole: bool = False
    ) -> Checkpoint | None:
        """The stored prefix that shares the most leading tokens with a prompt.

        It must share more than `more_than` tokens. Of equals the shortest is meant. With `whole`,
        for models that cannot forget the end of what they have read, the prompt must begin with
        all of its tokens. Leave out the prompt's last token, which the model must evaluate anyway.
        """
        prompt = _pack(token_ids)
        start = prompt[: _TOKEN_SIZE * (max(more_than, 0) + 1)]
        alike = (
            (common_prefix(tokens, prompt) // _TOKEN_SIZE, name, tokens)
            for name, tokens in self._stored().items()
            if tokens.startswith(start) and (not whole or prompt.startswith(tokens))
        )
        longest = max(alike, key=lambda found: found[0], default=(0, "", b""))
        num_common, name, tokens = longest
        if num_common <= max(more_than, 0):
            return None
        return Checkpoint(_unpack(tokens), num_common, partial(self._read, name))

    def write(
        self, token_ids: Sequence[int], state: bytes | memoryview, *, whole: bool = False
    ) -> None:
        """Store the state of a prefix in the background.

        Shorter prefixes of it are dropped, since it serves their prompts, too. With `whole` they
        are kept, since the model cannot forget the end of a text. If the disk is too slow, the
        states that have waited longest are not written.
        """
        if not token_ids:
            return
        write = _Unwritten(_pack(token_ids), state, whole)
        if _HEADER_SIZE + len(write.tokens) + len(state) > self._max_bytes:
            return
        with self._lock:
            for name, waiting in list(self._pending.items()):
                if write.supersedes(waiting.tokens):
                    del self._pending[name]
            while len(self._pending) >= _MAX_PENDING:
                del self._pending[next(iter(self._pending))]
            self._pending[_file_name(write.tokens)] = write
        self._writer.ask()

    def clear(self) -> None:
        """Remove all checkpoints, those of other scopes too, and write none that waits here."""
        for store in list(_stores):  # that of a closed model may still write
            store.drop_waiting(self._folder)
        for path, _ in self._all_files():
            self._remove(path)

    def drop_waiting(self, folder: Path) -> None:
        """Write none of what waits, if this is the folder."""
        if folder == self._folder and self._pid == os.getpid():  # a fork has no thread that writes
            with self._lock:
                self._pending.clear()
            self._writer.wait(_CLEAR_S)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, and return whether it is."""
        return self._writer.wait(timeout_s)

    # -- what is there -------------------------------------------------------------------------

    def _stored(self) -> dict[str, bytes]:
        """The packed tokens by file name, the shortest first. Only new files are read."""
        with self._listing:
            try:
                with os.scandir(self._own_folder) as found:
                    names = [
                        entry.name
                        for entry in found
                        if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False)
                    ]
            except OSError as error:
                names = []
                self._warn(error)
            self._known = {
                name: self._known[name] if name in self._known else self._load(name)[0]
                for name in names
            }
            stored = [(name, tokens) for name, tokens in self._known.items() if tokens]
        return dict(sorted(stored, key=lambda item: len(item[1])))

    def _load(self, name: str, *, has_state: bool = False) -> tuple[bytes | None, memoryview]:
        """Return the verified tokens of a file, perhaps with its state; remove a damaged file."""
        path, state = self._own_folder / name, memoryview(b"")
        try:
            with open_regular(path, follows_links=False) as file:
                header = _read_header(file, name, self._scope)
                if header is not None and has_state:
                    state = pages(header.state_length)
                    file.readinto(state)
        except OSError as error:
            self._warn(error)
            return None, state
        if header is None or (has_state and sha256(state).digest() != header.state_digest):
            self._remove(path)
            return None, state
        return header.tokens, state

    def _read(self, name: str) -> memoryview | None:
        """The state of a file, which is marked as used."""
        tokens, state = self._load(name, has_state=True)
        if tokens is None:
            with self._listing:
                self._known[name] = None  # where it could not be removed
            return None
        with contextlib.suppress(OSError):
            os.utime(self._own_folder / name)
        return state

    # -- what comes and goes -------------------------------------------------------------------

    def _write_next(self) -> tuple[float, bool]:
        with self._lock:
            if not self._pending:
                return 0.0, False
            name = next(iter(self._pending))
            write = self._pending.pop(name)
        try:
            self._write(name, write)
        except OSError as error:
            self._warn(error)
        return 0.0, True

    def _write(self, name: str, write: _Unwritten) -> None:
        for path in (self._folder, self._own_folder):  # the files hold what the user wrote
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        num_tokens, digest = len(write.tokens) // _TOKEN_SIZE, sha256(write.state).digest()
        fields = _FIELDS.pack(_MAGIC, _VERSION, num_tokens, len(write.state), self._scope, digest)
        handle, draft = tempfile.mkstemp(suffix=_DRAFT_SUFFIX, dir=self._own_folder)  # its owner's
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(fields + sha256(fields + write.tokens).digest())
                file.write(write.tokens)
                file.write(write.state)
            Path(draft).replace(self._own_folder / name)
        finally:
            Path(draft).unlink(missing_ok=True)
        with self._listing:
            self._known[name] = write.tokens
        for other, tokens in self._stored().items():
            if other != name and write.supersedes(tokens):
                self._remove(self._own_folder / other)
        self._shrink(keep=self._own_folder / name)

    def _shrink(self, keep: Path) -> None:
        """Remove the least recently used files above the cap, and what crashed kernels left."""
        abandoned_ns = time.time_ns() - int(_ABANDONED_S * 1e9)
        stored = []
        for path, status in self._all_files():
            if path.suffix == _SUFFIX:
                stored.append((status.st_mtime_ns, status.st_size, path))
            elif status.st_mtime_ns < abandoned_ns:
                self._remove(path)
        excess = sum(size for _, size, _ in stored) - self._max_bytes
        for _, size, path in sorted(stored):
            if excess <= 0:
                return
            if path != keep and self._remove(path):
                excess -= size

    def _all_files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The checkpoints and temporary files of all scopes, as far as they can be listed."""
        for scope in self._folder.glob("*/"):
            if not _SCOPE_NAME.fullmatch(scope.name) or scope.is_symlink():
                continue
            with contextlib.suppress(OSError):
                for path in sorted(scope.iterdir()):
                    with contextlib.suppress(FileNotFoundError):  # others remove files too
                        status = path.lstat()
                        is_ours = path.suffix in (_SUFFIX, _DRAFT_SUFFIX)
                        if is_ours and stat.S_ISREG(status.st_mode):
                            yield path, status

    def _remove(self, path: Path) -> bool:
        """Remove a file and return whether that succeeded."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)
            return False
        return True

    def _warn(self, error: OSError) -> None:
        """Warn once that the disk fails; a missing file may have been cleared on purpose."""
        if isinstance(error, FileNotFoundError):
            return
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        logger.log(
            level,
            "What the model has read cannot be kept in %s (%s), so it is read again after a "
            "restart. Free space there, or make the folder writable.",
            self._folder,
            error,
        )
