"""What a sealed copy wanted to do and was kept from, in words for the user.

The seal refuses by a number only; Python's audit events tell what was meant. Nothing here keeps
anything from happening.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from jupyter_llm.notebook.sealed.open_files import OpenFiles

END_KERNEL = "end the kernel"
"""What code wants that calls `exit()`; none of what is refused is worse."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NETWORK = "use the network"
_PROCESS = "start a process"
_DATABASE = "write to a database"
_FILE = "write a file"
_FILES = "change a file"
_FOLDER = "make a folder"
_DELETE = "delete a file"
_SIGNAL = "send a signal"
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

_EVENTS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "open": lambda args: _opened(*args),
    "os.remove": lambda args: _named(_DELETE, args[0]),
    "os.rmdir": lambda args: _named("delete a folder", args[0]),
    "os.mkdir": lambda args: _named(_FOLDER, args[0]),
    "shutil.rmtree": lambda args: _named("delete a folder", args[0]),
    "os.rename": lambda args: _named("rename a file", args[0]),
    "os.link": lambda args: _named(_FILE, args[1]),
    "os.symlink": lambda args: _named(_FILE, args[1]),
    "os.truncate": lambda args: _named(_FILES, args[0]),
    "os.chmod": lambda args: _named(_FILES, args[0]),
    "os.chown": lambda args: _named(_FILES, args[0]),
    "os.utime": lambda args: _named(_FILES, args[0]),
    "os.setxattr": lambda args: _named(_FILES, args[0]),
    "os.removexattr": lambda args: _named(_FILES, args[0]),
    "socket.__new__": lambda _args: _NETWORK,
    "socket.connect": lambda args: _named(_NETWORK, _host(args[1])),
    "socket.getaddrinfo": lambda args: _named(_NETWORK, args[0]),
    "socket.gethostbyname": lambda args: _named(_NETWORK, args[0]),
    "urllib.Request": lambda args: _named(_NETWORK, args[0]),
    "webbrowser.open": lambda args: _named("open a web page", args[0]),
    "subprocess.Popen": lambda args: _named(_PROCESS, _program(args[1])),
    "os.system": lambda args: _named(_PROCESS, _program(args[0])),
    "os.exec": lambda args: _named(_PROCESS, args[0]),
    "os.posix_spawn": lambda args: _named(_PROCESS, args[0]),
    "os.fork": lambda _args: _PROCESS,
    "os.forkpty": lambda _args: _PROCESS,
    "os.kill": lambda args: "" if args[0] == os.getpid() else _SIGNAL,
    "os.killpg": lambda _args: _SIGNAL,
}


class Refusals:
    """Notes what the code of one namespace wanted to do, from `watch` on."""

    def __init__(self, namespace: dict[str, Any], *, was_writable: bool) -> None:
        self._namespace = namespace
        self._was_writable = was_writable
        self._noted: list[str] = []
        self._files = OpenFiles(list(namespace.values()) if was_writable else ())
        self._own: list[str] = []  # by the notebook's own code, not by a library for itself

    def watch(self) -> None:
        """Begin; there is no end."""
        sys.addaudithook(self._note)

    def own(self) -> str:
        """What the code wanted to do whether or not it noticed that it could not."""
        return self._own[0] if self._own else ""

    def written(self) -> str:
        """What the code has written to a file of the notebook's, which it does not notice."""
        name = self._files.written()
        return "" if name is None else _named(_FILE, name)

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
        if number == errno.EBADF and self._was_writable:
            return self.written() or "write to a file that is open"
        if _NOT_CONNECTED.search(text):
            return "use a connection that is open"
        if _is_of_database(error, text) and _READ_ONLY_DATABASE.search(text):
            return _DATABASE
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
        tell = _EVENTS.get(event)
        if tell is None:
            return
        with suppress(Exception):
            if what := tell(args):
                self._noted.append(what)
                del self._noted[:-20]
                # 0 is this function, 1 whoever calls what is audited.
                if self._is_own(event, sys._getframe(1)):  # noqa: SLF001
                    self._own.append(what)
                    del self._own[5:]

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


def _opened(path: object, mode: object, flags: object) -> str:
    if isinstance(path, int) or str(path) == os.devnull:
        return ""
    if isinstance(flags, int) and flags & _WRITING:
        return _named(_FILE, path)
    return _named(_FILE, path) if isinstance(mode, str) and set(mode) & set("wax+") else ""


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _named(what: str, name: object) -> str:
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name or "")
    if what == _NETWORK:
        return f"{what} ({text[:60]})" if text else what
    text = Path(text).name or text
    return f"{what} ({text[:60]})" if text and not isinstance(name, int) else what


def _host(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) and address else ""


def _program(command: object) -> str:
    if isinstance(command, (list, tuple)):
        command = command[0] if command else ""
    if isinstance(command, (bytes, os.PathLike)):
        command = os.fsdecode(command)
    return str(command).split(" ", maxsplit=1)[0]


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
    if not isinstance(error, OSError):
        return False
    opened = _OPENED_BY_RUST.search(_text(error))
    name = error.filename if error.errno == errno.EACCES else opened and opened[1]
    if not isinstance(name, (str, bytes)):
        return False
    return os.access(name, os.F_OK) and not os.access(name, os.R_OK)
