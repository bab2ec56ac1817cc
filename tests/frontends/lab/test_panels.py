"""The chats beside a notebook, as a page shows, lists, renames, exports and deletes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import Json, View, hold_on
from support.lab_page import LabPage, Page
from support.scripted import ScriptedEngine
from support.shell import run
from support.stored import stored_bytes, written
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.chat.chats import Chats
from jupyter_llm.errors import ChatNameError

OpenPage = Callable[..., LabPage]


def of_panel(page: Page, panel: str) -> list[Json]:
    """What a page has heard of one chat that it shows."""
    return [m["message"] for m in page.messages if m.get("panel") == panel]


class ShownChat(View):
    """A chat that a page shows."""

    _panels = count(1)

    def __init__(self, page: Page, chat: str = "default") -> None:
        super().__init__()
        self.page = page
        self.panel = f"panel{next(self._panels)}"
        self._num_read = 0
        page.ask("show_chat", panel_id=self.panel, chat=chat)
        self.hello()

    def tell(self, content: object) -> None:
        assert isinstance(content, dict)
        self.page.tell({"panel": self.panel, "message": content})

    def _hear_more(self) -> None:
        with self.page._changed:
            self.page._hear_more()
            news = of_panel(self.page, self.panel)[self._num_read :]
        for message in news:
            self._num_read += 1
            self._hear(message)


def names(chats: Json) -> dict[str, int]:
    """What a list of chats says."""
    return {chat["name"]: chat["num_turns"] for chat in chats["chats"]}


def test_a_prompt_goes_alone_where_the_cells_were_taken_out(
    shell: InteractiveShell, scripted: ScriptedEngine, page: LabPage
) -> None:
    run(shell, "price = 1", store_history=True)
    chat = ShownChat(page)
    for is_alone in (True, False):
        chat.say("How much is @price?", is_alone=is_alone)
        told = "price = 1" in str(scripted.requests[-1].prompt)
        assert told is not is_alone


def test_two_chats_of_a_page_and_two_pages_show_each_what_is_theirs(
    scripted: ScriptedEngine, open_page: OpenPage
) -> None:
    one, other = open_page("a.ipynb"), open_page("a.ipynb")
    default, prices, again = ShownChat(one), ShownChat(one, "prices"), ShownChat(other)
    default.say("Hello")
    again.wait_until(lambda chat: len(chat.path) == 1 and chat.is_idle)
    assert again.texts == default.texts
    assert prices.path == []


def test_a_page_that_leaves_is_told_nothing_more_and_the_answer_is_there_for_the_next(
    scripted: ScriptedEngine, open_page: OpenPage
) -> None:
    page = open_page()
    chat = ShownChat(page)
    hold_on(chat, scripted)
    page.close()
    num_heard = len(page.messages)
    scripted.holds = False
    llm.chat("default").cancel()
    other = ShownChat(open_page())
    other.wait_until(lambda chat: chat.texts == ["word "] and chat.is_idle)
    assert len(page.messages) == num_heard


def test_a_view_has_the_document_before_it_hears_of_any_change(
    scripted: ScriptedEngine, page: LabPage
) -> None:
    chat = ShownChat(page)
    chat.say("Hello")
    chat.ask("bye")
    num_heard = len(of_panel(page, chat.panel))
    llm.chat("default").remove(1)
    chat.hello()
    news = [message["type"] for message in of_panel(page, chat.panel)[num_heard:]]
    assert next(kind for kind in news if kind in ("document", "patch")) == "document"
    assert chat.path == []


def test_notices_running_commands_and_waiting_prompts_are_there_for_the_next_page(
    shell: InteractiveShell, scripted: ScriptedEngine, open_page: OpenPage
) -> None:
    page = open_page()
    chat = ShownChat(page)
    run(shell, "import threading\ndoor = threading.Event()", store_history=True)
    answered = chat.command("/status")["id"]
    scripted.holds = True
    running = chat.send("/explain 1")
    chat.wait_until(lambda chat: running in chat.notices)
    waiting = chat.send("Is it {{door.wait()}}?")
    chat.wait_until(lambda chat: waiting in chat.pending)
    page.close()
    other = ShownChat(open_page())
    assert list(other.notices) == [answered, running]
    assert other.notices[running]["is_finished"] is False
    assert list(other.pending) == [waiting]
    other.ask("stop", target=running)
    assert other.notice(running)["markdown"] == "word "
    scripted.holds = False
    scripted.replies.append("Yes.")
    run(shell, "door.set()")
    other.wait_until(lambda chat: chat.texts == ["Yes."] and chat.is_idle)


@pytest.mark.parametrize(
    "forget",
    [
        lambda chats: chats.clear(),
        lambda chats: chats.delete("default"),
        lambda chats: chats.get("default").reset(),
    ],
)
def test_a_chat_that_is_forgotten_shows_no_notice_to_the_next_page(
    page: LabPage, open_page: OpenPage, forget: Callable[[Chats], None]
) -> None:
    chat = ShownChat(page)
    chat.command("/status")
    forget(llm.chats)
    assert not ShownChat(open_page()).notices


def test_the_chats_of_an_earlier_kernel_are_listed_and_shown(
    shell: InteractiveShell, page: LabPage, tmp_path: Path
) -> None:
    llm.archive.open(tmp_path / "a.ipynb")
    llm.chat("prices")("Hello")
    assert llm.chat("prices").turns  # it has taken the answer in, which comes before that
    written()
    llm.chats._chats.clear()
    llm.archive._waiting = None
    assert names(page.answer("list_chats", words="")) == {"prices": 1}
    chat = ShownChat(page, "prices")
    assert [turn["prompt"] for turn in chat.shown] == ["Hello"]


def answers(request: str, message: Json) -> bool:
    """Whether a message for a panel has the id of a request."""
    return bool(message.get("message", {}).get("id") == request)


@pytest.mark.parametrize("cause", ["damaged", "temperature"])
def test_a_chat_that_cannot_be_shown_says_why_to_each_request(
    shell: InteractiveShell, page: LabPage, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    def refuse(_name: str) -> None:
        raise ChatNameError("The chat's file is damaged.")

    if cause == "damaged":
        monkeypatch.setattr(llm, "chat", refuse)
    else:
        run(shell, "%config LLMMagics.temperature = -1")
    page.ask("show_chat", panel_id="broken", chat="default")
    for request in ("one", "another"):
        called = {"method": "follow", "arguments": {"can_write_cells": True}}
        follow = {"type": "call", "id": request, **called}
        page.tell({"panel": "broken", "message": follow})
        page.wait_for(partial(answers, request))
    assert all(cause in message["text"] for message in of_panel(page, "broken"))


def test_a_chat_is_found_by_what_was_said_in_it_but_for_what_was_not_to_be_kept(
    scripted: ScriptedEngine, page: LabPage
) -> None:
    scripted.replies.extend(["Nobody.", "It depends on the *rent*.", "No."])
    prices = llm.chat("prices")
    prices.stream("The rosebud?", is_kept=False).result()
    turn = ShownChat(page, "prices").say("What does   it cost?")
    answer = page.answer("list_chats", words="DEPENDS on")
    (chat,) = answer["chats"]
    assert (chat["title"], chat["num_turns"]) == ("What does it cost?", 2)
    assert chat["when"] == prices.turns[-1].finished_at
    (found,) = answer["found"]
    assert (found["chat"], found["number"]) == ("prices", turn["number"])
    pieces = [found[part] for part in ("before", "words", "after")]
    assert pieces == ["What does it cost? It ", "depends on", " the *rent*."]
    assert page.answer("list_chats", words="rosebud")["found"] == []


def test_a_chat_goes_by_another_name_for_all_who_show_it(page: LabPage, tmp_path: Path) -> None:
    llm.archive.open(tmp_path / "a.ipynb")
    chat = ShownChat(page)
    chat.say("Hello")
    answer = page.answer("rename_chat", name="default", new_name=" All\nprices ")
    assert names(answer) == {"All prices": 1}
    chat.wait_until(lambda chat: chat.known["name"] == "All prices")
    assert llm.chat("All prices").turns
    assert not llm.chat("default").turns
    chat.say("And now?")
    written()
    kept = llm.archive._load()
    assert {name: len(saved.turns) for name, saved in kept.items()} == {"All prices": 2}


@pytest.mark.parametrize(
    ("name", "new_name", "said"),
    [
        ("none", "other", "This notebook has no chat 'none'."),
        ("default", "prices", "There is a chat 'prices' already. Choose another name."),
        ("default", " \n", "A chat needs a name of at least one letter."),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(
    page: LabPage, name: str, new_name: str, said: str
) -> None:
    ShownChat(page).say("Hello")
    llm.chat("prices")("Hello")
    assert page.refusal("rename_chat", name=name, new_name=new_name) == said
    assert names(page.answer("list_chats", words="")) == {"default": 1, "prices": 1}


def test_a_chat_is_exported_as_markdown(page: LabPage) -> None:
    turn = ShownChat(page, "prices").say("What does it *cost*?")
    text = page.answer("export_chat", name="prices")
    assert text.startswith("# notebook.ipynb\n\n## prices\n")
    assert "> What does it *cost*?" in text
    assert turn["text"].strip() in text


def test_a_deleted_chat_is_gone_everywhere(page: LabPage, tmp_path: Path) -> None:
    llm.archive.open(tmp_path / "a.ipynb")
    chat = ShownChat(page, "prices")
    chat.say("the rosebud of the garden")
    llm.chat("prices").system = "Say rosebud."
    chat.say("And now?")
    assert b"rosebud" in stored_bytes()
    chat.command("/status")
    assert names(page.answer("delete_chat", name="prices")) == {}
    assert ShownChat(page, "prices").notices == {}
    chat.wait_until(lambda chat: chat.path == [])
    assert b"rosebud" not in stored_bytes()
    assert llm.chat("prices").system is None
    assert "none" in page.refusal("delete_chat", name="none")


@pytest.mark.parametrize("prompt", ["What is {{door.wait()}}?", "Read all of this.", "/explain 1"])
def test_what_was_asked_while_a_chat_is_deleted_is_not_given_back(
    shell: InteractiveShell, scripted: ScriptedEngine, page: LabPage, prompt: str
) -> None:
    run(shell, "import threading\ndoor = threading.Event()", store_history=True)
    scripted.may_write.clear()
    chat = ShownChat(page)
    request = chat.send(prompt)
    chat.wait_until(lambda chat: request in chat.pending or request in chat.answered)
    page.answer("delete_chat", name="default")
    scripted.may_write.set()
    run(shell, "door.set()")
    until(lambda: not any(t.name == f"jupyter-llm-job-{request}" for t in threading.enumerate()))
    other = ShownChat(page)
    assert (other.path, other.pending, other.notices, other.given_back) == ([], {}, {}, {})
