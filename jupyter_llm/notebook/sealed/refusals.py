"""What a sealed copy wanted to do and was kept from, in words for the user.

The seal refuses by a number only; Python's audit events tell what was meant. Nothing here keeps
anything from happening, but that a pipe is opened, which no seal can tell from a file.
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
"""What code wants that calls `exit()`; none of what is refused is worse."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NETWORK = "use the network"
_PROCESS = "start a process"
_FILE = "write a file"
# How libraries that are not Python word what the system refused.
_REFUSED = re.compile(r"(?i)permission denied|operation not permitted|os error (?:1|13)\b")
_OPENED_BY_RUST = re.compile(r"\(os error 13\): (.+)")  # of which Python knows nothing
_READ_ONLY_DATABASE = re.compile(
    r"(?i)readonly database|unable to open database|disk I/O error|read-only (?:file|mode|database)"
)
_NOT_CONNECTED = re.compile("(?i)operation on non-socket")  # which they all are in a copy
_OPENING = ("IPython", "pathlib")  # `open` in a notebook is IPython's; `Path.write_text`
_MAX_TEXT = 2000
_NUMBERS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EFBIG)

# What each of Python's audit events is about, and which of its arguments names it, if any does.
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
    """Notes what the code of one namespace wanted to do, from `watch` on."""

    def __init__(self, namespace: dict[str, Any], shared: Sequence[Mapping]) -> None:
        self._namespace = namespace
        self._shared = shared
        self._noted: list[str] = []
        self._own: list[str] = []  # by the notebook's own code, not by a library for itself

    def watch(self) -> None:
        """Begin; there is no end."""
        sys.addaudithook(self._note)

    def own(self) -> str:
        """What the code wanted to do whether or not it noticed that it could not."""
        if self._own:
            return self._own[0]
        path = written(self._shared)
        return _named("write to shared memory", path.removesuffix(" (deleted)")) if path else ""

    def behind(self, error: BaseException) -> str:
        """What the seal refused where that is why an error was raised, else an empty text."""
        found = map(self._behind_one, _chain(error))
        return next(filter(None, found), "") or self.own()

    def _behind_one(self, error: BaseException) -> str:
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
        noted = self._noted[-1] if self._noted else ""
        is_missing = isinstance(error, FileNotFoundError)  # a library may have looked at sockets
        if isinstance(error, OSError) and not is_missing and noted.startswith(_NETWORK):
            return noted
        if number in _NUMBERS or _REFUSED.search(text):
            if noted or _is_unreadable(error):
                return noted
            opened = _OPENED_BY_RUST.search(text)
            return _named(_FILE, opened[1]) if opened else "do what a sealed copy may not"
        return ""

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "open" and event not in _EVENTS:
            return
        is_pipe = event == "open" and _is_pipe(args[0])
        with suppress(Exception):
            what = _named("use a pipe", args[0]) if is_pipe else _meant(event, args)
            if what:
                self._noted.append(what)
                del self._noted[:-20]
                # 0 is this function, 1 whoever calls what is audited.
                if self._is_own(event, sys._getframe(1)):  # noqa: SLF001
                    self._own.append(what)
                    del self._own[5:]
        if is_pipe:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), args[0])

    def _is_own(self, event: str, frame: FrameType | None) -> bool:
        """Whether the notebook's own code does something, be it by a function that passes it on."""
        while frame and event == "open" and _package(frame) in _OPENING:
            frame = frame.f_back
        return frame is not None and frame.f_globals is self._namespace


class _Asked(Exception):  # noqa: N818  it is no error
    """The code asks for input, and nobody is there."""


def refuse_input(*_args: object, **_kwargs: object) -> str:
    """Take the place of `input`."""
    raise _Asked("the cell asks for input")


class _Exited(BaseException):
    """The code asks the kernel to end, which IPython does later on, without an error."""


def refuse_exit() -> None:
    """Take the place of a shell's `ask_exit`, behind `exit()` and `quit()`."""
    raise _Exited


def _is_pipe(path: Any) -> bool:
    """Whether a path is of a pipe, out of which to read is to take away."""
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


def _meant(event: str, args: tuple[Any, ...]) -> str:
    """What code wants to do by an audit event; "" where it may."""
    if event == "open":
        return _opened(*args)
    if event == "os.kill" and args[0] == os.getpid():
        return ""
    what, place = _EVENTS[event]
    return what if place is None else _named(what, args[place])


def _named(what: str, name: object) -> str:
    """What code wants to do, with the file, host or program that it wants to do it to."""
    if isinstance(name, (list, tuple)):  # an address or a command
        name = name[0] if name else ""
    if isinstance(name, int):
        return what
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name or "")
    if what == _PROCESS:
        text = text.split(" ", maxsplit=1)[0]
    if what != _NETWORK:
        text = Path(text).name or text
    return f"{what} ({text[:60]})" if text else what


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
    """Whether an error is about a file that nobody here may read anyway."""
    name = error.filename if isinstance(error, PermissionError) else None
    if not isinstance(name, (str, bytes)):
        return False
    return os.access(name, os.F_OK) and not os.access(name, os.R_OK)
