"""A `%%llm` cell is read while it is written, as the magic would send it."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.frontends.comm.drafting import read_draft
from jupyter_llm.frontends.lab.cells import cell_prompt

BODY = "What is the price of tea in prices?\nAnd why does @In[1] say so?"


def read_ahead(source: str, cell_id: str | None = None) -> bool:
    return read_draft(lambda: cell_prompt(source, cell_id))


@pytest.fixture(autouse=True)
def prices(shell: InteractiveShell, scripted: ScriptedEngine) -> None:
    run(shell, "prices = {'tea': 3}\nprices", store_history=True)
    scripted.replies.extend(["three"] * 9)


@pytest.mark.parametrize(
    "line",
    [
        "%%llm",
        "%%llm -t 0 -n 5",
        "%%llm -s 'You keep a shop.'",
        "%%llm -c all --vars prices",
        "%%llm -c none --chat shop",
        "%%llm --new -q answer <<",
        "\n  %%llm -f text Now:",
    ],
)
def test_it_is_the_prompt_that_the_magic_sends(
    shell: InteractiveShell, scripted: ScriptedEngine, line: str
) -> None:
    for cell_id in ("a", "b", "a"):  # one cell runs again above another
        cell = f"{line}\n{BODY}"
        assert read_ahead(cell, cell_id)
        run(shell, cell.lstrip(), cell_id=cell_id, store_history=True)
        drafted, sent = scripted.drafts[-1], scripted.requests[-1]
        assert drafted.prompt == sent.prompt
        assert drafted.params == sent.params


def test_code_is_asked_for_as_the_magic_does(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extendleft(["```python\nx = 1\n```"])
    read_ahead("%%llm -f code\nSet x to 1.")
    run(shell, "%%llm -f code\nSet x to 1.", store_history=True)
    assert scripted.drafts[-1].prompt == scripted.requests[0].prompt


def test_any_part_of_a_cell_may_be_read_and_no_code_runs(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    shell.user_ns["seen"] = []
    cell = "%%llm -t 0 --chat shop -s '{{seen.append(1)}}'\nWhat is @prices? {{seen.append(2)}} so"
    for end in range(len(cell) + 1):
        assert read_ahead(cell[:end], "a")
    cell = cell.replace(" -s '{{seen.append(1)}}'", "")
    for end in range(len(cell) + 1):
        assert read_ahead(cell[:end], "a")
    assert shell.user_ns["seen"] == []
    assert str(scripted.drafts[-1].prompt).count("What is prices?") == 1
    assert not any("shop" in (chat.name or "") for chat in llm.chats)
    assert llm.chat("default").exchanges == ()


@pytest.mark.parametrize(
    "cell", ["", "x = 1", "%llm hello", "%%llmx\nhello", "%%llm /explain", "%%llm --dry-run\nhello"]
)
def test_what_sends_no_prompt_reads_none(scripted: ScriptedEngine, cell: str) -> None:
    assert read_ahead(cell)
    assert scripted.drafts == []
