"""The tools, resources and prompts as a server of the official `mcp` package, for any transport."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import CapacityLimiter, from_thread, to_thread
from mcp.server.lowlevel.server import Server
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations

from jupyter_llm._version import __version__
from jupyter_llm.common.bars import Pace, ShowProgress, Step
from jupyter_llm.errors import JupyterLLMError, OptionError
from jupyter_llm.frontends.mcp.resources import Call, handlers
from jupyter_llm.frontends.mcp.review import propose_cells
from jupyter_llm.frontends.mcp.tools import TOOLS, try_code
from jupyter_llm.notebook.values.redaction import without_registered

if TYPE_CHECKING:
    from jupyter_llm.api import LLM

PATH = "/mcp"
"""The path of the tools on an HTTP server."""

_REF = "#/$defs/{name}"
_ANSWER_S = 120  # a try may take a minute, after waiting for another one
_INSTRUCTIONS = (
    "A notebook that a person works in, as its kernel knows it: the cells that ran, the variables "
    "as they are now, the last error. You can change nothing in it. Try code with try_code, then "
    "propose cells with propose_cells: the person accepts or rejects and runs them."
)

# Without this, its warnings would appear in a cell; a user's own handler still gets them.
logging.getLogger("mcp").addHandler(logging.NullHandler())
logger = logging.getLogger(__name__)


@cache
def _tools() -> dict[str, type[msgspec.Struct]]:
    """Return the type of each tool's arguments, by name, from its signature."""
    types = {}
    for name, call in TOOLS.items():
        _task, *parameters = inspect.signature(call, eval_str=True).parameters.values()
        # Without a default, a field has two parts.
        fields: Any = [
            (p.name, p.annotation, p.default)[: 2 + (p.default != p.empty)] for p in parameters
        ]
        types[name] = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    return types


def tool_server(call: Call, served: Callable[[], Iterable[str]] | None = None) -> Server[Any]:
    """Return a server of the tools, which `call` carries out; `served` is as in `handlers`.

    The package's own `MCPServer` would configure logging for the whole kernel.
    """

    async def list_tools(*_asked: object) -> ListToolsResult:
        _, schemas = msgspec.json.schema_components(_tools().values(), ref_template=_REF)
        parts = {name: one for name, one in schemas.items() if name not in TOOLS}
        return ListToolsResult(
            tools=[
                Tool(
                    name=name,
                    description=inspect.getdoc(call),
                    input_schema={**schemas[name], "$defs": parts},
                    annotations=ToolAnnotations(
                        read_only_hint=call is not propose_cells,
                        destructive_hint=False,
                        open_world_hint=False,
                    ),
                )
                for name, call in TOOLS.items()
            ]
        )

    async def call_tool(context: Any, asked: Any) -> CallToolResult:
        try:
            return await call(asked.name, asked.arguments or {}, context.session.report_progress)
        except JupyterLLMError as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)

    return Server(
        "jupyter_llm",
        version=__version__,
        title="The notebook",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        **handlers(call, served),
    )


def notebook_server(llm: LLM) -> Server[Any]:
    """Return a server of the tools for the notebook of this kernel."""
    one_at_a_time = CapacityLimiter(1)  # each try forks the kernel

    async def call(
        name: str, arguments: dict[str, Any], report: ProgressFnT | None
    ) -> CallToolResult:
        is_try = name in (try_code.__name__, propose_cells.__name__)
        limiter = one_at_a_time if is_try else None
        show = _progress(report)
        return await to_thread.run_sync(_result, llm, name, arguments, show, limiter=limiter)

    return tool_server(call)


def _progress(report: ProgressFnT | None) -> ShowProgress:
    """Return a function that reports steps from a thread; a client that disconnects ends it."""
    pace = Pace()

    def show(step: Step) -> None:
        from_thread.check_cancelled()
        if report is not None and pace.is_due():
            from_thread.run(report, pace.elapsed_s, None, step.text)

    return show


def _result(llm: LLM, name: str, values: dict[str, Any], show: ShowProgress) -> CallToolResult:
    """Return a tool's result for the present notebook."""
    if name not in TOOLS:
        raise OptionError(f"There is no tool {name!r:.80}.")
    try:
        # Models may write numbers in quotes.
        arguments = msgspec.structs.asdict(msgspec.convert(values, _tools()[name], strict=False))
        task = llm.task(show_progress=show)
        result = TOOLS[name](task, **arguments)
        if isinstance(result, CallToolResult):
            return result
        return CallToolResult(content=[TextContent(text=without_registered(result))])
    except JupyterLLMError:
        raise
    except msgspec.ValidationError as error:
        raise OptionError(f"{name}: {error}.") from None
    except Exception as error:  # the notebook's values may be anything
        logger.debug("A tool has failed", exc_info=True)
        raise JupyterLLMError(f"{name} failed ({type(error).__name__}).") from error


def beside(llm: LLM) -> dict[str, Any]:
    """Return the routes and the lifespan with which a Starlette application serves the tools.

    The application must check the token and the Host header first.
    """
    # Without sessions: requests are independent.
    app = notebook_server(llm).streamable_http_app(streamable_http_path=PATH, stateless_http=True)
    return {"routes": app.routes, "lifespan": app.router.lifespan_context}


async def serve_stdio(
    find: Callable[[], tuple[str, str]], served: Callable[[], Iterable[str]]
) -> None:
    """Serve the tools over stdin and stdout, as agents start servers, until stdin ends.

    A kernel that serves them carries them out: `find` returns its URL and token, or raises
    `JupyterLLMError`. Each call searches again, because kernels start and end.
    """
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.server.stdio import stdio_server

    async def call(
        name: str, arguments: dict[str, Any], report: ProgressFnT | None
    ) -> CallToolResult:
        url, token = find()
        headers, timeout = {"Authorization": f"Bearer {token}"}, httpx2.Timeout(5, read=_ANSWER_S)
        # No proxy may see this machine's token.
        http = httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False)
        try:
            async with http, Client(streamable_http_client(url, http_client=http)) as client:
                return await client.call_tool(name, arguments, progress_callback=report)
        except Exception as error:  # a connection raises many errors, and groups of them
            raise JupyterLLMError(
                f"The kernel at {url} does not answer ({type(error).__name__}). "
                "Type `%llm /serve` in the notebook again."
            ) from error

    server = tool_server(call, served)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
