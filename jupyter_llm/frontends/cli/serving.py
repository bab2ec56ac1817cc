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
    json_help='print {"url": …, "token": …} on one line, for machines',
)
def _serve(options: argparse.Namespace) -> int:
    """Let other programs of this machine use a model, by OpenAI's protocol.

    They need the address and the token that are printed; the token is another one each time,
    or that of JUPYTER_LLM_TOKEN in the environment. Flash attention is on unless the model's name
    or the project says otherwise: it is faster for several at once. Ctrl-C ends it.

      jupyter llm serve --model qwen2.5
      jupyter llm serve --port 8765 --json
    """
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.serve.notice import serve

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    llm.current.usual["flash_attention"] = True  # whoever serves reads several prompts at once
    if options.model:
        llm.use(options.model)
    serving = serve(llm, options.port)
    told = {"url": serving.url, "token": serving.token}
    shown = f"OPENAI_BASE_URL={serving.url}\nOPENAI_API_KEY={serving.token}"
    print(json.dumps(told) if options.json else shown, flush=True)
    with suppress(KeyboardInterrupt):
        serving.over.wait()
    serving.stop()
    return OK


@command(
    argument("--notebook", metavar="NAME", default="", help="which one, where several are served"),
    json_help=None,
)
def _mcp(options: argparse.Namespace) -> int:
    """Tell agents of a notebook, by MCP over stdin and stdout.

    Agents start this by themselves; `%llm /serve` in the notebook lets them in. They read the cells
    that ran, the variables and the last error, search in them, and try code in a sealed copy of the
    kernel. They change nothing, and what is hidden from the model is hidden from them.

      claude mcp add notebook -- jupyter llm mcp
      jupyter llm mcp --notebook report.ipynb
    """
    try:
        import anyio

        from jupyter_llm.frontends.mcp.server import serve_stdio
    except ImportError as error:
        raise MissingLibraryError("`jupyter llm mcp`", error, "serve") from error
    anyio.run(serve_stdio, partial(_served, options.notebook))
    return OK


def _served(name: str) -> tuple[str, str]:
    """The URL and the token of the one notebook that is served, or of that with a name."""
    from jupyter_llm.frontends.mcp.server import PATH
    from jupyter_llm.frontends.serve.address import all_served

    there = {one: Path(one.notebook).as_posix() for one in all_served() if one.notebook}
    meant = [one for one, path in there.items() if not name or f"/{path}".endswith(f"/{name}")]
    if len(meant) == 1:
        return urljoin(meant[0].url, PATH), meant[0].token
    if not there:
        raise ServeError("No notebook is served. Type `%llm /serve` in the notebook first.")
    what = "Several notebooks are" if meant else f"No notebook {name} is"
    names = ", ".join(there.values())
    raise ServeError(f"{what} served. `jupyter llm mcp --notebook NAME` chooses one of {names}.")
