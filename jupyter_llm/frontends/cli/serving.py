"""`jupyter llm serve` and `mcp`: a model, or a notebook, for other programs of this machine."""

from __future__ import annotations

import argparse
import json
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from jupyter_llm.errors import MissingLibraryError, ServeError
from jupyter_llm.frontends.cli.command import OK, argument, command, model_argument


@command(
    model_argument("-m", "--model"),
    argument("--port", type=int, default=0, help="where to listen; without one it is any free one"),
    argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="a site whose pages may call the server with the token, as https://example.org",
    ),
    json_help='print {"url": …, "token": …} on one line, for machines',
)
def _serve(options: argparse.Namespace) -> int:
    """Serve a model to other programs of this machine, by OpenAI's or Anthropic's protocol.

    They need the printed address and token; the token is random, or JUPYTER_LLM_TOKEN of the
    environment. Flash attention is on unless the model's name or the project sets it: it is faster
    for several prompts at once. Ctrl-C ends the server.

      jupyter llm serve --model qwen2.5
      jupyter llm serve --port 8765 --json
    """
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.serve.notice import serve

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    llm.current.usual["flash_attention"] = True  # a server reads several prompts at once
    if options.model:
        llm.use(options.model)
    serving = serve(llm, options.port, options.allow_origin)
    details = {"url": serving.url, "token": serving.token}
    shown = f"OPENAI_BASE_URL={serving.url}\nOPENAI_API_KEY={serving.token}"
    print(json.dumps(details) if options.json else shown, flush=True)
    with suppress(KeyboardInterrupt):
        serving.over.wait()
    serving.stop()
    return OK


@command(
    argument("--notebook", metavar="NAME", default="", help="which one, where several are served"),
    json_help=None,
)
def _mcp(options: argparse.Namespace) -> int:
    """Let agents read a notebook, by MCP over stdin and stdout.

    Agents start this by themselves; `%llm /serve` in the notebook permits it. They read the cells,
    the variables and the last error, search in them, and try code in a sealed copy of the kernel.
    They change nothing, and cannot read what is hidden from the model. Cells that they propose wait
    in JupyterLab until you accept or reject them.

      claude mcp add notebook -- jupyter llm mcp
      jupyter llm mcp --notebook report.ipynb
    """
    try:
        import anyio

        from jupyter_llm.frontends.mcp.server import serve_stdio
    except ImportError as error:
        raise MissingLibraryError("`jupyter llm mcp`", error, "serve") from error
    anyio.run(serve_stdio, partial(served_notebook, options.notebook), _served_paths)
    return OK


def served_notebook(name: str) -> tuple[str, str]:
    """Return the URL and the token of the only served notebook, or of the one with a name."""
    from jupyter_llm.frontends.mcp.server import PATH
    from jupyter_llm.frontends.serve.address import all_served

    paths = {one: Path(one.notebook).as_posix() for one in all_served() if one.notebook}
    matches = [one for one, path in paths.items() if not name or f"/{path}".endswith(f"/{name}")]
    if len(matches) == 1:
        return urljoin(matches[0].url, PATH), matches[0].token
    if not paths:
        raise ServeError("No notebook is served. Type `%llm /serve` in the notebook first.")
    subject = "Several notebooks are" if matches else f"No notebook {name} is"
    names = ", ".join(paths.values())
    raise ServeError(f"{subject} served. `jupyter llm mcp --notebook NAME` chooses one of {names}.")


def _served_paths() -> list[str]:
    """Return the paths of all served notebooks."""
    from jupyter_llm.frontends.serve.address import all_served

    return sorted(Path(one.notebook).as_posix() for one in all_served() if one.notebook)
