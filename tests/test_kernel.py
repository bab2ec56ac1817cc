"""`%%llm` in a real ipykernel: streaming, interrupts, restarts. Most tests share one kernel."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.kernel import Execution, Kernel, running_kernel

from jupyter_llm.common.bars import NOTHING

pytestmark = pytest.mark.slow

LOAD = "%load_ext jupyter_llm"
PREFILL = "words = 'word ' * 3000"
ANSWER = "%llm -n 8 -t 0 --new -c none What is the capital of France?"


def loaded_kernel(folder: Path, model: Path, home: Path) -> AbstractContextManager[Kernel]:
    """A kernel with a copy of this home."""
    shutil.copytree(home, folder, dirs_exist_ok=True)
    return running_kernel(folder, JUPYTER_LLM_MODEL=str(model), HOME=str(folder))


@pytest.fixture(scope="module")
def kernel(
    tmp_path_factory: pytest.TempPathFactory, smollm2: Path, tested_home: Path
) -> Iterator[Kernel]:
    with loaded_kernel(tmp_path_factory.mktemp("kernel"), smollm2, tested_home) as kernel:
        kernel.execute(LOAD)
        yield kernel


@pytest.fixture
def fresh_kernel(tmp_path: Path, smollm2: Path, tested_home: Path) -> Iterator[Kernel]:
    with loaded_kernel(tmp_path, smollm2, tested_home) as kernel:
        yield kernel


def test_updates_come_at_most_thirty_times_a_second(kernel: Kernel) -> None:
    cell = kernel.execute("%%llm -n 120 --ignore-eos\nTell a long story.")
    times = [event.sent_at for event in cell.events if event.kind.endswith("display_data")]
    assert len(times) <= 30 * (times[-1] - times[0]).total_seconds() + 2


def test_a_model_that_python_loads_leaves_no_bar(fresh_kernel: Kernel) -> None:
    fresh_kernel.execute("from jupyter_llm import llm\nfrom jupyter_llm.common import bars")
    cell = fresh_kernel.execute("bars.DELAY_S = 0\nllm.unload()\nllm.use('smollm2');")
    seen = [e.content["data"].get("text/plain", "") for e in cell.events if "data" in e.content]
    assert "Loading" in seen[0]
    assert [output["data"] for output in cell.outputs] == [NOTHING]


def interrupted(kernel: Kernel, code: str, after_s: float) -> Execution:
    """Interrupt a prompt while it is read, or with `after_s=0` while its answer is written."""
    cell = kernel.start(code)
    if after_s:
        cell.wait_until(lambda cell: any(e.kind == "execute_input" for e in cell.events))
        threading.Event().wait(after_s)  # how far it has read is not told by any message
    else:
        cell.wait_until(lambda cell: cell.text != "")
    kernel.interrupt()
    return cell.finish(timeout_s=30)


PHASES = {
    "prefill": "%llm -n 5 --new {{turn}} {{words}}",
    "decode": "%llm -n 4000 --ignore-eos --new Tell a story about {{turn}} lighthouses.",
}


def interrupts(kernel: Kernel, phase: str, number: int) -> Iterator[Execution]:
    """Interrupt prompts from their first token to well inside: a batch of 512 takes some 2 s."""
    kernel.execute(PREFILL)
    for turn in range(number):
        kernel.execute(f"turn = {turn}")
        yield interrupted(kernel, PHASES[phase], (phase == "prefill") * (0.05 + 0.1 * turn))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", PHASES)
def test_after_an_interrupt_the_next_prompt_is_right(kernel: Kernel, phase: str) -> None:
    expected = kernel.execute(ANSWER).text
    for cell in interrupts(kernel, phase, 2):
        # It may come before the magic begins to read.
        if phase == "decode" or cell.error != "KeyboardInterrupt":
            assert cell.error == "PromptInterrupted"
            assert ("*interrupted*" if phase == "prefill" else "*interrupted after") in cell.text
        assert kernel.execute(ANSWER).text == expected


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_gives_the_kernel_back_within_300_ms(kernel: Kernel, phase: str) -> None:
    took = [cell.interrupted_s for cell in interrupts(kernel, phase, 20)]
    assert max(took) <= 0.3, took


def test_an_interrupt_while_the_model_loads_leaves_a_kernel_that_can_load_it(
    fresh_kernel: Kernel,
) -> None:
    fresh_kernel.execute(LOAD)
    cell = fresh_kernel.start("print('begun', flush=True)\n%llm -n 8 hello")
    cell.wait_until(lambda cell: cell.text != "")
    fresh_kernel.interrupt()
    cell.finish()
    # It may come before the magic begins, or after the answer is there.
    assert cell.error in ("PromptInterrupted", "KeyboardInterrupt", None)
    assert fresh_kernel.execute("%llm -n 8 hello").reply["status"] == "ok"


def test_user_variables_survive_every_kind_of_failure(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!doctype html>")
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
