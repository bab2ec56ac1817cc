"""Measure whether a chat about something else gets into the code that is asked for after it.

Run as: python tests/benchmarks/other_topics.py [--model FILE.gguf] [--threads N] [--answers]

Ten chats have four turns about something else, the last of them code, which is not run. Then comes
a request for code about the notebook, and one that points back: "The same for ys." Of the first is
counted whether it is told anything of the chat, and the words in what lands that are the chat's
alone; of the second whether it is told the turn before, and uses the other variable. Prints
Markdown and asserts nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json
from benchmarks.useful_session import Session

from jupyter_llm.common.tables import markdown_table

CELLS = ("xs = [3, 1, 2, 7]\nys = [10, 40, 20]", "print(len(xs), len(ys))")
# What was talked of, and what is asked for then.
CHATS = {
    "chess": ("How does the knight move in chess?", "Sum xs into a variable total."),
    "recipes": ("Give me a recipe for pancakes.", "Sort xs from large to small."),
    "travel": ("What should I see in Lisbon?", "Now compute the mean of xs."),
    "plotting": ("Which charts does matplotlib draw?", "Keep the even numbers of xs."),
    "dates": ("How are dates parsed in pandas?", "Also square each number of xs."),
    "music": ("What is a fugue?", "Write a function that doubles each number, and call it on xs."),
    "football": ("Explain offside in football.", "Then find the largest number of xs."),
    "planets": ("How far away is Saturn?", "Print each number of xs with its index."),
    "poems": ("Write a short poem about autumn.", "Compute the running total of xs."),
    "databases": ("What is a JOIN in SQL?", "Make a dict from each number of xs to its half."),
}
MORE = ("Tell me more about that.", "What do beginners get wrong there?")
CODE_ABOUT = "Write a small Python class about {}."
BACK = "The same for ys."
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Outcome:
    """What landed after a chat, and in a chat of its own; and what came of what points back."""

    topic: str
    landed: str
    alone: str
    is_told_the_same: bool
    strange: list[str]  # words that are the chat's alone
    back: str
    strange_back: list[str]
    is_told_the_turn: bool


def words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def write(session: Session, ask: str, options: str = "") -> tuple[str, list[str]]:
    """What lands for a request for code, and what was told with each draft of it."""
    session.witness.drafts_since(0)
    session.run(f"%%llm -q -f code -n 200 -o answer_ {options}\n{ask}")
    answer = session.shell.user_ns.pop("answer_", None)
    return answer.text if answer is not None else "", session.witness.told()


def asked(session: Session) -> Iterator[Outcome]:
    """Have each chat, and ask for code after it."""
    for topic, (question, ask) in CHATS.items():
        session.begin(CELLS)
        alone, told_alone = write(session, ask, "--new --no-save")
        session.begin(CELLS)
        session.run("%llm /new")
        for prompt in (question, *MORE):
            session.run(f"%llm -q -n 80 -t 0 {prompt}")
        write(session, CODE_ABOUT.format(topic), "--no-try")
        turns = session.llm.chat().turns
        talk = " ".join(f"{turn.prompt} {turn.completion.text}" for turn in turns)
        landed, told = write(session, ask)
        back, told_back = write(session, BACK)
        strange = words(talk) - words(" ".join((*CELLS, ask, alone)))
        yield Outcome(
            topic=topic,
            landed=landed,
            alone=alone,
            is_told_the_same=told[0] == told_alone[0],
            strange=sorted(strange & words(landed)),
            back=back,
            strange_back=sorted(strange & words(back)),
            is_told_the_turn=ask in told_back[0],
        )


def table(outcomes: list[Outcome]) -> str:
    """How many of the chats each holds for."""
    counts = {
        "turns had before": len(outcomes),
        "told as in a chat of its own": sum(one.is_told_the_same for one in outcomes),
        "a word of the chat in what landed": sum(bool(one.strange) for one in outcomes),
        "something landed": sum(bool(one.landed) for one in outcomes),
        "points back: a word of the chat in what landed": sum(
            bool(one.strange_back) for one in outcomes
        ),
        "points back: told the turn before": sum(one.is_told_the_turn for one in outcomes),
        "points back: uses `ys`": sum("ys" in words_of_code(one.back) for one in outcomes),
    }
    return markdown_table(("", "chats"), [(name, str(count)) for name, count in counts.items()])


def words_of_code(code: str) -> set[str]:
    return set(re.findall(r"\w+", code))


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--threads", type=int, help="so many of the model's")
    parser.add_argument("--answers", action="store_true", help="print what landed, too")
    arguments = parser.parse_args()
    model = (arguments.model or default_model()).resolve()
    output = arguments.json and arguments.json.resolve()
    setting = describe(model, 1)
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),  # no pyproject.toml of ours
    ):
        os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        options = {"n_threads": arguments.threads} if arguments.threads else {}
        for outcome in asked(Session.of_model(str(model), **options)):
            outcomes.append(outcome)
            write_json(output, setting, outcomes=[asdict(one) for one in outcomes])
            if arguments.answers:
                parts = (outcome.topic, outcome.strange, outcome.landed, "-- back --", outcome.back)
                print(*parts, sep="\n", flush=True)
    show(setting, table(outcomes))


if __name__ == "__main__":
    main()
