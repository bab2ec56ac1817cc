"""Keeps the KV state of prefixes on disk, so that a restarted kernel resumes warm.

Knows token ids and bytes, not llama.cpp. A file is `FOLDER/SCOPE/TOKENS.kv`, where SCOPE and TOKENS
are SHA-256 sums in hexadecimal, cut to 32 digits. It holds, little-endian and without gaps:

====================  =======================================================
8 bytes               the magic `jllm-kv` and a line feed
unsigned 32 bit       version of the format, 1
unsigned 32 bit       number of tokens, n
unsigned 64 bit       length of the state in bytes, m
32 bytes              SHA-256 of the scope
32 bytes              SHA-256 of the state
32 bytes              SHA-256 of the fields above, in their order, and the tokens
n signed 32 bit       the tokens
m bytes               the state
====================  =======================================================

Nothing behind the fields is read unless their lengths add up to the size of the file. SHA-256 is
the fastest cryptographic sum of hashlib where the processor helps (35 MB: 19 ms, BLAKE2b: 39 ms).
When a file was last used, its mtime tells.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from jupyter_llm.common.regular import open_regular
from jupyter_llm.common.replacing import DRAFT_SUFFIX, replacing
from jupyter_llm.common.workers import Chore
from jupyter_llm.engine.local.pages import pages
from jupyter_llm.engine.local.slots import common_prefix

logger = logging.getLogger(__name__)

_MAGIC = b"jllm-kv\n"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQ32s32s")
_DIGEST_SIZE = sha256().digest_size
_HEADER_SIZE = _FIELDS.size + _DIGEST_SIZE
_TOKEN_SIZE = 4

_SUFFIX = ".kv"
_SCOPE_NAME = re.compile("[0-9a-f]{32}")  # of no other folder do we touch a file

_CLEAR_S = 10.0  # a state that is being written is waited for
_MAX_PENDING = 2  # writes; each holds a whole state in memory
_ABANDONED_S = 600.0  # a temporary file that has not grown for this long is nobody's any more
# A second change within one tick of the file system's clock leaves the folder's mtime as it is
# (FAT ticks every 2 s), so only an mtime older than that proves that nothing changed.
_MTIME_TICK_NS = 2_000_000_000


def _pack(token_ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(token_ids)}i", *token_ids)


def _unpack(tokens: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(tokens) // _TOKEN_SIZE}i", tokens)


def _file_name(tokens: bytes) -> str:
    return sha256(tokens).hexdigest()[:32] + _SUFFIX


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of itself, verified."""

    tokens: bytes
    state_length: int
    state_digest: bytes


def _header(scope: bytes, tokens: bytes, state: bytes | memoryview) -> bytes:
    """What stands before the tokens in a file."""
    num_tokens = len(tokens) // _TOKEN_SIZE
    state_digest = sha256(state).digest()
    fields = _FIELDS.pack(_MAGIC, _VERSION, num_tokens, len(state), scope, state_digest)
    return fields + sha256(fields + tokens).digest()


def _read_header(file: BinaryIO, scope: bytes) -> _Header | None:
    """Read a file up to its state, or return None if it is damaged or foreign."""
    start = file.read(_HEADER_SIZE)
    if len(start) < _HEADER_SIZE:
        return None
    fields, digest = start[: _FIELDS.size], start[_FIELDS.size :]
    magic, version, num_tokens, state_length, file_scope, state_digest = _FIELDS.unpack(fields)
    if (magic, version, file_scope) != (_MAGIC, _VERSION, scope):
        return None
    tokens_size = _TOKEN_SIZE * num_tokens
    if os.fstat(file.fileno()).st_size != _HEADER_SIZE + tokens_size + state_length:
        return None
    tokens = file.read(tokens_size)
    if sha256(fields + tokens).digest() != digest:
        return None
    return _Header(tokens, state_length, state_digest)


class _Trouble:
    """Tells once that the disk does not do as asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_told = False

    def tell(self, error: OSError) -> None:
        level = logging.DEBUG if self._is_told else logging.WARNING
        self._is_told = True
        logger.log(
            level,
            "What the model has read cannot be kept in %s (%s), so it is read again after a "
            "restart. Make room there, or make the folder writable.",
            self._folder,
            error,
        )


class _ScopeFolder:
    """The files of one scope. Safe from any thread."""

    def __init__(self, path: Path, scope: bytes, trouble: _Trouble) -> None:
        self.path = path
        self._scope = scope
        self._trouble = trouble
        self._lock = threading.Lock()  # guards the two below
        self._tokens: dict[str, bytes] = {}
        self._mtime_ns: int | None = None  # of the folder when it was listed; None: list it anew
        self._unremovable: set[str] = set()

    def tokens(self) -> dict[str, bytes]:
        """The packed tokens by file name, the shortest first. The dict never changes.

        Costs one `stat` while nothing changes, else a listing and the headers of new files.
        """
        with self._lock:
            try:
                mtime_ns = self.path.stat().st_mtime_ns
                if mtime_ns != self._mtime_ns:
                    is_settled = time.time_ns() - mtime_ns > _MTIME_TICK_NS
                    self._tokens = self._list()
                    self._mtime_ns = mtime_ns if is_settled else None
            except OSError as error:
                self._tokens, self._mtime_ns = {}, None
                if not isinstance(error, FileNotFoundError):  # nothing was written yet
                    self._trouble.tell(error)
            return self._tokens

    def read(self, name: str) -> memoryview | None:
        """Return the verified state and mark the file as used; remove a damaged file."""
        path = self.path / name
        try:
            with open_regular(path, follows_links=False) as file:
                header = self._own_header(file, name)
                state = pages(header.state_length if header else 0)
                is_whole = file.readinto(state) == len(state)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # it gave way to others
                self._trouble.tell(error)
            return None
        if header is None or not is_whole or sha256(state).digest() != header.state_digest:
            self._discard(name)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return state

    def _list(self) -> dict[str, bytes]:
        with os.scandir(self.path) as found:
            names = [
                entry.name
                for entry in found
                if entry.name.endswith(_SUFFIX)
                and entry.name not in self._unremovable
                and entry.is_file(follow_symlinks=False)
            ]
        listed = {name: self._tokens.get(name) or self._read_tokens(name) for name in names}
        known = [(name, tokens) for name, tokens in listed.items() if tokens]
        return dict(sorted(known, key=lambda item: len(item[1])))

    def _read_tokens(self, name: str) -> bytes | None:
        try:
            with open_regular(self.path / name, follows_links=False) as file:
                header = self._own_header(file, name)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._trouble.tell(error)
            return None
        if header is None:
            self._discard(name)
            return None
        return header.tokens

    def _own_header(self, file: BinaryIO, name: str) -> _Header | None:
        header = _read_header(file, self._scope)
        return header if header and _file_name(header.tokens) == name else None

    def _discard(self, name: str) -> None:
        logger.info("A damaged or foreign checkpoint is removed: %s", self.path / name)
        if not _remove(self.path / name, self._trouble):
            self._unremovable.add(name)


def _remove(path: Path, trouble: _Trouble) -> bool:
    """Remove a file and return whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        trouble.tell(error)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored prefix that begins like a prompt: its first `num_common` tokens are the same."""

    token_ids: tuple[int, ...]
    num_common: int
    _read: Callable[[], memoryview | None] = field(repr=False)

    def read(self) -> memoryview | None:
        """The state, or None if the file turned out to be damaged or is gone.

        A damaged file is removed, so `CheckpointStore.find` may be asked again.
        """
        return self._read()


@dataclass(frozen=True, slots=True)
class _Write:
    """A state on its way to the disk."""

    tokens: bytes
    state: bytes | memoryview
    whole: bool

    def supersedes(self, tokens: bytes) -> bool:
        """Tell whether it serves every prompt that a checkpoint of these tokens does."""
        return self.tokens == tokens or (not self.whole and self.tokens.startswith(tokens))


_stores: list[weakref.ref[CheckpointStore]] = []  # of this process


class CheckpointStore:
    """States of prefixes in a folder that several kernels share.

    `scope` names all that a state depends on (model file, llama.cpp build, context settings): what
    was stored under another scope is never found. The files of all scopes together take at most
    `max_bytes`; the least recently used ones go first. Safe from any thread. The thread
    "jupyter-llm-checkpoints" writes, and ends when it has nothing to do.

    Trouble with the disk is logged once as a warning, never raised. In a forked child the store
    finds and writes nothing: its lock and its thread are the parent's.
    """

    def __init__(self, folder: Path, scope: str, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._scope = sha256(scope.encode()).digest()
        self._trouble = _Trouble(folder)
        self._files = _ScopeFolder(folder / self._scope.hex()[:32], self._scope, self._trouble)
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards the two below
        self._pending: dict[str, _Write] = {}  # by file name, the oldest first
        self._is_closed = False
        self._writer = Chore(self._write_next, "jupyter-llm-checkpoints")
        _stores.append(weakref.ref(self, _stores.remove))

    def find(
        self, token_ids: Sequence[int], *, more_than: int, whole: bool = False
    ) -> Checkpoint | None:
        """The stored prefix that shares the most leading tokens with a prompt.

        It must share more than `more_than` tokens. Of equals the shortest is meant. With `whole`,
        for models that cannot forget the end of what they have read, the prompt must begin with
        all of its tokens. Leave out the prompt's last token, which the model must evaluate anyway.
        """
        if self._is_forked:
            return None
        found = _longest(self._files.tokens(), _pack(token_ids), more_than, whole=whole)
        if found is None:
            return None
        name, tokens, num_common = found
        return Checkpoint(_unpack(tokens), num_common, partial(self._files.read, name))

    def write(
        self, token_ids: Sequence[int], state: bytes | memoryview, *, whole: bool = False
    ) -> None:
        """Store the state of a prefix in the background.

        Shorter prefixes of it are dropped, since it serves their prompts too; not so with `whole`,
        for models that cannot forget the end of what they have read. When the disk is too slow,
        the states that have waited longest are not written.
        """
        if self._is_forked or not token_ids:
            return
        tokens = _pack(token_ids)
        if _HEADER_SIZE + len(tokens) + len(state) > self._max_bytes:
            logger.debug("A state of %d bytes is more than the folder may hold.", len(state))
            return
        with self._lock:
            if self._is_closed:
                return
            self._queue(_Write(tokens, state, whole))
        self._writer.ask()

    def clear(self) -> None:
        """Remove all checkpoints, those of other scopes too, and write none that waits here."""
        for store in [known() for known in _stores]:  # that of a closed model may still write
            if store is not None:
                store.drop_waiting(self._folder)
        for scope in self._scope_folders():
            for file in _files_in(scope):
                _remove(file.path, self._trouble)

    def drop_waiting(self, folder: Path) -> None:
        """Write none of what waits, if this is the folder."""
        if folder == self._folder and not self._is_forked:
            with self._lock:
                self._pending.clear()
            self._writer.wait(_CLEAR_S)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written, and return whether it is."""
        return self._is_forked or self._writer.wait(timeout_s)

    def close(self) -> None:
        """Take no more writes; those that wait are still made, and `flush` waits for them."""
        if not self._is_forked:
            with self._lock:
                self._is_closed = True

    @property
    def _is_forked(self) -> bool:
        return self._pid != os.getpid()

    def _queue(self, write: _Write) -> None:
        for name, waiting in list(self._pending.items()):
            if write.supersedes(waiting.tokens):
                del self._pending[name]
        while len(self._pending) >= _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[_file_name(write.tokens)] = write

    def _write_next(self) -> tuple[float, bool]:
        with self._lock:
            if not self._pending:
                return 0.0, False
            name = next(iter(self._pending))
            write = self._pending.pop(name)
        try:
            self._write(name, write)
        except FileNotFoundError:
            logger.debug("Somebody cleared %s meanwhile.", self._folder)
        except OSError as error:
            self._trouble.tell(error)
        return 0.0, True

    def _write(self, name: str, write: _Write) -> None:
        folder = self._files.path
        for path in (self._folder, folder):  # the files hold what the user wrote
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(folder / name) as file:
            file.write(_header(self._scope, write.tokens, write.state))
            file.write(write.tokens)
            file.write(write.state)
        for other, tokens in self._files.tokens().items():
            if other != name and write.supersedes(tokens):
                _remove(folder / other, self._trouble)
        self._shrink(keep=folder / name)

    def _shrink(self, keep: Path) -> None:
        """Remove the least recently used files above the cap, and what crashed kernels left."""
        abandoned_ns = time.time_ns() - int(_ABANDONED_S * 1e9)
        stored = []
        for file in (file for scope in self._scope_folders() for file in _files_in(scope)):
            if file.path.suffix == _SUFFIX:
                stored.append(file)
            elif file.mtime_ns < abandoned_ns:
                _remove(file.path, self._trouble)
        excess = sum(file.size for file in stored) - self._max_bytes
        for file in sorted(stored, key=lambda file: file.mtime_ns):
            if excess <= 0:
                return
            if file.path != keep and _remove(file.path, self._trouble):
                excess -= file.size

    def _scope_folders(self) -> list[Path]:
        try:
            with os.scandir(self._folder) as found:
                return [
                    Path(entry.path)
                    for entry in found
                    if _SCOPE_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:  # nothing was written yet
            return []
        except OSError as error:
            self._trouble.tell(error)
            return []


@dataclass(frozen=True, slots=True)
class _File:
    """A file of ours as it was found in its folder."""

    path: Path
    size: int
    mtime_ns: int


def _files_in(scope: Path) -> Iterator[_File]:
    """The checkpoints and temporary files of a scope; none if they cannot be listed."""
    with contextlib.suppress(OSError), os.scandir(scope) as found:
        for entry in found:
            if entry.name.endswith((_SUFFIX, DRAFT_SUFFIX)) and entry.is_file(
                follow_symlinks=False
            ):
                with contextlib.suppress(FileNotFoundError):  # others remove files too
                    status = entry.stat(follow_symlinks=False)
                    yield _File(Path(entry.path), status.st_size, status.st_mtime_ns)


def _longest(
    stored: dict[str, bytes], prompt: bytes, more_than: int, *, whole: bool
) -> tuple[str, bytes, int] | None:
    """Name, tokens and number of common tokens of what shares the most with a prompt."""
    found = None
    length = max(more_than, 0) * _TOKEN_SIZE  # what must be surpassed
    longer = prompt[: length + _TOKEN_SIZE]
    for name, tokens in stored.items():
        # One comparison in C sorts out nearly all.
        if len(longer) <= length or not tokens.startswith(longer):
            continue
        if whole and not prompt.startswith(tokens):
            continue
        num_common = common_prefix(tokens, prompt) // _TOKEN_SIZE
        found = name, tokens, num_common
        length = num_common * _TOKEN_SIZE
        longer = prompt[: length + _TOKEN_SIZE]
    return found
