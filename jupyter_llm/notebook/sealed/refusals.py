"""Describes for the user the forbidden actions that code in a sealed copy attempted.

The seal returns only an error number; Python's audit events show the action. Nothing here prevents
an action, except opening a named pipe, which the seal cannot distinguish from a file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from jupyter_llm.notebook.sealed.detached import Mapping, written

END_KERNEL = "end the kernel"
"""The action of `exit()`, the worst of all refused ones."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NETWORK = "use the network"
_PROCESS = "start a process"
_FILE = "write a file"
# Error messages of native libraries for refused system calls.
_REFUSED = re.compile(r"(?i)permission denied|operation not permitted|os error (?:1|13)\b")
_OPENED_BY_RUST = re.compile(r"\(os error 13\): (.+)")  # invisible to Python
_READ_ONLY_DATABASE = re.compile(
    r"(?i)readonly database|unable to open database|disk I/O error|read-only (?:file|mode|database)"
)
_NOT_CONNECTED = re.compile("(?i)operation on non-socket")  # as all sockets are in a copy
# `open` in a notebook is IPython's; `Path.write_text` is pathlib's
_OPENING = ("IPython", "pathlib")
_MAX_TEXT = 2000
_NUMBERS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EFBIG)

# The action of each of Python's audit events, and the argument that names its object, if any.
_EVENTS: dict[str, tuple[str, int | None]] = {
    "os.remove": ("delete a file", 0),
    "os.rmdir": ("delete a folder", 0),
    "os.mkdir": ("make a folder", 0),
    "shutil.rmtree": ("delete a folder", 0),
    "os.rename": ("rename a file", 0),
    **dict.fromkeys(("os.link", "os.symlink"), ("change a file", 1)),
    **dict.fromkeys(
        ("os.truncate", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr"),
        ("change a file", 0),
    ),
    "socket.__new__": (_NETWORK, None),
    "socket.connect": (_NETWORK, 1),
    **dict.fromkeys(
        ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"), (_NETWORK, 0)
    ),
    "webbrowser.open": ("open a web page", 0),
    "subprocess.Popen": (_PROCESS, 1),
    **dict.fromkeys(("os.system", "os.exec", "os.posix_spawn"), (_PROCESS, 0)),
    **dict.fromkeys(("os.fork", "os.forkpty"), (_PROCESS, None)),
    **dict.fromkeys(("os.kill", "os.killpg"), ("send a signal", None)),
}


class Refusals:
    """Records the forbidden actions of code in one namespace, from `watch` on."""

    def __init__(self, namespace: dict[str, Any], shared: Sequence[Mapping]) -> None:
        self._namespace = namespace
        self._shared = shared
        self._events: list[str] = []
        self._own: list[str] = []  # by the notebook's own code, not by a library

    def watch(self) -> None:
        """Start to record; this cannot be stopped."""
        sys.addaudithook(self._note)

    def clear(self) -> None:
        """Forget what was recorded."""
        self._events.clear()
        self._own.clear()

    def own(self) -> str:
        """Return the code's forbidden action, even if it raised no error, or ""."""
        if self._own:
            return self._own[0]
        path = written(self._shared)
        return _named("write to shared memory", path.removesuffix(" (deleted)")) if path else ""

    def cause_of(self, error: BaseException) -> str:
        """Return the refused action that caused an error, or ""."""
        causes = map(self._cause_of_one, _chain(error))
        return next(filter(None, causes), "") or self.own()

    def _cause_of_one(self, error: BaseException) -> str:
        if isinstance(error, _Asked):
            return "ask for input"
        if isinstance(error, _Exited):
            return END_KERNEL
        text = _text(error)
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EBADF:
            return "write to a file or pipe that is open"
        if _NOT_CONNECTED.search(text):
            return "use a connection that is open"
        if _is_of_database(error, text) and _READ_ONLY_DATABASE.search(text):
            return "write to a database"
        event = self._events[-1] if self._events else ""
        is_missing = isinstance(error, FileNotFoundError)  # a library may have checked sockets
        if isinstance(error, OSError) and not is_missing and event.startswith(_NETWORK):
            return event
        if number in _NUMBERS or _REFUSED.search(text):
            if event or _is_unreadable(error):
                return event
            opened = _OPENED_BY_RUST.search(text)
            return _named(_FILE, opened[1]) if opened else "do what a sealed copy may not"
        return ""

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "open" and event not in _EVENTS:
            return
        is_pipe = event == "open" and _is_pipe(args[0])
        with suppress(Exception):
            action = _named("use a pipe", args[0]) if is_pipe else _action(event, args)
            if action:
                self._events.append(action)
                del self._events[:-20]
                # 0 is this function, 1 the caller of the audited function.
                if self._is_own(event, sys._getframe(1)):  # noqa: SLF001
                    self._own.append(action)
                    del self._own[5:]
        if is_pipe:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), args[0])

    def _is_own(self, event: str, frame: FrameType | None) -> bool:
        """Whether the notebook's own code does it, perhaps through a wrapper of `open`."""
        while frame and event == "open" and _package(frame) in _OPENING:
            frame = frame.f_back
        return frame is not None and frame.f_globals is self._namespace


class _Asked(Exception):  # noqa: N818 no error
    """The code asks for input, which nobody can give."""


def refuse_input(*_args: object, **_kwargs: object) -> str:
    """Replace `input`."""
    raise _Asked("the cell asks for input")


class _Exited(BaseException):
    """The code ends the kernel, which IPython would do later without an error."""


def refuse_exit() -> None:
    """Replace a shell's `ask_exit`, which `exit()` and `quit()` call."""
    raise _Exited


def _is_pipe(path: Any) -> bool:
    """Whether a path is a named pipe: reading would remove its data."""
    try:
        return not isinstance(path, int) and stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError, TypeError):
        return False


def _opened(path: object, mode: object, flags: object) -> str:
    if isinstance(path, int) or str(path) == os.devnull:
        return ""
    if isinstance(flags, int) and flags & _WRITING:
        return _named(_FILE, path)
    return _named(_FILE, path) if isinstance(mode, str) and set(mode) & set("wax+") else ""


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _action(event: str, args: tuple[Any, ...]) -> str:
    """Return the action of an audit event, "" if it is allowed."""
    if event == "open":
        return _opened(*args)
    if event == "os.kill" and args[0] == os.getpid():
        return ""
    action, place = _EVENTS[event]
    return action if place is None else _named(action, args[place])


def _named(action: str, name: object) -> str:
    """Return an action with its file, host or program."""
    if isinstance(name, (list, tuple)):  # address or command
        name = name[0] if name else ""
    if isinstance(name, int):
        return action
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name or "")
    if action == _PROCESS:
        text = text.split(" ", maxsplit=1)[0]
    if action != _NETWORK:
        text = Path(text).name or text
    return f"{action} ({text[:60]})" if text else action


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: BaseException | None = error
    while waiting is not None and id(waiting) not in seen:
        seen.add(id(waiting))
        yield waiting
        waiting = waiting.__cause__ or waiting.__context__


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001  an error of the user's own
        return ""


def _is_of_database(error: BaseException, text: str) -> bool:
    return "sqlite" in str(type(error).__module__) or "database" in text.lower()


def _is_unreadable(error: BaseException) -> bool:
    """Whether an error is about a file that this user may not read anyway."""
    name = error.filename if isinstance(error, PermissionError) else None
    if not isinstance(name, (str, bytes)):
        return False
    return os.access(name, os.F_OK) and not os.access(name, os.R_OK)
