"""The official client of MCP against our tools, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from IPython.core.interactiveshell import InteractiveShell
from mcp import Client
from mcp.shared.exceptions import MCPError
from support.shell import run

from jupyter_llm import llm
from jupyter_llm._version import __version__
from jupyter_llm.frontends.mcp.server import notebook_server
from jupyter_llm.notebook.values import seen_secrets

T = TypeVar("T")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


def with_client(use: Callable[[Client], Awaitable[T]], **how: Any) -> T:
    """What comes of using a client of this process's notebook."""

    async def used() -> T:
        async with Client(notebook_server(llm), **how) as client:
            return await use(client)

    return asyncio.run(used())


def answer(name: str, arguments: dict[str, Any] | None = None, **how: Any) -> tuple[str, bool]:
    """What a tool tells, and whether that is an error."""
    result = with_client(lambda client: client.call_tool(name, arguments), **how)
    (content,) = result.content
    assert content.type == "text"
    return content.text, bool(result.is_error)


@MODES
def test_a_client_lists_the_tools_and_what_they_take(shell: InteractiveShell, mode: str) -> None:
    tools = with_client(lambda client: client.list_tools(), mode=mode).tools
    assert [one.name for one in tools] == [
        *("list_cells", "read_cell", "list_variables", "read_variables"),
        *("last_failure", "search_notebook", "try_code", "read_notebook"),
        *("propose_cells", "proposal_state", "read_pictures"),
    ]
    for one in tools:
        assert one.description
        assert one.annotations is not None
        assert one.annotations.read_only_hint == (one.name != "propose_cells")
        assert one.input_schema["type"] == "object"
    schema = tools[1].input_schema
    assert schema["required"] == ["number"]
    assert schema["properties"]["number"]["minimum"] == 1
    assert tools[6].input_schema["properties"]["timeout_s"]["default"] == 5
    parts = tools[8].input_schema
    assert parts["properties"]["cells"]["items"]["$ref"] == "#/$defs/CellChange"
    assert parts["$defs"]["CellChange"]["required"] == ["action"]


@MODES
def test_a_client_is_told_who_answers_and_reads(shell: InteractiveShell, mode: str) -> None:
    run(shell, "price = 3\nprice", store_history=True)

    async def read(client: Client) -> tuple[str, str]:
        assert client.server_info is not None
        result = await client.call_tool("list_cells")
        return client.server_info.version, str(result.content[0])

    version, told = with_client(read, mode=mode)
    assert version == __version__
    assert "In [1]" in told
    # Models write numbers in quotes, too.
    assert answer("read_cell", {"number": "1"}, mode=mode) == answer("read_cell", {"number": 1})


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("read_cell", {}, "read_cell: Object missing required field `number`."),
        ("read_cell", {"number": "last"}, "read_cell: Expected `int`, got `str` - at `$.number`."),
        ("list_cells", {"last": 0}, "list_cells: Expected `int` >= 1 - at `$.last`."),
        ("list_cells", {"first": 1}, "list_cells: Object contains unknown field `first`."),
        ("read_cell", {"number": 1}, "There is no cell [1]: no cell has run yet."),
        ("read_cels", {}, "There is no tool 'read_cels'."),
        ("read_variables", {"names": ["x"]}, "There is no variable 'x'."),
    ],
)
def test_what_cannot_be_told_is_one_line(
    shell: InteractiveShell, name: str, arguments: dict[str, Any], told: str
) -> None:
    text, is_error = answer(name, arguments)
    assert is_error
    assert text.startswith(told)
    assert "\n" not in text


def test_what_fails_inside_ends_nothing_and_tells_no_more_than_its_kind(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_options: object) -> object:
        raise ZeroDivisionError("of the user's own")

    with monkeypatch.context() as patch:
        patch.setattr(llm, "task", fail)
        told = answer("list_cells")
    assert told == ("list_cells failed (ZeroDivisionError).", True)
    assert [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")] == []
    assert answer("list_cells") == ("0 cells ran; the last 0 of them:", False)


def test_what_one_value_shows_to_be_a_secret_is_hidden_in_all(shell: InteractiveShell) -> None:
    def begin_anew() -> None:
        seen_secrets.forget()
        shell.user_ns.update(dict.fromkeys(("a", "password"), "Hq7-vB2x-Lp9s-Tz4m"))  # by no cell

    begin_anew()
    assert "Hq7" in answer("read_variables", {"names": ["a"]})[0]
    assert "Hq7" not in answer("read_variables", {"names": ["a", "password"]})[0]
    begin_anew()
    assert answer("search_notebook", {"text": "hq7"}) == ("Nothing matches.", False)
    seen_secrets.forget()


@MODES
def test_a_client_reads_the_notebook_and_a_variable_as_resources(
    shell: InteractiveShell, mode: str
) -> None:
    run(shell, "price = 3", cell_id="a", store_history=True)
    run(shell, "password = 'Hq7-vB2x-Lp9s-Tz4m'", cell_id="b", store_history=True)

    async def read(client: Client) -> list[str]:
        (cells,) = (await client.list_resources()).resources
        variable, _ = (await client.list_resource_templates()).resource_templates
        uris = [cells.uri, *(variable.uri_template.format(name=n) for n in ("price", "password"))]
        found = [await client.read_resource(uri) for uri in uris]
        return [one.contents[0].text for one in found]  # type: ignore[union-attr]

    cells, price, password = with_client(read, mode=mode)
    assert "In [1]:\nprice = 3" in cells
    assert "price: int" in price
    assert "Hq7" not in cells + password
    seen_secrets.forget()


@MODES
def test_a_client_sees_the_pictures_of_a_cell_that_is_not_hidden(
    shell: InteractiveShell, mode: str
) -> None:
    show = "display({'image/png': %r, 'text/plain': 'a plot'}, raw=True)"
    run(shell, show % PNG + f"\nhandle = {show % PNG[:16]}", cell_id="a", store_history=True)
    run(shell, show % PNG, cell_id="b", store_history=True)
    llm.timeline.hide("b")

    async def look(client: Client) -> tuple[Any, ...]:
        called = await client.call_tool("read_pictures", {"number": 1})
        read = await client.read_resource("notebook://pictures/1")
        hidden = await client.call_tool("read_pictures", {"number": 2})
        return called.content, read.contents, hidden.content[0]

    called, read, hidden = with_client(look, mode=mode)
    pictures = [("image/png", PNG), ("image/png", PNG[:16])]
    assert [(one.mime_type, one.data) for one in called] == pictures
    assert [(one.mime_type, one.blob) for one in read] == pictures
    assert PNG[:16] not in str(hidden)


@MODES
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("notebook://pictures/7", "There is no cell [7]: no cell has run yet."),
        ("notebook://variables/prise", "There is no variable 'prise'. Did you mean price?"),
        ("notebook://variables/", "There is no resource 'notebook://variables/'."),
        ("file:///etc/passwd", "There is no resource 'file:///etc/passwd'."),
    ],
)
def test_a_resource_that_is_not_there_is_one_line(
    shell: InteractiveShell, mode: str, uri: str, reason: str
) -> None:
    run(shell, "price = 3")

    async def read(client: Client) -> str:
        with pytest.raises(MCPError) as error:
            await client.read_resource(uri)
        return str(error.value)

    assert with_client(read, mode=mode) == reason


@MODES
def test_prompts_have_the_texts_of_the_notebook(shell: InteractiveShell, mode: str) -> None:
    run(shell, "1 / 0", cell_id="a", store_history=True, raises=ZeroDivisionError)

    async def read(client: Client) -> dict[str, str]:
        found = {}
        for one in (await client.list_prompts()).prompts:
            arguments = {"number": "1"} if one.arguments else None
            (message,) = (await client.get_prompt(one.name, arguments)).messages
            found[one.name] = str(message.content)
        with pytest.raises(MCPError, match="There is no cell"):
            await client.get_prompt("explain", {"number": "9"})
        return found

    prompts = with_client(read, mode=mode)
    assert [*prompts] == ["fix", "explain", "next_cell"]
    assert "ZeroDivisionError" in prompts["fix"]
    assert all("1 / 0" in text for text in prompts.values())
