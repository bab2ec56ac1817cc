"""The code in a chat's answer: tried when nothing else goes on, and mended where that is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import TIMEOUT_S, FrontEnd, MakeFront
from support.kernel import Kernel, running_kernel
from support.panel_kernel import KernelPanel, prepare
from support.scripted import SMALL, ScriptedEngine
from support.scripted_tries import RUNS, raising
from support.seal import needs_seal
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.engine.residents import Activity
from jupyter_llm.notebook.code.marks import read_mark
from jupyter_llm.notebook.sealed import trying
from jupyter_llm.notebook.sealed.seen import Seen

OF_TURN = {"origin": {"number": 1, "notice": None}}


class Trials:
    """Trials whose outcomes a test decides by the code; nothing runs."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Seen] = {}
        self.tried: list[str] = []
        self.on_try: Callable[[], None] = lambda: None

    def __call__(self, sources: list[str], *_: Any, tick: Callable[[], None], **_how: Any) -> Seen:
        self.tried.append("\n".join(sources))
        self.on_try()
        tick()
        return self.outcomes.get(self.tried[-1], RUNS)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    trials = Trials()
    monkeypatch.setattr(trying, "try_code", trials)
    return trials


@pytest.fixture
def answered(front: FrontEnd, scripted: ScriptedEngine) -> FrontEnd:
    """A view of a chat with one answer."""
    scripted.replies.append("```python\nx = 1\n```")
    front.say("Go on.")
    return front


def notes(front: FrontEnd, *sources: str, tries: bool = True) -> list[str]:
    """What is said of the code in the answer."""
    results = front.answer("check", **OF_TURN, sources=sources, tries=tries)
    return [result["note"] for result in results]


def test_each_piece_of_code_is_tried_once_while_no_cell_runs(
    answered: FrontEnd, shell: InteractiveShell, trials: Trials
) -> None:
    trials.outcomes["b"] = raising("NameError", "name 'b' is not defined")
    assert notes(answered, "b = 1", "b", tries=False) == ["", ""]
    assert trials.tried == []
    assert notes(answered, "b = 1", "b") == ["ran in a sealed copy", "ran in a sealed copy"]
    assert trials.tried == ["b = 1", "b", "b = 1\nb"]  # what raises may be a step
    assert notes(answered, "b = 1", "b") == notes(answered, "b = 1", "b", tries=False)
    assert len(trials.tried) == 3
    run(shell, "1", store_history=True)
    assert notes(answered, "b = 1", "b", tries=False) == ["", ""]
    notes(answered, "b = 1")
    assert trials.tried[3:] == ["b = 1"]


def test_the_chat_says_of_code_what_its_cell_says_and_tries_it_once_another_cell_ran(
    make_front: MakeFront, scripted: ScriptedEngine, shell: InteractiveShell, trials: Trials
) -> None:
    scripted.info = replace(scripted.info, num_parameters=SMALL)  # whose drafts are compared
    run(shell, "dice = [3, 5]", store_history=True)
    drafts = [f"dice[{number}]" for number in range(4)]
    scripted.replies.extend(drafts)
    trials.outcomes = {one: replace(RUNS, value=one) for one in drafts}
    cell = run(shell, "%%llm -f code\nthe first of the dice", store_history=True).text
    note = "4 drafts have 4 results; ran in a sealed copy; the best of 4 drafts"
    assert note in cell
    for _ in range(2):  # a page, and the page after a reload
        assert notes(make_front(), drafts[0]) == [note]
    assert trials.tried == drafts
    run(shell, "1", store_history=True)
    assert notes(make_front(), drafts[0], tries=False) == [""]
    assert notes(make_front(), drafts[0]) == [note]
    assert trials.tried == [*drafts, drafts[0]]


def test_where_trying_is_switched_off_nothing_is_said(
    answered: FrontEnd, shell: InteractiveShell, trials: Trials
) -> None:
    run(shell, "%config LLMMagics.try_drafts = False")
    assert notes(answered, "a = 1") == [""]
    assert trials.tried == []


def test_code_lands_as_it_was_mended_and_it_is_said(
    answered: FrontEnd, shell: InteractiveShell, trials: Trials
) -> None:
    run(shell, "prices = [1, 2]")
    trials.outcomes["print(prces)"] = raising("NameError", "name 'prces' is not defined", lineno=1)
    (note,) = notes(answered, "print(prces)")
    cell = answered.answer("prepare", **OF_TURN, source="print(prces)")
    marked = read_mark(cell["source"])
    assert marked is not None
    assert marked.body == "print(prices)"
    assert cell["note"]
    assert note == f"ran in a sealed copy; {cell['note']}"
    landed = answered.answer("land", **OF_TURN, source="print(prces)", in_place=False)
    assert landed.endswith(f"; {cell['note']}.")
    run(shell, "prces = [3]", store_history=True)
    cell = answered.answer("prepare", **OF_TURN, source="print(prces)")
    assert cell["source"].endswith("print(prces)")  # it is right by now
    assert cell["note"] == ""


@pytest.mark.parametrize("is_cell", [True, False])
def test_a_trial_gives_way_to_a_cell_or_a_prompt_and_begins_again(
    answered: FrontEnd, trials: Trials, monkeypatch: pytest.MonkeyPatch, *, is_cell: bool
) -> None:
    has_begun, model = threading.Event(), Activity(state="idle")
    monkeypatch.setattr(type(llm.current), "activity", property(lambda _: model))

    def go_on(*, is_busy: bool) -> None:
        nonlocal model
        llm.timeline.running = "" if is_busy and is_cell else None  # a cell without an id
        model = Activity(state="reading" if is_busy and not is_cell else "idle")

    def begin() -> None:
        trials.on_try = lambda: None
        go_on(is_busy=True)
        has_begun.set()

    trials.on_try = begin
    request = answered.ask("check", **OF_TURN, sources=["a = 1"], tries=True)
    assert has_begun.wait(TIMEOUT_S)
    assert notes(answered, "a = 1", tries=False) == [""]
    assert trials.tried == ["a = 1"]
    go_on(is_busy=False)
    assert answered.reply(request)[0]["note"] == "ran in a sealed copy"
    assert trials.tried == ["a = 1"] * 2


def test_a_check_that_is_stopped_tries_nothing_any_more(answered: FrontEnd, trials: Trials) -> None:
    llm.timeline.running = "c1"
    request = answered.ask("check", **OF_TURN, sources=["a = 1"], tries=True)
    answered.ask("stop", target=request)
    told = answered.wait_for(lambda one: one.get("id") == request and one["type"] == "error")
    assert told["text"] == "Stopped."
    llm.timeline.running = None
    assert notes(answered, "a = 2") == ["ran in a sealed copy"]
    assert trials.tried == ["a = 2"]


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with running_kernel(tmp_path, HOME=str(tmp_path)) as kernel:
        prepare(kernel, tmp_path)
        yield kernel


@pytest.mark.slow
@needs_seal
def test_code_is_tried_behind_a_running_cell_with_what_that_has_made(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.execute("engine.replies.append('```python\\nx\\n```')")
    panel = KernelPanel(kernel)
    panel.hello()
    panel.say("Show x.")
    gate = tmp_path / "gate"
    waits = f"import pathlib, time\nprint('on')\nwhile not pathlib.Path({str(gate)!r}).exists(): "
    cell = kernel.start(f"{waits}time.sleep(0.01)\ndf = {{'city': [1, 2]}}")
    cell.wait_until(lambda cell: "on" in cell.text)
    sources = ["y = df['citi']", "open('out.csv', 'w')", "z = df['city'] + [3]", "print(len(z))"]
    request = panel.ask("check", **OF_TURN, sources=sources, tries=True)
    panel.answer("check", **OF_TURN, sources=sources, tries=False)
    gate.touch()
    assert cell.finish().error is None
    mended, refused, step, last = [result["note"] for result in panel.reply(request)]
    assert mended.endswith("; mended: `citi` is no key; near it is `city`")
    assert refused == "not tried: it would write a file (out.csv)"
    assert step == "ran in a sealed copy; `z` is a list of 3 values"
    assert last.startswith("ran in a sealed copy")
    assert not (tmp_path / "out.csv").exists()
    assert kernel.execute("print('z' in globals())").text == "False\n"
