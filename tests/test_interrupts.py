"""Ctrl-C at any moment of anything that works on the model: the kernel lives, the next is right."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty
from random import Random

import psutil
import pytest
from support.kernel import Execution, Kernel, running_kernel
from support.paths import TESTS

SETUP = f"""
import sys, threading
import psutil
from jupyter_llm import llm
sys.path.append({str(TESTS)!r})
from support.engines import assert_nothing_leaks, wait_until_idle
from support.waiting import until

turn = 0
words = 'word ' * 1500
rows = [f'{{n}} of many: ' + 'some words ' * 60 for n in range(40)]
endless = dict(max_tokens=3000, ignore_eos=True, may_repeat=True)
chat = llm.chat('talk')

def mean(values):
    return sum(values) / len(values)

def load(**options):
    llm.unload()
    return llm.use('smollm2', **options)

def held():
    names = [thread.name for thread in threading.enumerate()]
    process = psutil.Process()
    return [
        sum(not name.startswith('asyncio') for name in names),  # these stay for the next
        len(process.children(recursive=True)),
        process.num_fds(),
    ]
"""
FAIL = "mean([])"
ANSWER = "%llm -n 8 -t 0 --new -c none What is the capital of France?"
# What waits for the disk has a thread of its own for a moment, and so has a timer.
RESTED = """
wait_until_idle(llm.engine())
until(lambda: all(now <= then for now, then in zip(held(), {})))
assert_nothing_leaks(llm.engine())
"""

# All that works on the model: what reads, what writes, what loads, and what measures.
CALLS = (
    "llm(f'{turn} {words}', max_tokens=5)",
    "llm(f'Tell story {turn}.', **endless)",
    "llm(f'{turn} {words[:2000]}', seed=turn, **endless)",
    "for chunk in llm.stream(f'Tell story {turn}.', **endless): pass",
    "list(llm.stream(f'{turn} {words}', raw=True, **endless))",
    "await llm.acomplete(f'Tell story {turn}.', max_tokens=60)",  # ipykernel ends no awaiting cell
    "llm.complete(f'{turn} {words}', max_tokens=5)",
    "llm.batch([f'{turn} {row}' for row in rows], max_tokens=20)",
    "llm.samples(f'Tell story {turn}.', 6, **endless)",
    "llm.score(f'{turn} {words[:3000]}', rows)",
    "llm.embed([f'{turn} {row}' for row in rows * 5])",
    "llm.embed([f'{turn} {words}'] * 3)",
    "llm.prefill(f'{turn} {words}'); llm(f'{turn} {words}', max_tokens=1)",
    "chat(f'Tell story {turn}.', **endless)",
    "chat(f'{turn} {words}', max_tokens=5)",
    "for chunk in chat.stream(f'And {turn}?', **endless): pass",
    "load()",
    "load(n_ctx=4096 + turn); load()",
    "llm.unload(); llm.engine()",
    "llm.verify()",
    "llm.fix(**endless)",
    "llm.explain('mean', **endless)",
    "llm.review('mean', **endless)",
    "llm.doc('mean')",
    "llm.test('mean', **endless)",
    "llm.write(f'A function that adds {turn}.', **endless)",
    "%llm -n 5 --new {{turn}} {{words}}",
    "%%llm -n 3000 --ignore-eos --may-repeat --new\nTell story {{turn}}.",
    "%llm -n 3000 --ignore-eos --may-repeat --seed 3 --chat other And {{turn}}?",
    "%%llm -n 3000 --ignore-eos --may-repeat story <<\nTell story {{turn}}.",
    "%llm -f code -n 400 --new Write a class for {{turn}} kinds of trees.",
    "%llm -f code -n 5 --new {{turn}} {{words}}",
    "%llm --ignore-eos -n 3000 /fix",
    "%llm --ignore-eos -n 3000 /explain mean",
    "%llm --ignore-eos -n 3000 /review mean",
    "%llm /doc mean",
    "%llm --ignore-eos -n 3000 /test mean",
    "%llm /use smollm2",
    "%llm /verify",
)
# The last where the interrupt came too late, and the model had written no code or docstring.
ENDS = frozenset(
    {
        *("PromptInterrupted", "KeyboardInterrupt", "CancelledError"),
        "MagicUsageError",
    }
)


@dataclass(slots=True)
class Watched:
    """A kernel, what it computes and how long it holds somebody up."""

    kernel: Kernel
    process: psutil.Process
    num_threads: int
    held_up: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, kernel: Kernel) -> Watched:
        seen = kernel.execute("import os; print(os.getpid(), llm.status().info.n_threads)").text
        number, num_threads = map(int, seen.split())
        return cls(kernel, psutil.Process(number), num_threads)

    def spent_s(self) -> float:
        """Seconds of the processor until now, with what ended children took."""
        spent_s = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # a child that has ended meanwhile
                spent_s += sum(process.cpu_times()[:4])
        return spent_s

    def timed(self, what: str, wait: Callable[[], Execution], *, usual_s: float = 0) -> Execution:
        """Wait for something that is to take no second more than usual, which others do not use."""
        spent_s, began_s = self.spent_s(), time.monotonic()
        done = wait()
        of_ours_s = (self.spent_s() - spent_s) / self.num_threads
        self.held_up[what] = max(of_ours_s, (time.monotonic() - began_s) / 20) - usual_s
        return done


def interrupted(watched: Watched, code: str, what: str, after_s: float) -> Execution:
    """Interrupt a cell so many seconds after it has begun."""
    cell = watched.kernel.start(code)
    cell.wait_until(lambda cell: any(event.kind == "execute_input" for event in cell.events))
    time.sleep(after_s)  # the moment is what is random here
    watched.kernel.interrupt()
    watched.timed(f"{what} itself", lambda: cell.wait_until(lambda cell: cell.is_idle))
    with suppress(Empty):  # ipykernel sends no reply where it is interrupted on the way to it
        cell.reply = watched.kernel.reply_to(cell.msg_id, timeout_s=10)
    return cell


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("machine_is_tested")
def test_after_any_interrupt_the_kernel_lives_and_the_next_prompt_is_right(
    tmp_path: Path,
    smollm2: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    random = Random(10)  # noqa: S311  no secrets here
    ends: Counter[str | None] = Counter()
    with running_kernel(tmp_path, JUPYTER_LLM_MODEL=str(smollm2)) as kernel:
        for code in ("%load_ext jupyter_llm", SETUP, FAIL, "llm('Say hello.', seed=1);"):
            assert kernel.execute(code).error in (None, "ZeroDivisionError")
        watched = Watched.of(kernel)
        kernel.execute("load();")
        expected = watched.timed("cold", lambda: kernel.execute(ANSWER)).text
        usual_s = watched.held_up.pop("cold") + 1  # a model may have to be loaded first
        held = kernel.execute("print(held())").text
        for number, code in enumerate(shuffled(random, 300)):
            what = f"{number}: {code}"
            kernel.execute(f"turn = {number}")
            cell = interrupted(watched, code, what, random.uniform(0, 1.2))
            assert cell.error is None or cell.error in ENDS, (what, cell.error, cell.text)
            ends[cell.error] += 1
            answer = watched.timed(
                f"the next after {what}", lambda: kernel.execute(ANSWER), usual_s=usual_s
            )
            assert (answer.error, answer.text) == (None, expected), what
        # No cell, beside which nothing is read ahead.
        rested = kernel.execute(RESTED.format(held), timeout_s=120, silent=True)
        assert rested.error is None, rested.text
    slowest = max(watched.held_up, key=lambda what: watched.held_up[what])
    with capsys.disabled():
        print(
            f"\n{ends.total()} interrupts: {dict(ends)}, the slowest "
            f"{watched.held_up[slowest]:.2f} s ({slowest})"
        )
    assert watched.held_up[slowest] <= 1, slowest
    assert ends[None] + ends["MagicUsageError"] < ends.total() / 3  # the rest did not come too late


def shuffled(random: Random, size: int) -> list[str]:
    """So many calls, each about as often, in any order."""
    rounds = (code for _ in range(size) for code in random.sample(CALLS, len(CALLS)))
    return list(islice(rounds, size))
