"""Prompts and commands of a panel: handlers return at once, and Stop stops at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets.widgets.widget import _instances
from support.front_end import FrontEnd, MakeFront, hold_on, is_done
from support.scripted import ScriptedEngine, messages_of
from support.shell import run
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.constraint import Grammar, OneOf
from jupyter_llm.errors import EngineError, OptionError
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS


def wait_for_threads(prefix: str = "jupyter-llm-job") -> None:
    """Wait until no thread of a name that begins so is alive."""
    until(lambda: not any(t.name.startswith(prefix) for t in threading.enumerate()))


class Loading:
    """A model that takes its time to load, and says how far it is."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.is_over = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self, *_: Any, show: Any = None, **_options: Any) -> ScriptedEngine:
        percent = 0
        self.has_begun.set()
        while not self.is_over.wait(0.01):
            percent = min(percent + 1, 99)
            show(Step(f"Loading tiny: {percent}%", percent / 100))
        return self.engine


@pytest.fixture
def loading(scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loading]:
    loading = Loading(scripted)
    monkeypatch.setattr(llm.current, "get", loading)
    yield loading
    loading.is_over.set()
    wait_for_threads()


# Stop

each_target = pytest.mark.parametrize(
    "target",
    [
        pytest.param(lambda _request: 1, id="the turn"),
        pytest.param(lambda request: request, id="the request"),
        pytest.param(lambda _request: None, id="whatever runs"),
    ],
)


@each_target
def test_stop_ends_a_turn_and_the_next_prompt_goes_on_from_what_there_is(
    front: FrontEnd, scripted: ScriptedEngine, target: Callable[[str], int | str | None]
) -> None:
    request = hold_on(front, scripted)  # as good as for ever
    front.ask("stop", target=target(request))
    front.wait_until(is_done)
    assert front.shown[0]["finish_reason"] == "cancelled"
    assert front.texts == ["word "]
    scripted.holds = False
    scripted.replies.append("Going on.")
    front.say("go on")
    contents = [message.content for message in scripted.requests[-1].prompt]  # type: ignore[union-attr]
    assert contents == ["hold on", "word ", "go on"]


@each_target
def test_stop_while_the_model_reads_gives_the_prompt_back(
    front: FrontEnd, scripted: ScriptedEngine, target: Callable[[str], int | str | None]
) -> None:
    scripted.may_write.clear()
    request = front.send("Read all of this.")
    front.wait_until(lambda front: [turn["state"] for turn in front.shown] == ["reading"])
    front.ask("stop", target=target(request))
    front.wait_until(lambda front: front.given_back == {request: "Read all of this."})
    front.wait_until(lambda front: front.path == [] and front.is_idle)
    wait_for_threads()
    returned = [m["patch"].get("returned", {}) for m in front.messages if m["type"] == "patch"]
    assert sum(request in texts for texts in returned) == 1


def test_loading_shows_how_far_it_is(front: FrontEnd, loading: Loading) -> None:
    request = front.send("hello")
    front.wait_until(lambda front: front.pending.get(request, {}).get("progress"))
    progress = front.pending[request]["progress"]
    assert progress["text"].startswith("Loading tiny: ")
    assert 0 < progress["share"] < 1
    loading.engine.replies.append("There.")
    loading.is_over.set()
    front.wait_until(is_done)
    assert front.texts == ["There."]


@pytest.mark.parametrize("is_by_id", [True, False])
def test_stop_while_the_model_loads_ends_the_loading_and_sends_nothing(
    front: FrontEnd, loading: Loading, *, is_by_id: bool
) -> None:
    request = front.send("hello")
    front.wait_until(lambda front: front.pending.get(request, {}).get("progress"))
    front.ask("stop", target=request if is_by_id else None)
    front.wait_until(lambda front: request in front.given_back)
    wait_for_threads()  # though nobody has let the model be loaded
    assert loading.engine.requests == []
    assert front.is_idle


@pytest.mark.parametrize(
    ("waiting", "end"),
    [
        ("while True: pass", "pass"),
        ("door.wait()", "door.set()"),  # in C, which hears of nothing
    ],
)
def test_stop_while_an_expression_never_ends(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell, waiting: str, end: str
) -> None:
    run(shell, f"import threading\ndoor = threading.Event()\ndef wait():\n    {waiting}")
    front.send("What is {{wait()}}?")
    front.wait_until(lambda front: bool(front.pending))
    front.ask("stop", target=None)
    front.wait_until(lambda front: front.is_idle)
    run(shell, end)
    wait_for_threads()
    assert scripted.requests == []
    assert front.path == []


# What handlers do while something waits


def test_no_message_waits_for_a_model_that_loads(front: FrontEnd, loading: Loading) -> None:
    requests = [front.send(f"prompt {number}") for number in range(5)]
    front.ask("choose", number=4)
    front.ask("stop", target=requests[0])
    front.hello()
    answer = front.answer("suggest", text="/he", cursor=3, open_notebooks=[])
    assert [item["name"] for item in answer["items"]] == ["help"]
    front.ask("stop", target=None)
    front.wait_until(lambda front: front.is_idle)


# What is typed


def test_values_are_put_in_and_variables_and_cells_go_along(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "price = [1, 2, 3]\nprint('hello from the cell')", store_history=True)
    number = shell.execution_count - 1
    scripted.replies.append("I see.")
    turn = front.say(f"Is {{{{len(price)}}}} the length of @price, and what did @In[{number}] do?")
    assert turn["prompt"] == f"Is 3 the length of price, and what did In [{number}] do?"
    assert turn["attachments"] == [f"In [{number}]"]
    assert turn["variables"] == ["price"]
    content = messages_of(scripted.requests[0].prompt)[-1].content
    assert "hello from the cell" in content
    assert "price: list" in content


def test_attached_code_brings_its_variables_also_when_it_is_answered_again(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "price = [1, 2, 3]", store_history=True)
    scripted.replies.extend(["I see.", "Once more."])
    front.say("Why?", attachments=[{"label": "In [1]", "text": "max(price)"}])
    front.regenerate(1)
    for request in scripted.requests:
        assert "price: list" in messages_of(request.prompt)[-1].content


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{1/0}}", "ZeroDivisionError"),
        ("{{__import__('sys').exit(3)}}", "SystemExit"),
        ("@precios", "There is no variable 'precios'"),
        ("/use", "/use needs a model. `/models` lists"),
        ("word " * 900, "the context window is 4096"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell, text: str, says: str
) -> None:
    run(shell, "precious = 42")
    found = front.command(text)
    assert found["level"] == "error"
    assert says in found["markdown"]
    assert "\n" not in found["markdown"].strip()
    assert (front.path, front.is_idle) == ([], True)
    assert shell.user_ns["precious"] == 42


def test_what_fails_while_it_is_read_is_told_of_behind_a_turn_that_stays(
    front: FrontEnd, scripted: ScriptedEngine
) -> None:
    front.say("hello")
    scripted.may_write.clear()
    request = front.send("Read this.")
    front.wait_until(lambda front: front.path == [1, 2])
    scripted.failure = EngineError("The model has gone.")
    scripted.may_write.set()
    front.wait_until(lambda front: front.path == [1] and front.is_idle)
    notice = front.notices[request]
    assert (notice["after"], notice["prompt"]) == (1, "Read this.")
    assert notice["markdown"] == "The model has gone."
    assert front.given_back == {request: "Read this."}


def test_a_prompt_that_is_refused_is_given_back_and_a_command_is_not(front: FrontEnd) -> None:
    gone = {"label": "gone.txt", "text": None}
    texts = {
        front.send(text, attachments=[gone]): text
        for text in ("How?", "See {{nothing}}.", "/nonsense")
    }
    assert "There is no file" in front.command("/use gone.gguf")["markdown"]
    front.wait_until(lambda front: front.given_back == texts)
    assert {front.notice(request)["level"] for request in texts} == {"error"}


def test_what_was_asked_without_saving_is_asked_again_so(
    front: FrontEnd, scripted: ScriptedEngine, home: Path
) -> None:
    scripted.replies.extend(["One.", "Two.", "Three."])
    llm.archive.open(home / "a.ipynb")
    llm.chat("default").stream("Hush!", is_kept=False).result()
    front.wait_until(is_done)
    front.regenerate(1)
    front.say("And now?")
    assert front.texts == ["Two.", "Three."]
    llm.archive.open(None)
    assert [turn.prompt for turn in llm.chat("default").kept_turns] == ["And now?"]
    data = home / ".local" / "share" / "jupyter_llm"
    on_disk = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert b"And now?" in on_disk
    assert b"Hush" not in on_disk


# Commands


def test_help_is_a_notice_and_no_turn_and_tells_what_can_be_typed_in_a_panel(
    front: FrontEnd,
) -> None:
    found = front.command("/help")
    assert (found["prompt"], found["after"], found["level"]) == ("/help", 0, "info")
    assert llm.chat("default").turns == []
    told = found["markdown"]
    assert all((f"`/{name}" in told) == (name != "chat") for name in PANEL_COMMANDS)
    assert "--seed" not in told
    assert "Shift+Enter" in told


def test_a_proposal_says_what_it_would_change(
    front: FrontEnd, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    run(shell, "prise = 1", cell_id="b2f1", store_history=True)
    run(shell, "price", cell_id="c3d4", raises=NameError, store_history=True)
    scripted.replies.append("prise\n")
    (proposal,) = front.command("/fix")["proposals"]
    assert proposal["source"] == "prise"
    assert proposal["before"] == "price"
    assert proposal["cell"] == "c3d4"


def test_notices_stay_until_they_are_put_away_in_all_front_ends(make_front: MakeFront) -> None:
    front = make_front()
    request = front.command("/status")["id"]
    second = make_front()
    assert list(second.notices) == [request]
    second.ask("remove", target=request)
    for one in (front, second):
        one.wait_until(lambda front: front.notices == {})


# Life and death


def test_closed_panels_leave_nothing_behind(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    chat = llm.chat("default")
    watched = (chat._watchers, llm.current.residents.watchers, llm.timeline._watchers)
    before = [len(_instances), *(len(one._watchers) for one in watched)]
    fronts = [make_front() for _ in range(20)]
    scripted.replies.append("Yes.")
    fronts[0].send("Are you there?")
    for front in fronts:
        front.wait_until(is_done)
    for front in fronts:
        front.panel.close()
    assert [len(_instances), *(len(one._watchers) for one in watched)] == before
    wait_for_threads("jupyter-llm-")


def test_a_panel_chooses_among_models_and_watches_one_as_a_page_does(
    make_live_front: MakeFront,
) -> None:
    front = make_live_front()
    assert front.answer("list_models")["here"]
    front.ask("watch_activity", is_on=True)
    assert front.answer("use_model", model="tiny") is None
    front.wait_for(lambda m: m["type"] == "activity" and m["model"] == "tiny")
    front.wait_until(lambda front: front.status["model"] == "tiny")
    front.ask("bye")
    front.ask("follow", can_write_cells=False)
    num_heard = len(front.messages)
    llm.unload()
    front.wait_until(lambda front: front.status["model"] is None)
    assert "activity" not in [m["type"] for m in front.messages[num_heard:]]


def test_what_is_said_of_commands_names_them_as_they_are_typed_here(
    front: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **_options: Any) -> None:
        raise OptionError("`%%llm /history` and `%llm /help` tell more.")

    monkeypatch.setattr(llm.current, "get", refuse)
    assert "`/history` and `/help` tell" in front.command("Hello")["markdown"]


# Shapes


def test_a_prompt_may_begin_with_the_shape_of_its_answer(
    make_front: MakeFront, scripted: ScriptedEngine, shell: InteractiveShell
) -> None:
    front = make_front()
    shell.user_ns["tones"] = ["good", "bad"]
    scripted.replies.extend(["bad", "1", "2", "x"])
    assert front.say("--choices tones --seed 4 Tone?")["text"] == "bad"
    (request,) = scripted.requests
    assert request.constraint == OneOf(("good", "bad"))
    assert request.params.seed == 4
    front.say("--choice is an option of mine")  # no option of ours: a call of a program
    front.say("-n 3 is another")
    assert [messages_of(one.prompt)[-1].content for one in scripted.requests[1:]] == [
        "--choice is an option of mine",
        "-n 3 is another",
    ]
    notice = front.command("--schema int -o n How many?")
    assert "option of cells" in notice["markdown"]
    notice = front.command("--schema int How many?")
    assert "has not the shape" in notice["markdown"]
    front.wait_until(lambda front: front.texts == ["bad", "1", "2", "x"])


def test_an_answer_with_a_shape_is_asked_again_in_that_shape(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front()
    scripted.replies.extend(['{"name": "Ann"}', '{"name": "Bob"}', "free"])
    turn = front.say("--schema name --reason 5 Who?")
    assert turn["text"] == '```json\n{"name": "Ann"}\n```'  # no Markdown: `*` stays as it is
    again = front.regenerate(turn["number"], seed=7, temperature=None)
    assert again["text"] == '```json\n{"name": "Bob"}\n```'
    first, second = scripted.requests
    assert (second.constraint, second.prompt) == (first.constraint, first.prompt)
    assert (second.params.reason, second.params.seed) == (5, 7)
    free = front.say("And?")
    assert front.regenerate(free["number"], seed=7, temperature=None)["text"] != free["text"]
    assert scripted.requests[-1].constraint is None


@pytest.mark.parametrize(
    ("options", "reply", "shown"),
    [
        ('--choices "[a],[b]"', "[a]", "[a]"),
        (r"--regex '\[1\] is .+'", "[1] is first", "[1] is first"),
        ("--schema name --max-tokens 9", '{"name": "Ann"}', '```json\n{"name": \n```'),
    ],
)
def test_only_what_is_json_becomes_a_block_of_it(
    make_front: MakeFront, scripted: ScriptedEngine, options: str, reply: str, shown: str
) -> None:
    front = make_front()
    scripted.replies.append(reply)
    assert front.say(f"{options} Which?")["text"] == shown
    patches = [message.get("patch", {}) for _, message in front.heard]
    turns = [turn for patch in patches for turn in patch.get("turns", {}).values()]
    assert all(shown.startswith(turn.get("text", "")) for turn in turns)  # also while it is written


def test_an_edited_prompt_keeps_the_shape_that_its_answer_had_unless_another_is_typed(
    make_front: MakeFront, scripted: ScriptedEngine
) -> None:
    front = make_front()
    scripted.replies.extend(["bad", "good", "[1]", "free"])
    number = front.say("--choices good,bad --reason 5 Tone?")["number"]
    edited = front.say("Which tone?", after=0, like=number)
    assert (edited["text"], edited["prompt"], edited["parent"]) == ("good", "Which tone?", 0)
    first, second = scripted.requests
    assert second.constraint == first.constraint
    assert second.params.reason == 5
    told = (messages_of(one.prompt)[-1].content for one in (first, second))
    assert next(told).replace("Tone?", "Which tone?") == next(told)
    front.say("--schema list[int] Which?", after=0, like=number)
    assert isinstance(scripted.requests[-1].constraint, Grammar)
    free = front.say("And?", after=0)
    front.say("And then?", after=0, like=free["number"])
    assert scripted.requests[-1].constraint is None


def test_a_shape_that_is_not_kept_any_more_is_told_in_one_line_and_no_free_answer_is_written(
    make_front: MakeFront, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = make_front()
    scripted.replies.append('{"name": "Ann"}')
    number = front.say("--schema name Who?")["number"]
    monkeypatch.setattr(llm.answers, "prompt_of", {}.get)
    asked = [
        front.ask("regenerate", number=number, seed=7, temperature=None),
        front.send("Who else?", after=0, like=number),
    ]
    assert all("is not kept" in front.notice(one)["markdown"] for one in asked)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("--reason 80 --choices a,b hi", "hi"),
        ("-f json hi", "hi"),
        ("--format=json --no-think hi", "hi"),
        ("--choices a,b --no-think hi", "hi"),
        ("-f jsonl is an option", None),
        ("-f data.json hi", None),
    ],
)
def test_the_options_that_may_begin_a_prompt_are_those_of_shapes(
    make_front: MakeFront, scripted: ScriptedEngine, line: str, prompt: str | None
) -> None:
    front = make_front()
    scripted.replies.append("[1]" if "json" in line else "a")
    assert front.say(line)["prompt"] == (prompt or line)
    assert (scripted.requests[0].constraint is not None) == (prompt is not None)
    assert "begin with" in front.command("--choices a,b -f text hi")["markdown"]
    assert "before a shape" in front.command("--reason 80 hi")["markdown"]
