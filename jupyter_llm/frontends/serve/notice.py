"""`/serve`: starts and stops the server of this kernel, and reports its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import visible
from jupyter_llm.errors import MagicUsageError, MissingLibraryError
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.cells.shell import current_shell, user_namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.api import LLM
    from jupyter_llm.frontends.serve.server import Serving

_serving: Serving | None = None


def serve_here(llm: LLM, argument: str) -> str:
    """Start or stop the server of this kernel, or return its token; return the report."""
    here = None if _serving is None or _serving.over.is_set() else _serving
    if argument in ("stop", "token"):
        if here is None:
            raise MagicUsageError("The server does not run.", "`/serve` starts it.")
        if argument == "token":
            return f"`{here.token}`"
        here.stop()
        return f"The server at `{here.url}` has stopped."
    if argument and not argument.isdecimal():
        raise MagicUsageError(f"/serve takes a port, `stop` or `token`, not {argument[:40]!r}.")
    here = here or serve(llm, int(argument or 0))
    return (
        f"Programs on this machine can use its models at `{here.url}` with the token, until "
        "`/serve stop` or the end of the kernel. `/serve token` shows the token; the notebook "
        "saves it with the output. Agents reach the notebook with `jupyter llm mcp`."
    )


def serve(llm: LLM, port: int = 0, origins: Sequence[str] = ()) -> Serving:
    """Serve the models of this process, with the default one loaded; for more see `application`.

    `ServeError` has the reason if not.
    """
    global _serving  # noqa: PLW0603  a process serves once
    try:
        from jupyter_llm.frontends.mcp.server import beside
        from jupyter_llm.frontends.serve.server import Serving
    except ImportError as error:
        raise MissingLibraryError("Serving", error, "serve") from error
    llm.current.get()
    more: dict[str, Any] = {"origins": origins}
    if current_shell() is not None:
        path = llm.notebook.path or notebook_path(user_namespace())
        more |= {**beside(llm), "notebook": visible(str(path or "unnamed"))}
    _serving = Serving(llm.current, port=port, **more)
    return _serving
