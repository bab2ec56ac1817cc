"""The tools as a server of the official `mcp` package, for any way of carrying its messages."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, get_type_hints

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

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Tool:
    """A tool, and what its arguments are as a type and as a JSON Schema."""

    call: Callable[..., str]
    asked: type[msgspec.Struct]
    schema: Mapping[str, Any]

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool takes them; `OptionError` where they are others."""
        try:
            # Models write numbers in quotes, too.
            return msgspec.structs.asdict(msgspec.convert(given, self.asked, strict=False))
        except msgspec.ValidationError as error:
            raise OptionError(f"{self.call.__name__}: {error}.") from None


@cache
def _tools() -> dict[str, _Tool]:
    """The tools by their names; the signatures say what they take."""
    found = {}
    for call in TOOLS:
        name, hints = call.__name__, get_type_hints(call, include_extras=True)
        fields = [
            (one.name, hints[one.name])
            if one.default is one.empty
            else (one.name, hints[one.name], one.default)
            for one in list(inspect.signature(call).parameters.values())[1:]
        ]
        asked = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        _, schemas = msgspec.json.schema_components([asked])
        found[name] = _Tool(call, asked, schemas[name])
    return found


def tool_server(call: Call) -> Server[Any]:
    """A server of the tools, which `call` carries out.

    The package's own `MCPServer` would set up logging for the whole kernel.
    """

    async def list_tools(*_asked: object) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(name, tool) for name, tool in _tools().items()])

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


def _listed(name: str, tool: _Tool) -> Tool:
    harmless = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    description = inspect.getdoc(tool.call)
    schema = dict(tool.schema)
    return Tool(name=name, description=description, input_schema=schema, annotations=harmless)


def notebook_server(llm: LLM) -> Server[Any]:
    """A server of the tools for the notebook of this kernel."""
    one_at_a_time = CapacityLimiter(1)  # each try is a copy of the kernel

    async def call(name: str, given: Mapping[str, Any]) -> str:
        tool = _tools().get(name)
        if tool is None:
            hint = nearest(name, list(_tools()), f"There are {', '.join(_tools())}.")
            raise OptionError(f"There is no tool {name[:80]!r}. {hint}")
        work = partial(_told, llm, tool, tool.arguments(given))
        limiter = one_at_a_time if tool.call is try_code else None
        return await to_thread.run_sync(work, limiter=limiter)

    return tool_server(call)


def _told(llm: LLM, tool: _Tool, arguments: Mapping[str, Any]) -> str:
    """What a tool tells of the notebook as it is now; whoever hangs up ends it."""
    try:
        task = llm.task(show_progress=lambda _step: from_thread.check_cancelled())
        return without_known(tool.call(task, **arguments))
    except JupyterLLMError:
        raise
    except Exception as error:  # the notebook's values may be anything
        logger.debug("A tool has failed", exc_info=True)
        reason = f"{tool.call.__name__} has failed here ({type(error).__name__})."
        raise JupyterLLMError(reason) from error


def mounted(llm: LLM) -> tuple[Route, Callable[[], AbstractAsyncContextManager[None]]]:
    """A route of a Starlette application, and what must be entered while it serves.

    Whoever mounts it looks at the token and the Host header first.
    """
    # Without sessions: no request depends on one before.
    manager = StreamableHTTPSessionManager(notebook_server(llm), stateless=True)
    return Route(PATH, endpoint=StreamableHTTPASGIApp(manager)), manager.run
