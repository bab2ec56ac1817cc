"""Pages and a real kernel: over subshells and without, beside cells, figures, forks and reloads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.kernel import Kernel, running_kernel
from support.lab_page import KernelPage
from support.waiting import until

from jupyter_llm.frontends.comm.messages import PROTOCOL
from jupyter_llm.frontends.lab.presence import TARGET

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    with running_kernel(folder, HOME=str(folder)) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """A kernel with jupyter_llm, and no page."""
    shared_kernel.listeners.clear()
    shared_kernel.execute("%unload_ext jupyter_llm")
    assert shared_kernel.execute("%load_ext jupyter_llm").error is None
    return shared_kernel


@contextmanager
def sleeping(kernel: Kernel) -> Iterator[None]:
    """Let a cell sleep meanwhile, longer than anything waits, and interrupt it then."""
    cell = kernel.start("import time; print('asleep', flush=True); time.sleep(60)")
    cell.wait_until(lambda cell: "asleep" in cell.text)
    yield
    kernel.interrupt()
    assert cell.finish().error == "KeyboardInterrupt"


def comms(kernel: Kernel) -> dict[str, Any]:
    """The comms with our target, as a page asks for them: whatever runs, it is answered."""
    return dict(kernel.control("comm_info_request", target_name=TARGET)["comms"])


def test_pages_are_heard_while_a_cell_sleeps(kernel: Kernel) -> None:
    with sleeping(kernel):
        page, other = KernelPage(kernel), KernelPage(kernel)
        page.hello()
        other.hello()
        page.close()
        assert other.answer("list_chats", words="")["found"] == []


def test_the_command_has_the_page_offer_at_the_failed_cell_what_its_button_offers(
    kernel: Kernel,
) -> None:
    page = KernelPage(kernel)
    page.hello()
    cells = [("binds", "late = 1"), ("lacks", "late")]
    insert = [{"cell_id": a, "kind": "code", "source": b, "is_off": False} for a, b in cells]
    page.ask("cells", revision=1, at=0, remove=0, insert=insert)
    assert kernel.execute("late", cell_id="lacks").error
    cell = kernel.execute("%llm /fix", cell_id="asks")
    assert "`late` is bound by cell 1 (`late = 1`)" in cell.text
    page.wait_for_kind("show-fix", cell="lacks")
    page.close()


def test_a_page_that_vanished_leaves_no_thread_once_another_has_come(kernel: Kernel) -> None:
    page = KernelPage(kernel)
    page.hello()
    kernel.execute("from jupyter_llm.frontends.lab import target; target.SILENT_S = 0.1")
    KernelPage(kernel).hello()
    until(lambda: page.subshell not in kernel.control("list_subshell_request")["subshell_id"])
    kernel.execute("target.SILENT_S = 60.0")


def test_without_a_subshell_a_page_is_heard_when_the_cell_has_ended(kernel: Kernel) -> None:
    cell = kernel.start("import time; time.sleep(0.5)")
    page = KernelPage(kernel, has_subshell=False)
    about = {"protocol": PROTOCOL, "client": "slow", "path": "slow.ipynb"}
    page.tell({"type": "hello", "id": "1", **about})
    assert cell.finish().error is None
    page.wait_for_kind("welcome")


def test_a_page_can_see_whether_we_are_there_and_hears_us_come_and_go(kernel: Kernel) -> None:
    said: list[Any] = []

    def listen(message: dict[str, Any]) -> None:
        if message["header"]["msg_type"].startswith("comm") or "stream" in message["msg_type"]:
            said.append((message["content"].get("comm_id"), message["content"].get("data")))

    kernel.listeners.append(listen)
    assert TARGET in comms(kernel)
    kernel.execute("%unload_ext jupyter_llm")
    assert TARGET not in comms(kernel)
    kernel.execute("%load_ext jupyter_llm")
    kernel.execute("%reload_ext jupyter_llm")
    assert TARGET in comms(kernel)
    kinds = ("unloaded", "loaded", "unloaded", "loaded")
    assert said == [(TARGET, {"type": kind}) for kind in kinds]


def test_after_we_have_gone_and_come_a_page_connects_anew(kernel: Kernel) -> None:
    page = KernelPage(kernel)
    page.hello()
    kernel.execute("%reload_ext jupyter_llm")
    again = KernelPage(kernel)
    again.hello(client=page.name)
    page.close()
    until(lambda: page.comm_id not in comms(kernel))
    again.hello()


def test_the_kernel_knows_where_the_notebook_is_and_its_new_name(tmp_path: Path) -> None:
    notebook = tmp_path / "first.ipynb"
    notebook.touch()
    with running_kernel(tmp_path, HOME=str(tmp_path), JPY_SESSION_NAME=str(notebook)) as kernel:
        kernel.execute("%load_ext jupyter_llm\nfrom jupyter_llm import llm")
        page = KernelPage(kernel, "first.ipynb")
        page.hello()
        renamed = notebook.rename(tmp_path / "second.ipynb")
        page.hello(path="second.ipynb")
        seen = "import time\nfor _ in range(1000):\n if llm.notebook.path is not None and "
        seen += "llm.notebook.path.exists(): break\n time.sleep(0.01)\nprint(llm.notebook.path)"
        assert kernel.execute(seen).text.strip() == str(renamed)
