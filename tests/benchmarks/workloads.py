"""What every contestant has to do: three workloads shaped like work in a notebook.

W1  One conversation about a notebook: ~1,500 tokens of cells, then eight turns of 24 tokens. A
    follow-up repeats everything said so far, so it shows how much of it is read again.
W2  Three conversations take turns, ~700 tokens of cells each and 16 tokens a turn. It shows
    whether they evict each other.
W5  256 tokens from a short prompt, several times: the decode speed.

Prompts are raw ChatML text, so a chat template is nobody's advantage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import Contestant, bench_decode, start

Figures = dict[str, list[float]]
"""The samples of each figure, by name."""

W1_FIRST_TOKEN = "W1 follow-up: first token, s"  # noqa: S105 - a figure, no secret
W1_TOTAL = "W1 follow-up: 24 tokens, s"
W2_FIRST_TOKEN = "W2 interleaved: first token, s"  # noqa: S105
W5_SPEED = "W5 long generation: tokens/s"

LONG_TOKENS = 256
LONG_REPEATS = 3
SYSTEM = "<|im_start|>system\nYou are the assistant of a data notebook.<|im_end|>\n"


def question(text: str) -> str:
    """Return a user's turn in ChatML, with the assistant's opened."""
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def notebook(topic: str, num_cells: int) -> str:
    """Write a notebook of about 51 tokens a cell; topics share no cell."""
    return "\n".join(
        f"## In [{i}]\n"
        f"{topic}_{i} = pd.read_csv('{topic}-{i}.csv')\n"
        f"print({topic}_{i}['price'].sum())\n"
        f"## Out [{i}]\n"
        f"{(i * 7919) % 1000}.{i % 10}"
        for i in range(num_cells)
    )


class Conversation:
    """A growing prompt: each turn adds the reply and the next question to it."""

    def __init__(self, contestant: Contestant, opening: str) -> None:
        self._contestant = contestant
        self._prompt = SYSTEM + question(opening)

    def turn(self, max_tokens: int, next_question: str) -> tuple[float, float]:
        """Take one turn; return the seconds to its first token and to its end."""
        reply = self._contestant.generate(self._prompt, max_tokens)
        self._prompt += f"{reply.text}<|im_end|>\n{question(next_question)}"
        return reply.first_token_s, reply.total_s


def follow_up(contestant: Contestant) -> Figures:
    """W1; the first turn, which reads the whole notebook, is not counted."""
    talk = Conversation(contestant, f"My notebook up to here:\n{notebook('sales', 28)}")
    turns = [talk.turn(24, f"Explain cell {i} in a short sentence.") for i in range(8)]
    first_tokens, totals = zip(*turns[1:], strict=True)
    return {W1_FIRST_TOKEN: list(first_tokens), W1_TOTAL: list(totals)}


def interleaved(contestant: Contestant) -> Figures:
    """W2; the first round, which reads each notebook, is not counted."""
    topics = ("weather", "budget", "traffic")
    talks = [Conversation(contestant, f"A notebook:\n{notebook(topic, 15)}") for topic in topics]
    rounds = [[talk.turn(16, "Tell me more.")[0] for talk in talks] for _ in range(4)]
    return {W2_FIRST_TOKEN: [first_token for turns in rounds[1:] for first_token in turns]}


def long_generation(contestant: Contestant) -> Figures:
    """W5; the speed is that of the tokens after the first."""
    prompt = SYSTEM + question("Write a long tale about a clockmaker and the sea.")
    replies = [contestant.generate(prompt, LONG_TOKENS) for _ in range(LONG_REPEATS)]
    speeds = [(LONG_TOKENS - 1) / (reply.total_s - reply.first_token_s) for reply in replies]
    return {W5_SPEED: speeds}


WORKLOADS: dict[str, Callable[[Contestant], Figures]] = {
    "W1": follow_up,
    "W2": interleaved,
    "W5": long_generation,
}


def run_contestant(name: str, model: Path, peers: Path, workload: str) -> Figures:
    """Load the model, warm it up with a few tokens, and run a workload."""
    contestant = start(name, model, peers)
    try:
        contestant.generate("Once upon a time", 8)
        return WORKLOADS[workload](contestant)
    finally:
        contestant.close()


def run_bench(binary: Path, model: Path, *, flash_attention: bool) -> Figures:
    """Take the decode speed of W5 from llama-bench; it warms itself up."""
    speeds = bench_decode(binary, model, LONG_TOKENS, LONG_REPEATS, flash_attention=flash_attention)
    return {W5_SPEED: speeds}
