"""The tools as a server of the official `mcp` package, for any way of carrying its messages."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import CapacityLimiter, from_thread, to_thread
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations
from starlette.routing import Route

from jupyter_llm._version import __version__
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.frontends.mcp.tools import TOOLS, try_code
from jupyter_llm.notebook.values.redaction import without_known

if TYPE_CHECKING:
    from jupyter_llm.api import LLM

Call = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""What a tool of a name tells, given its arguments; `JupyterLLMError` says why it tells nothing."""

PATH = "/mcp"
"""Where a server that carries these messages by HTTP listens for them."""

_INSTRUCTIONS = (
    "A notebook that a person works in, as its kernel knows it: the cells that ran, the variables "
    "as they are now, the last error. You can change nothing in it. Try code with try_code before "
    "you propose it, and let the person run it."
)

_SILENT = logging.NullHandler()

logger = logging.getLogger(__name__)


@cache
def _tools() -> dict[str, type[msgspec.Struct]]:
    """What each tool takes, by its name, as its signature says."""
    asked = {}
    for name, call in TOOLS.items():
        _task, *taken = inspect.signature(call, eval_str=True).parameters.values()
        # Without a default there is no third part.
        fields: Any = [
            (p.name, p.annotation, p.default)[: 2 + (p.default != p.empty)] for p in taken
        ]
        asked[name] = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    return asked


def tool_server(call: Call) -> Server[Any]:
    """A server of the tools, which `call` carries out.

    The package's own `MCPServer` would set up logging for the whole kernel.
    """

    async def list_tools(*_asked: object) -> ListToolsResult:
        _, schemas = msgspec.json.schema_components(_tools().values())
        harmless = ToolAnnotations(read_only_hint=True, open_world_hint=False)
        return ListToolsResult(
            tools=[
                Tool(
                    name=name,
                    description=inspect.getdoc(call),
                    input_schema=schemas[name],
                    annotations=harmless,
                )
                for name, call in TOOLS.items()
            ]
        )

    async def call_tool(_context: object, asked: Any) -> CallToolResult:
        try:
            text, is_error = await call(asked.name, asked.arguments or {}), False
        except JupyterLLMError as error:
            text, is_error = str(error), True
        return CallToolResult(content=[TextContent(text=text)], is_error=is_error)

    return Server(
        "jupyter_llm",
        version=__version__,
        title="The notebook",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def notebook_server(llm: LLM) -> Server[Any]:
    """A server of the tools for the notebook of this kernel."""
    one_at_a_time = CapacityLimiter(1)  # each try is a copy of the kernel

    async def call(name: str, given: Mapping[str, Any]) -> str:
        limiter = one_at_a_time if name == try_code.__name__ else None
        return await to_thread.run_sync(partial(_told, llm, name, given), limiter=limiter)

    return tool_server(call)


def _told(llm: LLM, name: str, given: Mapping[str, Any]) -> str:
    """What a tool tells of the notebook as it is now; whoever hangs up ends it."""
    if name not in TOOLS:
        hint = nearest(name, list(TOOLS), f"There are {', '.join(TOOLS)}.")
        raise OptionError(f"There is no tool {name[:80]!r}. {hint}")
    try:
        # Models write numbers in quotes, too.
        arguments = msgspec.structs.asdict(msgspec.convert(given, _tools()[name], strict=False))
        task = llm.task(show_progress=lambda _step: from_thread.check_cancelled())
        return without_known(TOOLS[name](task, **arguments))
    except JupyterLLMError:
        raise
    except msgspec.ValidationError as error:
        raise OptionError(f"{name}: {error}.") from None
    except Exception as error:  # the notebook's values may be anything
        logger.debug("A tool has failed", exc_info=True)
        raise JupyterLLMError(f"{name} has failed here ({type(error).__name__}).") from error


def mounted(llm: LLM) -> tuple[Route, Callable[[], AbstractAsyncContextManager[None]]]:
    """A route of a Starlette application, and what must be entered while it serves.

    Whoever mounts it looks at the token and the Host header first.
    """
    # Whoever wants to know what it logs says so; else its warnings would stand in some cell.
    logging.getLogger("mcp").addHandler(_SILENT)
    # Without sessions: no request depends on one before.
    manager = StreamableHTTPSessionManager(notebook_server(llm), stateless=True)
    return Route(PATH, endpoint=StreamableHTTPASGIApp(manager)), manager.run
