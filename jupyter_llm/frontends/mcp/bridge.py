"""The tools over stdin and stdout, as agents start servers; a kernel that serves carries them out.

An agent starts this long before there is a kernel, and kernels come and go: so each call looks for
the kernel anew, and what there is to call is known without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server

from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.frontends.mcp.server import tool_server

_CONNECT_S, _ANSWER_S = 5, 120  # a try may last a minute, and wait for another one


async def serve_stdio(find: Callable[[], tuple[str, str]]) -> None:
    """Serve the tools over stdin and stdout until stdin ends.

    `find` gives the URL and the token of the kernel; `JupyterLLMError` says that there is none.
    """

    async def call(name: str, arguments: Mapping[str, Any]) -> str:
        url, token = find()
        return await _forwarded(url, token, name, arguments)

    server = tool_server(call)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def _forwarded(url: str, token: str, name: str, arguments: Mapping[str, Any]) -> str:
    """What a tool tells in the kernel that serves at a URL."""
    http = httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"},
        timeout=httpx2.Timeout(_CONNECT_S, read=_ANSWER_S),
        trust_env=False,  # no proxy may see the token of what is on this machine
    )
    try:
        async with http, Client(streamable_http_client(url, http_client=http)) as client:
            result = await client.call_tool(name, dict(arguments))
    except Exception as error:  # a connection fails in many ways, and in groups of them
        raise JupyterLLMError(
            f"The kernel that serves at {url} does not answer ({type(error).__name__}). "
            "`%llm /serve` in the notebook serves again."
        ) from error
    text = "\n".join(one.text for one in result.content if one.type == "text")
    if result.is_error:
        raise JupyterLLMError(text)
    return text
