"""Generated code lands in cells, marked, and never runs by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.kernel import Execution, Kernel, running_kernel
from support.shell import run

from jupyter_llm.notebook.code.landing import NextInput


@pytest.fixture
def writer(shell: InteractiveShell) -> Iterator[NextInput]:
    writer = NextInput(shell)
    yield writer
    writer.close()


def landed(shell: InteractiveShell) -> str | None:
    """Return the cell that landed since the last look."""
    source: Any = getattr(shell, "rl_next_input", None)
    shell.rl_next_input = None
    return source if isinstance(source, str) else None


def test_the_next_piece_lands_below_the_next_cell_that_works(
    shell: InteractiveShell, writer: NextInput
) -> None:
    note = writer.write(["a = nowhere", "b = a", "c = b"], replace=True)
    assert note == (
        "the first of 3 pieces of code is in place of this cell; run it, and the next follows"
    )
    assert landed(shell) == "a = nowhere"
    run(shell, "a = nowhere", raises=NameError)
    assert landed(shell) is None
    run(shell, "a = 1")
    assert landed(shell) == "b = a"
    run(shell, "b = a")
    assert landed(shell) == "c = b"
    run(shell, "c = b")
    assert landed(shell) is None


def test_another_answer_gives_up_what_is_left_of_the_one_before(
    shell: InteractiveShell, writer: NextInput
) -> None:
    writer.write(["a = 1", "b = 2"])
    writer.write(["x = 1"])
    assert landed(shell) == "x = 1"
    run(shell, "x = 1")
    assert landed(shell) is None


def test_nothing_lands_after_closing(shell: InteractiveShell, writer: NextInput) -> None:
    writer.write(["a = 1", "b = 1"])
    landed(shell)
    writer.close()
    writer.close()
    run(shell, "a = 1")
    assert landed(shell) is None


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with running_kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.execute(
            "from jupyter_llm.notebook.code.landing import NextInput\n"
            "writer = NextInput(get_ipython())"
        )
        yield kernel


def payloads(execution: Execution) -> list[tuple[str, bool]]:
    return [(each["text"], each["replace"]) for each in execution.reply["payload"]]


def test_cells_arrive_in_the_replies_of_a_real_kernel_and_do_not_run(kernel: Kernel) -> None:
    asked = kernel.execute("writer.write(['a = 1', 'b = a', 'a + b'])", cell_id="asked")
    assert payloads(asked) == [("a = 1", False)]
    codes = ("'a' in globals()", "a = 1", "b = a")
    others = [kernel.execute(code, cell_id=code) for code in codes]
    assert others[0].text == "False"
    assert [payloads(one) for one in others] == [[("b = a", False)], [("a + b", False)], []]
    asked = kernel.execute("writer.write(['x = 1'], replace=True)", cell_id="asked")
    assert payloads(asked) == [("x = 1", True)]
