"""`%%llm` in a real ipykernel: streaming, interrupts, restarts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kernel import Kernel, running_kernel

LOAD = "%load_ext jupyter_llm"
PREFILL = "words = 'word ' * 3000"
ANSWER = "%llm -n 8 -t 0 --new -c none What is the capital of France?"
NUM_INTERRUPTS = 20
BACK_S = 0.3


@pytest.fixture
def kernel(tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setenv("JUPYTER_LLM_MODEL", str(smollm2))
    with running_kernel(tmp_path) as kernel:
        yield kernel


def test_an_answer_streams_into_one_output(kernel: Kernel) -> None:
    kernel.execute(LOAD)
    cell = kernel.execute("%%llm -n 40 --ignore-eos\nTell a story about a lighthouse.")
    shown = [e.content["data"]["text/markdown"] for e in cell.events if "data" in e.content]
    texts = [text for text in shown if not text.startswith("Loading")]
    assert len(cell.outputs) == 1
    assert len(texts) > 3
    assert len(set(map(len, texts))) == len(texts)
    assert cell.text == texts[-1]
    assert cell.reply["status"] == "ok"


def test_updates_come_at_most_thirty_times_a_second(kernel: Kernel) -> None:
    kernel.execute(LOAD)
    cell = kernel.execute("%%llm -n 120 --ignore-eos\nTell a long story.")
    times = [event.at_s for event in cell.events if event.kind.endswith("display_data")]
    assert len(times) <= 30 * (times[-1] - times[0]) + 2


def test_the_model_is_loaded_once_and_stays_warm(kernel: Kernel) -> None:
    kernel.execute(LOAD)
    kernel.execute("%llm -n 4 First?")
    kernel.execute("from jupyter_llm import llm; first = id(llm.engine())")
    follow_up = kernel.execute("%llm -n 4 --stats Second?")
    assert kernel.execute("print(first == id(llm.engine()))").text == "True\n"
    assert "(0 cached)" not in follow_up.text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_seed_gives_the_same_text_after_three_restarts(kernel: Kernel) -> None:
    texts = []
    for _ in range(4):
        kernel.execute(LOAD)
        first = kernel.execute("%llm -n 40 --seed 42 Invent an animal.")
        second = kernel.execute("%llm -n 40 --seed 42 What does it eat?")
        texts.append((first.text, second.text))
        kernel.restart()
    assert len(set(texts)) == 1
    assert all(texts[0])


def interrupt_and_ask(kernel: Kernel, code: str, after_s: float, *, writes: bool) -> float:
    """Interrupt a prompt; return how long the kernel took to be back, in seconds."""
    cell = kernel.start(code)
    if writes:
        cell.wait_until(lambda cell: cell.text != "")
    else:
        cell.wait_until(lambda cell: any(e.kind == "execute_input" for e in cell.events))
        threading.Event().wait(after_s)  # how far it has read is not told by any message
    sent_s = time.monotonic() - cell.began
    kernel.interrupt()
    cell.finish(timeout_s=30)
    assert cell.error == "PromptInterrupted"
    assert "*interrupted after" in cell.text
    return cell.duration_s - sent_s


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_an_interrupt_gives_the_kernel_back_at_once_and_the_next_prompt_is_right(
    kernel: Kernel, phase: str
) -> None:
    kernel.execute(LOAD)
    kernel.execute(PREFILL)
    expected = kernel.execute(ANSWER).text
    code = {
        "prefill": "%llm -n 5 --new {{turn}} {{words}}",
        "decode": "%llm -n 4000 --ignore-eos --new Tell a story about {{turn}} lighthouses.",
    }[phase]
    took = []
    for turn in range(NUM_INTERRUPTS):
        kernel.execute(f"turn = {turn}")
        # From the first token of the prompt to well inside: a batch of 512 takes some 2 s.
        after_s = 0.05 + 0.1 * turn
        took.append(interrupt_and_ask(kernel, code, after_s, writes=phase == "decode"))
        assert kernel.execute(ANSWER).text == expected
    assert max(took) <= BACK_S, took


def test_an_interrupt_while_the_model_loads_leaves_a_kernel_that_can_load_it(
    kernel: Kernel,
) -> None:
    kernel.execute(LOAD)
    cell = kernel.start("print('begun', flush=True)\n%llm -n 8 hello")
    cell.wait_until(lambda cell: cell.text != "")
    kernel.interrupt()
    cell.finish()
    # It may come before the magic begins, or after the answer is there.
    assert cell.error in ("PromptInterrupted", "KeyboardInterrupt", None)
    assert kernel.execute("%llm -n 8 hello").reply["status"] == "ok"


def test_user_variables_survive_every_kind_of_failure(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!doctype html>")
    kernel.execute(LOAD)
    kernel.execute("precious = 42")
    for code in (
        "%llm /use no-such-model",
        f"%llm /use {tmp_path / 'missing.gguf'}",
        f"%llm /use {tmp_path / 'page.gguf'}",
        "%llm " + "word " * 9000,
        "%llm {{1/0}}",
        "%llm --temprature 1 hello",
        "%llm --seed abc hello",
        "%%llm\n \n",
    ):
        cell = kernel.execute(code)
        assert cell.reply["status"] == "error"
        (line,) = cell.outputs[-1]["traceback"]
        assert "\n" not in line
    assert kernel.execute("print(precious)").text == "42\n"
    assert kernel.execute("%llm -n 4 still there?").reply["status"] == "ok"


def test_options_values_and_commands_complete_on_tab(kernel: Kernel) -> None:
    kernel.execute(LOAD)
    assert kernel.complete("%%llm --te") == ["--temperature"]
    assert kernel.complete("%llm -n 5 --see") == ["--seed"]
    assert kernel.complete("%llm -f m") == ["markdown"]
    assert kernel.complete("%llm /his") == ["/history"]
    assert any("smollm2" in name for name in kernel.complete("%llm -m "))
    assert kernel.complete("%llm /use ") == kernel.complete("%llm -m ")


def test_a_line_may_end_with_a_question_mark(kernel: Kernel) -> None:
    kernel.execute(LOAD)
    cell = kernel.execute("%llm -n 4 --dry-run What's up?")
    assert "What's up?" in cell.text
    assert cell.reply["payload"] == []
