"""Resources and prompts: results of the tools, for clients that offer them to a person.

Change notes are missing: the server keeps no sessions, so there is nobody to notify.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import unquote

import mcp_types as types
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError

from jupyter_llm.errors import JupyterLLMError

Call = Callable[[str, dict[str, Any], ProgressFnT | None], Awaitable[types.CallToolResult]]
"""Returns the result of a named tool with arguments, or raises `JupyterLLMError`.

The function, if there is one, reports the progress.
"""

CELLS, SERVED, _VARIABLE = "notebook://cells", "notebook://served", "notebook://variables/"
_PICTURES = "notebook://pictures/"
_TRY = "Try the code with try_code, then propose it with propose_cells."
_PROMPTS = {
    "fix": ("last_failure", f"Find the cause of this error in my notebook and mend it. {_TRY}"),
    "explain": ("read_cell", "Explain step by step what this cell of my notebook does."),
    "next_cell": (
        "read_notebook",
        f"Write the next cell of this notebook: the next useful step after its last cell. {_TRY}",
    ),
}
_Picture = types.ImageContent
_NUMBER = types.PromptArgument(name="number", description="the N of In [N]", required=True)


def handlers(call: Call, served: Callable[[], Iterable[str]] | None = None) -> dict[str, Any]:
    """Return the handlers of resources and prompts by the names of a server's parameters.

    `served` returns the paths of the notebooks that can be reached.
    """

    async def content_of(name: str, arguments: dict[str, Any]) -> tuple[str, list[_Picture]]:
        """Return the text and the pictures of a tool's result."""
        try:
            result = await call(name, arguments, None)
        except JupyterLLMError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        text = "\n".join(one.text for one in result.content if one.type == "text")
        if result.is_error:
            raise MCPError(types.INVALID_PARAMS, text)
        return text, [one for one in result.content if one.type == "image"]

    async def text_of(name: str, arguments: dict[str, Any]) -> str:
        return (await content_of(name, arguments))[0]

    async def list_resources(*_asked: object) -> types.ListResourcesResult:
        about = "All cells in order: also Markdown, and cells that have not run."
        cells = types.Resource(
            uri=CELLS, name="notebook", description=about, mime_type="text/markdown"
        )
        about = "The notebooks that are served; `jupyter llm mcp --notebook NAME` chooses one."
        all_served = types.Resource(uri=SERVED, name="served notebooks", description=about)
        return types.ListResourcesResult(resources=[cells, all_served] if served else [cells])

    async def list_templates(*_asked: object) -> types.ListResourceTemplatesResult:
        variable = types.ResourceTemplate(
            uri_template=f"{_VARIABLE}{{name}}",
            name="variable",
            description="A variable: columns and first rows of a table, items, fields.",
            mime_type="text/plain",
        )
        pictures = types.ResourceTemplate(
            uri_template=f"{_PICTURES}{{number}}",
            name="pictures",
            description="The pictures that the cell In [number] showed, such as plots.",
        )
        return types.ListResourceTemplatesResult(resource_templates=[variable, pictures])

    async def read(_context: object, asked: Any) -> types.ReadResourceResult:
        if asked.uri.startswith(_PICTURES):
            number = asked.uri.removeprefix(_PICTURES)
            _, pictures = await content_of("read_pictures", {"number": number})
            blobs = [_blob(asked.uri, picture) for picture in pictures]
            return types.ReadResourceResult(contents=[*blobs])
        kind = "text/markdown" if asked.uri == CELLS else "text/plain"
        if asked.uri == CELLS:
            text = await text_of("read_notebook", {})
        elif asked.uri == SERVED and served is not None:
            text = "\n".join(served()) or "No notebook is served. Type `%llm /serve` in one."
        elif name := unquote(asked.uri.removeprefix(_VARIABLE)) * asked.uri.startswith(_VARIABLE):
            text = await text_of("read_variables", {"names": [name]})
        else:
            raise MCPError(types.INVALID_PARAMS, f"There is no resource {asked.uri!r:.200}.")
        contents = types.TextResourceContents(uri=asked.uri, mime_type=kind, text=text)
        return types.ReadResourceResult(contents=[contents])

    async def list_prompts(*_asked: object) -> types.ListPromptsResult:
        prompts = [
            types.Prompt(
                name=name, description=text, arguments=[_NUMBER] if tool == "read_cell" else []
            )
            for name, (tool, text) in _PROMPTS.items()
        ]
        return types.ListPromptsResult(prompts=prompts)

    async def get_prompt(_context: object, asked: Any) -> types.GetPromptResult:
        if asked.name not in _PROMPTS:
            raise MCPError(types.INVALID_PARAMS, f"There is no prompt {asked.name!r:.80}.")
        tool, request = _PROMPTS[asked.name]
        text = f"{await text_of(tool, asked.arguments or {})}\n\n{request}"
        message = types.PromptMessage(role="user", content=types.TextContent(text=text))
        return types.GetPromptResult(messages=[message])

    return {
        "on_list_resources": list_resources,
        "on_list_resource_templates": list_templates,
        "on_read_resource": read,
        "on_list_prompts": list_prompts,
        "on_get_prompt": get_prompt,
    }


def _blob(uri: str, picture: _Picture) -> types.BlobResourceContents:
    return types.BlobResourceContents(uri=uri, mime_type=picture.mime_type, blob=picture.data)
