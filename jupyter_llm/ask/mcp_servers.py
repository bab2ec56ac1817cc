"""MCP servers that the user names in a file, whose tools a model may call.

The files are the nearest `.jupyter_llm.toml`, upwards from the working folder, and that in the home
folder:

    [mcp.files]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-filesystem", "."]
    env = {LOG_LEVEL = "error"}

A server is started when a prompt first names it, after the user has allowed its command. It runs in
the folder of the file, and ends with this process. See https://modelcontextprotocol.io.
"""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, ValidationError, convert

from jupyter_llm.ask.consent import Consent
from jupyter_llm.ask.tools import Tool, ToolCall, result_text
from jupyter_llm.common.controls import one_line, plain
from jupyter_llm.common.nearest import nearest
from jupyter_llm.errors import NotAllowedError, OptionError, ServerError

if TYPE_CHECKING:
    from collections.abc import Hashable

FILE = ".jupyter_llm.toml"
_START_S = 60.0
_CALL_S = 600.0
_INSTALL = "MCP servers need a package: %pip install 'jupyter-llm[serve]'"


class McpServer(Struct, frozen=True, forbid_unknown_fields=True):
    """The command of a server in a file; `${NAME}` in `env` is a variable of this process."""

    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


def server_names() -> list[str]:
    """Return the names of the servers in the files; `OptionError`: a file is invalid."""
    return [*_servers()]


def tools_of(name: str) -> list[McpTool]:
    """Return the tools of a server, which is started if it does not run.

    Raises
    ------
    OptionError
        There is no such server, or it has no tools.
    NotAllowedError
        The user does not allow its command.
    ServerError
        It does not start.
    """
    servers = _servers()
    if name not in servers:
        hint = nearest(name, [*servers], f"[mcp.{name}] in {FILE} names one.")
        raise OptionError(f"There is no MCP server {name!r:.60}. {hint}")
    path, server = servers[name]
    key = json.dumps([str(path), server.command, server.args, sorted(server.env.items())])
    running = _RUNNING.get(key)
    if running is None:
        command = plain(shlex.join([server.command, *server.args]))
        question = f"{plain(str(path))} names the MCP server {name}: {command}\nStart it?"
        if not _STARTS.allows(key, question):
            raise NotAllowedError(f"The MCP server {name} was not started: it is not allowed.")
        running = _RUNNING[key] = _Running(name, server, path.parent)
    try:
        tools = running.tools(key)
    except OptionError:
        raise
    except Exception as error:
        del _RUNNING[key]
        running.close()
        reason = f"has ended ({type(error).__name__}). The next prompt starts it again."
        raise ServerError(f"The MCP server {name}", reason) from error
    if not tools:
        raise OptionError(f"The MCP server {name} has no tools.")
    return tools


def stop_servers() -> None:
    """Stop the servers that run."""
    while _RUNNING:
        _RUNNING.popitem()[1].close()


def _servers() -> dict[str, tuple[Path, McpServer]]:
    """Return the servers by their names, those of the nearest file first."""
    folder, home = Path.cwd(), Path.home()
    files = [one / FILE for one in (folder, *folder.parents) if (one / FILE).is_file()][:1]
    found: dict[str, tuple[Path, McpServer]] = {}
    for path in dict.fromkeys([*files, home / FILE]):
        try:
            document = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
            named = convert(document.get("mcp", {}), dict[str, McpServer])
        except (OSError, ValueError, RecursionError, ValidationError) as error:
            raise OptionError(f"{path} is invalid: {one_line(str(error))}") from None
        found = {name: (path, server) for name, server in named.items()} | found
    return found


class McpTool:
    """A tool of a running server; `key` is another one once its description changes."""

    def __init__(self, running: _Running, key: str, definition: Any) -> None:
        self._running = running
        self.key: Hashable = (key, definition.model_dump_json())
        self.tool = Tool(
            name=definition.name,
            description=one_line((definition.description or "").split("\n\n")[0]),
            parameters=definition.input_schema,
        )

    def result(self, call: ToolCall) -> str:
        """Run a call, and return its result or its error as a bounded text."""
        try:
            return result_text(self._running.called(call.name, json.loads(call.arguments or "{}")))
        except Exception as error:  # noqa: BLE001 the model reads it
            return result_text(f"{type(error).__name__}: {one_line(str(error))}")


class _Running:
    """A server that runs, and a thread with the event loop that speaks with it."""

    def __init__(self, name: str, server: McpServer, folder: Path) -> None:
        try:
            from anyio.from_thread import start_blocking_portal
            from mcp import Client, StdioServerParameters, stdio_client
        except ImportError:
            raise OptionError(_INSTALL) from None
        env = {key: os.path.expandvars(value) for key, value in server.env.items()}
        program = StdioServerParameters(
            command=server.command, args=[*server.args], env=env, cwd=folder
        )
        with ExitStack() as ends:
            try:
                nowhere = ends.enter_context(Path(os.devnull).open("w"))
                self._portal = ends.enter_context(start_blocking_portal("asyncio"))
                client = Client(stdio_client(program, nowhere), read_timeout_seconds=_START_S)
                self._client = ends.enter_context(self._portal.wrap_async_context_manager(client))
            except Exception as error:
                reason = one_line(str(error))
                raise ServerError(f"The MCP server {name}", f"does not start: {reason}") from error
            self._ends = ends.pop_all()

    def close(self) -> None:
        """End the server."""
        self._ends.close()

    def tools(self, key: str) -> list[McpTool]:
        """Return the tools that the server has now."""
        found, cursor = [], None
        while True:
            page = self._portal.call(partial(self._client.list_tools, cursor=cursor))
            found += page.tools
            if not (cursor := page.next_cursor):
                return [McpTool(self, key, one) for one in found]

    def called(self, name: str, arguments: dict[str, Any]) -> str:
        """Return the text of a call's result."""
        running = self._portal.start_task_soon(
            partial(self._client.call_tool, name, arguments, read_timeout_seconds=_CALL_S)
        )
        try:
            result = running.result()
        finally:
            running.cancel()  # after an interrupt
        texts = (getattr(one, "text", f"({one.type})") for one in result.content)
        return "Error: " * bool(result.is_error) + "\n".join(texts)


_STARTS = Consent("mcp-server")
_RUNNING: dict[str, _Running] = {}
