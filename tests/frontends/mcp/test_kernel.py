"""An agent beside a real kernel, by HTTP and over stdio: it reads and tries while cells run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from support.kernel import Kernel, running_kernel
from support.lab_page import KernelPage
from support.seal import needs_seal
from support.waiting import until

from jupyter_llm.frontends.serve.address import Whereabouts, all_served

T = TypeVar("T")
TOKEN = "ghp_9f8aQ2Lm4Zx7Rt1Vb6Nc3Wd5Kq0Js8Hy2Pe7"  # noqa: S105  nobody's
pytestmark = [needs_seal, pytest.mark.slow]
WAIT = """import pathlib, time
print('on')
while not pathlib.Path({!r}).exists(): time.sleep(0.01)"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of Jupyter's own for what runs."""
    folder = tmp_path_factory.mktemp("runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def kernel(
    tmp_path_factory: pytest.TempPathFactory, runtime: Path, tiny_gguf: Path
) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    name = str(folder / "report.ipynb")
    more = {"GITHUB_TOKEN": TOKEN, "SEARCH_URL": f"https://ada:{TOKEN}@search.example/"}
    with running_kernel(folder, HOME=str(folder), JPY_SESSION_NAME=name, **more) as kernel:
        kernel.execute(f"%load_ext jupyter_llm\n%llm /use {tiny_gguf}\n%llm /serve")
        until(all_served)
        yield kernel


@pytest.fixture
def served(kernel: Kernel) -> Whereabouts:
    (served,) = all_served()
    return served


def with_client(program: StdioServerParameters, use: Callable[[Client], Awaitable[T]]) -> T:
    async def used() -> T:
        async with Client(program) as client:
            return await use(client)

    return asyncio.run(used())


def with_served(
    served: Whereabouts, use: Callable[[Client], Awaitable[T]], *, mode: str = "auto"
) -> T:
    async def used() -> T:
        headers = {"Authorization": f"Bearer {served.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            where = streamable_http_client(f"{served.url[:-3]}/mcp", http_client=http)
            async with Client(where, mode=mode) as client:
                return await use(client)

    return asyncio.run(used())


async def told_by(client: Client, name: str, **arguments: Any) -> str:
    (content,) = (await client.call_tool(name, arguments)).content
    assert content.type == "text"
    return content.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_reads_and_tries_and_the_notebook_is_as_it_was(
    kernel: Kernel, served: Whereabouts, tmp_path: Path, mode: str
) -> None:
    kernel.execute("rows = [1, 2]\nrows")
    gate = tmp_path / "gate"

    async def use(client: Client) -> None:
        assert "rows: list, 2 items of int" in await told_by(client, "list_variables")
        tried = await told_by(client, "try_code", code="rows.append(3); rows", timeout_s=30)
        assert "Its value:\n[1, 2, 3]" in tried
        cell = kernel.start(WAIT.format(str(gate)))
        cell.wait_until(lambda cell: "on" in cell.text)
        assert await told_by(client, "try_code", code="1") == "not tried: a cell is running"
        assert "rows = [1, 2]" in await told_by(client, "list_cells")
        gate.touch()
        assert cell.finish().error is None

    with_served(served, use, mode=mode)
    assert kernel.execute("print(rows)").text == "[1, 2]\n"


async def steps_of_a_try(client: Client, tmp_path: Path) -> list[tuple[float, str | None]]:
    """Try code that ends after some steps were reported; return the steps."""
    steps: list[tuple[float, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        assert total is None  # nobody knows how long the code runs
        steps.append((progress, message))
        if len(steps) == 2:
            (tmp_path / "gate").touch()

    code = {"code": WAIT.format(str(tmp_path / "gate")), "timeout_s": 60}
    result = await client.call_tool("try_code", code, progress_callback=report)
    assert "The code ran in a sealed copy" in str(result.content[0])
    return steps


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_hears_the_progress_of_a_try(
    served: Whereabouts, tmp_path: Path, mode: str
) -> None:
    (first_s, first), (second_s, second), *_ = with_served(
        served, lambda client: steps_of_a_try(client, tmp_path), mode=mode
    )
    assert 0 < first_s < second_s
    assert first == second == "Trying the code"


def test_an_agent_proposes_cells_and_hears_what_the_person_took(
    kernel: Kernel, served: Whereabouts
) -> None:
    kernel.execute("rows = [1, 2]", cell_id="rows")
    kernel.execute("salt = 'xq17'")
    kernel.execute("%llm /hide salt")

    async def refused(client: Client) -> None:
        cells = [{"action": "new", "source": "sum(rows)"}]
        assert "No page shows this notebook" in await told_by(client, "propose_cells", cells=cells)

    async def propose(client: Client) -> None:
        assert "id rows: cell [" in await told_by(client, "read_notebook")
        cells = [
            {"action": "change", "cell_id": "rows", "source": "rows = [3]"},
            {"action": "new", "cell_id": "rows", "source": "assert sum(rows) == 3"},
            {"action": "new", "cell_id": "rows", "source": "salt"},
        ]
        text = await told_by(client, "propose_cells", cells=cells)
        assert "1. change rows (the code ran in a sealed copy" in text
        assert "it needs `salt`, which is hidden" in text

    async def hear(client: Client) -> None:
        text = await told_by(client, "proposal_state", wait_s=60)
        assert [one.split()[-1] for one in text.splitlines()] == ["accepted", "rejected"]

    with_served(served, refused)
    page = KernelPage(kernel)
    page.hello()
    cell = {"cell_id": "rows", "kind": "code", "source": "rows = [1, 2]", "is_off": False}
    page.answer("cells", revision=1, at=0, remove=0, insert=[cell])
    with_served(served, propose)
    first, second = page.answer("open_proposals")
    page.answer("keep_proposal", task=first, waiting=None, is_accepted=True)
    page.answer("keep_proposal", task=second, waiting=None)
    with_served(served, hear)
    page.close()
    assert kernel.execute("print(rows)").text == "[1, 2]\n"


def test_who_hangs_up_ends_what_is_tried_for_them(kernel: Kernel, served: Whereabouts) -> None:
    process = psutil.Process(int(kernel.execute("import os; print(os.getpid())").text))

    async def use(client: Client) -> None:
        call = client.call_tool("try_code", {"code": "while True: pass", "timeout_s": 60})
        tried = asyncio.ensure_future(call)
        await asyncio.to_thread(until, process.children)
        tried.cancel()
        await asyncio.wait([tried])

    with_served(served, use)
    until(lambda: not process.children())
    assert kernel.execute("print(6 * 7)").text == "42\n"


def test_code_of_an_agents_finds_nothing_of_a_hidden_cell(
    kernel: Kernel, served: Whereabouts
) -> None:
    for code in (
        "def share(total): return total * 471108\nsalt = 'xq17'\nsalt",
        "number = len(In) - 2",
        "get_ipython().run_line_magic('llm', f'/hide {number}')",
        "%llm /hide salt",
    ):
        assert kernel.execute(code).error is None

    async def use(client: Client) -> None:
        for name in ("share", "salt"):
            tried = await told_by(client, "try_code", code=name, timeout_s=30)
            assert tried == f"not tried: it needs `{name}`, which is hidden"
        code = "import linecache\nlinecache.cache, In, Out, [*globals().items()]"
        code += "\nprint([one for one in (str(linecache.cache), str(globals()), str(vars("
        code += "get_ipython().history_manager))) if '47' '11' in one or 'xq' '17' in one])"
        tried = await told_by(client, "try_code", code=code, timeout_s=30)
        assert tried.startswith("The code ran in a sealed copy\n\nIt printed:\n[]")

    with_served(served, use)
    assert kernel.execute("print(share(1), salt)").text == "471108 xq17\n"


@pytest.mark.parametrize(
    "place",
    [
        "'/proc/self/environ'",
        "*glob.glob('/proc/self/task/*/environ')",
        "*glob.glob('/proc/[0-9]*/environ')",
    ],
)
def test_code_of_an_agents_reads_no_secret_in_the_environment_of_a_process(
    served: Whereabouts, place: str
) -> None:
    code = f"import glob\nread = ''\nfor place in [{place}]:\n"
    code += "    try: read += open(place).read()\n    except OSError: pass\n"
    code += "import os, posix, ctypes\nread += str([os.environ, posix.environ])\n"
    code += "libc = ctypes.CDLL(None)\nlibc.getenv.restype = ctypes.c_char_p\n"
    code += "read += str([libc.getenv(b'GITHUB_TOKEN'), libc.getenv(b'SEARCH_URL')])\n"
    code += f"'HOME=' in read, {TOKEN[:20][::-1]!r} in read[::-1], {TOKEN[20:]!r} in read"

    async def use(client: Client) -> None:
        tried = await told_by(client, "try_code", code=code, timeout_s=30)
        assert "Its value:\n(True, False, False)" in tried

    with_served(served, use)


@pytest.mark.parametrize("is_guest", [True, False])
def test_code_in_a_copy_reads_no_token_of_a_server_and_no_key_of_a_kernel(
    kernel: Kernel, served: Whereabouts, runtime: Path, tmp_path: Path, *, is_guest: bool
) -> None:
    (runtime / "jupyter_cookie_secret").touch(0o600)
    (runtime / "public.txt").touch(0o644)
    (tmp_path / "link").symlink_to(runtime)
    folders = [f"{folder}/*" for folder in (runtime, tmp_path / "link", runtime.parent)]
    code = f"""import glob, os
for place in [one for folder in {folders} for one in sorted(glob.glob(folder))]:
    try: print(os.path.basename(place), open(place).read()[:0], end='')
    except OSError: pass"""
    (runtime.parent / "prices.csv").touch(0o600)
    expected = "public.txt public.txt prices.csv "

    async def use(client: Client) -> None:
        tried = await told_by(client, "try_code", code=code, timeout_s=30)
        assert f"It printed:\n{expected}" in tried

    if is_guest:
        with_served(served, use)
    else:
        seen = f"llm.task().tries.seen({code!r}, timeout_s=30)"
        tried = kernel.execute(f"from jupyter_llm import llm\nprint({seen}.printed)")
        assert tried.text == f"{expected}\n"


def test_nobody_gets_in_without_the_token(served: Whereabouts) -> None:
    with httpx2.Client() as http:
        told = http.post(f"{served.url[:-3]}/mcp", json={"method": "tools/list"})
    assert told.status_code == 401
    assert "list_cells" not in told.text


def test_what_makes_no_sense_is_refused_and_shows_in_no_cell(
    kernel: Kernel, served: Whereabouts, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    heard: list[dict[str, Any]] = []
    kernel.listeners.append(heard.append)
    cell = kernel.start(WAIT.format(str(gate)))
    cell.wait_until(lambda cell: "on" in cell.text)
    accepts = {"Accept": "application/json, text/event-stream"}
    headers = {"Authorization": f"Bearer {served.token}", **accepts}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    bodies: list[Any] = [
        *(b"", b"{", b"\xff\xfe", b"[" * 9000, b"9" * 5000, b"null", b"[]", b'"x"'),
        *({}, call, {**call, "params": 1}, {**call, "params": {"name": 2}}, {**call, "id": None}),
        *({**call, "params": {"name": "try_code", "arguments": [1]}}, {**call, "method": "no"}),
        {"jsonrpc": "2.0", "method": "notifications/none", "params": {"x": [None]}},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": []}},
        {**call, "params": {"name": "list_cells", "arguments": {"last": 10**30}}},
    ]
    with httpx2.Client(headers=headers, timeout=30) as http:
        for version in ("2025-11-25", "2026-07-28", "1066-10-14"):
            for body in bodies:
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                about = {"Content-Type": "application/json", "MCP-Protocol-Version": version}
                told = http.post(f"{served.url[:-3]}/mcp", content=sent, headers=about)
                assert "Traceback" not in told.text
                assert told.status_code < 500 or "Internal" not in told.text
        assert http.delete(f"{served.url[:-3]}/mcp").status_code >= 400
    gate.touch()
    assert cell.finish().error is None
    kernel.listeners.clear()
    shown = [one["content"] for one in heard if one["header"]["msg_type"] == "stream"]
    assert shown == [{"name": "stdout", "text": "on\n"}]

    async def use(client: Client) -> None:
        assert "ran" in await told_by(client, "list_cells")

    with_served(served, use)


def test_over_stdio_each_call_finds_the_kernel_there_is(
    kernel: Kernel, served: Whereabouts, tmp_path: Path
) -> None:
    kernel.execute("price = 3")

    async def use(client: Client) -> None:
        assert len((await client.list_tools()).tools) == 11
        assert "price: int" in await told_by(client, "list_variables")
        assert len(await steps_of_a_try(client, tmp_path)) >= 2
        assert "price = 3" in str((await client.read_resource("notebook://cells")).contents)
        assert "price = 3" in str((await client.get_prompt("next_cell")).messages)
        refused = await client.call_tool("read_cell", {"number": 99})
        assert refused.is_error
        assert "There is no cell [99]" in str(refused.content[0])
        found = (await client.read_resource("notebook://served")).contents
        assert "report.ipynb" in str(found)
        kernel.execute("%llm /serve stop")
        refused = await client.call_tool("list_cells")  # what there is to call is known all along
        assert refused.is_error
        refusal = "No notebook is served. Type `%llm /serve` in the notebook"
        assert refusal in str(refused.content[0])
        kernel.execute("%llm /serve")
        assert "price: int" in await told_by(client, "list_variables")

    async def find_none(client: Client) -> None:
        refused = await client.call_tool("list_cells")
        assert refused.is_error
        assert "No notebook other.ipynb is served. `jupyter llm" in str(refused.content[0])

    for name, what in (("report.ipynb", use), ("other.ipynb", find_none)):
        arguments = ["-m", "jupyter_llm", "mcp", "--notebook", name]
        program = StdioServerParameters(
            command=sys.executable, args=arguments, cwd=tmp_path, env=dict(os.environ)
        )
        with_client(program, what)
