"""Pages say who they are, and hear what becomes of what they ask."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.lab_page import LabPage
from support.waiting import until

from jupyter_llm import __version__
from jupyter_llm.frontends.comm.messages import PROTOCOL
from jupyter_llm.frontends.lab import presence, target
from jupyter_llm.frontends.lab.target import Sessions

MakePage = Callable[..., LabPage]


def test_a_page_is_welcomed_once_and_told_nothing_besides(open_page: MakePage) -> None:
    page = open_page()
    assert [message["type"] for message in page.messages] == ["ack", "welcome"]
    (welcome,) = page.of_kind("welcome")
    assert (welcome["protocol"], welcome["version"]) == (PROTOCOL, __version__)
    assert welcome["model"] is None  # none is loaded because a page is there


@pytest.mark.parametrize("protocol", [0, PROTOCOL + 1])
def test_a_page_that_speaks_otherwise_is_told_how_the_kernel_does(
    protocol: int, sessions: Sessions
) -> None:
    page = LabPage(sessions)
    page.tell({"type": "hello", "id": "1", "protocol": protocol, "surprise": True})
    welcome = page.wait_for_kind("welcome", id="1")
    assert (welcome["protocol"], welcome["version"]) == (PROTOCOL, __version__)
    assert sessions.page(page.name) is None


@pytest.mark.parametrize(
    "content",
    [None, 7, "hello", [], {}, {"type": []}, {"type": "no such"}, {"type": "hello", "id": []}],
)
def test_garbage_is_answered_in_one_line_and_the_page_goes_on(
    content: object, open_page: MakePage
) -> None:
    page = open_page()
    page.tell(content)
    assert "nobody understands" in page.wait_for_kind("error", id=None)["text"]
    assert page.hello()


def test_of_two_pages_with_one_notebook_only_the_one_that_asked_is_answered(
    open_page: MakePage,
) -> None:
    page, other = open_page(), open_page()
    page.answer("list_models")
    assert [message["type"] for message in other.messages] == ["ack", "welcome"]
    page.close()
    assert other.answer("list_models")["here"] is not None


def test_a_page_that_connects_again_takes_its_own_place(
    sessions: Sessions, open_page: MakePage
) -> None:
    page = open_page()
    again = LabPage(sessions)
    again.hello(client=page.name)
    assert len(list(sessions)) == 1


def test_a_page_that_vanished_is_let_go_when_another_comes_and_comes_anew_if_it_wakes(
    sessions: Sessions, open_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "SILENT_S", 0.01)
    page, heard = open_page(), []
    open_page()
    until(lambda: len(list(sessions)) == 1)
    monkeypatch.setattr(page, "hear", lambda _kind, data: heard.append(data))
    page.tell({"type": "list_models", "id": "1"})
    assert [message["seq"] for message in heard] == [0]  # which a page takes for a loss


def test_code_lands_in_the_page_that_ran_its_cell_or_else_in_one_that_is_still_there(
    sessions: Sessions, open_page: MakePage
) -> None:
    one, other = open_page(), open_page()
    clients = {page.name: sessions.page(page.name) for page in (one, other)}
    assert {name: found and found.client for name, found in clients.items()} == {
        name: name for name in clients
    }
    assert sessions.page("of another front end") is None
    one.close()
    assert sessions.page(one.name) is clients[other.name]


def test_a_page_that_says_who_it_is_after_all_were_let_go_is_not_taken_in(
    sessions: Sessions,
) -> None:
    page = LabPage(sessions)
    sessions.close()  # as by %unload_ext, before what the page said next has come
    page.tell({"type": "hello", "id": "1", "protocol": PROTOCOL, "client": page.name, "path": "a"})
    assert (page.messages, sessions.page(page.name)) == ([], None)


def test_a_page_that_comes_while_the_extension_is_unloaded_is_let_go(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_is_here", False)  # by the cell, while a subshell takes it in
    opening: Any = SimpleNamespace(open=presence._open)
    page = LabPage(opening)
    page.tell({"type": "hello", "id": "1", "protocol": PROTOCOL, "client": page.name, "path": "a"})
    assert page.messages == []


def test_a_cell_that_runs_while_the_first_page_is_taken_in_goes_without_it(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_sessions", None)
    name = Sessions.__module__
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # half imported, by a subshell
    assert presence.running_page(shell) is None


def test_no_code_lands_in_consoles_and_files_nor_where_a_page_is_not_heard_while_a_cell_runs(
    sessions: Sessions, open_page: MakePage
) -> None:
    page = open_page()
    LabPage(sessions, "", sender=page.name).hello()  # a console of the same page, opened later
    found = sessions.page(page.name)
    assert found is not None
    assert found.client == page.name
    late = LabPage(sessions)
    hello = {"type": "hello", "id": "1", "protocol": PROTOCOL, "client": late.name, "path": "a.py"}
    late.comm.handle_msg({"content": {"data": hello}})  # in the main thread: its subshell was late
    assert sessions.page(late.name) is None
