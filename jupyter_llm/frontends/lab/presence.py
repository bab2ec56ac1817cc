"""Tells pages of JupyterLab that jupyter_llm is in this kernel, and takes in those that come.

A page cannot just try: a comm that nobody takes leaves a complaint in the log of every page of the
kernel. So a comm is kept here whose id is the target's name. A page may ask at any time whether it
is there, while a cell runs too, and hears on it that we come and go; to others it is nothing. Light
to import: what answers a page comes with the first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jupyter_llm.notebook.cells.shell import parent_header

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_llm.frontends.lab.target import Sessions
    from jupyter_llm.notebook.code.landing import Page

TARGET: Final = "jupyter_llm.lab"

_sign: Any = None  # kept: a comm that is collected says so to everybody
_sessions: Sessions | None = None  # once a page has come
_is_here = False


def come(shell: InteractiveShell) -> None:
    """Let pages reach us, if a kernel runs the shell."""
    global _sign, _is_here  # noqa: PLW0603
    comms = _comms(shell)
    if comms is None:
        return
    from comm import create_comm

    _is_here = True
    comms.register_target(TARGET, _open)
    _sign = _sign or create_comm(target_name=TARGET, comm_id=TARGET, primary=False)
    comms.register_comm(_sign)
    _sign.send({"type": "loaded"})


def go(shell: InteractiveShell) -> None:
    """Let no page reach us any more."""
    global _is_here  # noqa: PLW0603
    _is_here = False
    comms = _comms(shell)
    if comms is not None and comms.targets.pop(TARGET, None) is not None:
        comms.unregister_comm(_sign)
        _sign.send({"type": "unloaded"})
    if _sessions is not None:
        _sessions.close()


def running_page(shell: InteractiveShell) -> Page | None:
    """The page that runs a cell now, if it is connected."""
    client = parent_header(shell).get("header", {}).get("session")
    return _sessions.page(client) if _sessions is not None else None


def _comms(shell: InteractiveShell) -> Any:
    return getattr(getattr(shell, "kernel", None), "comm_manager", None)


def _open(comm: Any, message: Any) -> None:
    global _sessions  # noqa: PLW0603
    from jupyter_llm.frontends.lab.target import sessions

    _sessions = sessions  # not before it is there: this runs beside the cell
    sessions.open(comm, message)
    if not _is_here:  # unloaded meanwhile, by the cell that runs
        sessions.close()
