"""`/serve`: begins and ends what is served from this kernel, and says where that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.errors import MagicUsageError, MissingLibraryError
from jupyter_llm.notebook.cells.path import notebook_path
from jupyter_llm.notebook.cells.shell import current_shell, user_namespace

if TYPE_CHECKING:
    from jupyter_llm.api import LLM
    from jupyter_llm.frontends.serve.server import Serving

_serving: Serving | None = None


def serve_here(llm: LLM, argument: str) -> str:
    """Begin or end to serve the models of this kernel, or show the token; what there is to say."""
    here = None if _serving is None or _serving.over.is_set() else _serving
    if argument == "stop":
        if here is None:
            return "Nothing is served."
        here.stop()
        return f"Nothing is served at `{here.url}` any more."
    if argument == "token":
        if here is None:
            raise MagicUsageError("Nothing is served.", "`/serve` begins.")
        return f"`{here.token}`"
    if argument and not argument.isdecimal():
        raise MagicUsageError(f"/serve takes a port, `stop` or `token`, not {argument[:40]!r}.")
    if here is not None:
        return f"Already served at `{here.url}`; `/serve stop` ends that."
    here = serve(llm, int(argument or 0))
    info = llm.status().info
    what = "What is on this machine is" if info is None or info.host else f"**{info.name}** is"
    return (
        f"{what} served at `{here.url}` to programs of this machine that know the token, "
        "until `/serve stop` or the kernel's end. `/serve token` shows it; what an output shows is "
        "saved with the notebook. Agents get to the notebook by `jupyter llm mcp`."
    )


def serve(llm: LLM, port: int = 0) -> Serving:
    """Serve the models of this process, the default one loaded; `ServeError` says why not."""
    global _serving  # noqa: PLW0603  a process serves once
    try:
        from jupyter_llm.frontends.mcp.server import mounted
        from jupyter_llm.frontends.serve.server import Serving
    except ImportError as error:
        raise MissingLibraryError("Serving", error, "serve") from error
    llm.current.get()
    path = llm.notebook.path or notebook_path(user_namespace())
    notebook = "" if current_shell() is None else str(path or "unnamed")
    mounts = [mounted(llm)] if notebook else []
    _serving = Serving(llm.current, port=port, mounts=mounts, notebook=notebook)
    return _serving
