"""`jupyter llm serve`: a model for other programs of this machine."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress

from jupyter_llm.frontends.cli.command import OK, argument, command, model_argument


@command(
    model_argument("-m", "--model"),
    argument("--port", type=int, default=0, help="where to listen; without one it is any free one"),
    json_help='print {"url": …, "token": …} on one line, for machines',
)
def _serve(options: argparse.Namespace) -> int:
    """Let other programs of this machine use a model, by OpenAI's protocol.

    They need the address and the token that are printed; the token is another one each time,
    or that of JUPYTER_LLM_TOKEN in the environment. Ctrl-C ends it.

      jupyter llm serve --model qwen2.5
      jupyter llm serve --port 8765 --json
    """
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.serve.notice import serve

    if options.model:
        llm.use(options.model)
    serving = serve(llm, options.port)
    told = {"url": serving.url, "token": serving.token}
    shown = f"OPENAI_BASE_URL={serving.url}\nOPENAI_API_KEY={serving.token}"
    print(json.dumps(told) if options.json else shown, flush=True)
    with suppress(KeyboardInterrupt):
        serving.wait()
    serving.stop()
    return OK
