"""Measure what a notebook that goes along does to the answers of a small model.

Run as: python tests/benchmarks/first_impressions.py [--model FILE.gguf] [--options "-t 0"]
        [--modes "-c none" "-c auto" "-c all"] [--only GROUP] [--rounds 1] [--answers]

Each question of `first_questions.toml` is asked in a chat of its own with `%%llm`, in a real shell:
40 plain ones after `%load_ext` and one cell, the same in a notebook of eight, and 20 about the
notebook. Counts the right answers. With `--rounds` the seeds 1, 2, … are given. Prints Markdown and
asserts nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.side_by_side import default_model, describe, parser_for, show, write_json

from jupyter_llm.common.tables import markdown_table

MODES = ("-c none", "-c auto", "-c all")
QUESTIONS = Path(__file__).with_name("first_questions.toml")


@dataclass(frozen=True)
class Answer:
    """What came of one question."""

    group: str
    mode: str
    question: str
    text: str
    is_right: bool
    prompt_tokens: int


@dataclass(frozen=True)
class Group:
    """Questions that are asked in the same notebook."""

    name: str
    cells: Sequence[str]
    questions: Sequence[tuple[str, str]]


def groups() -> Iterator[Group]:
    asked = tomllib.loads(QUESTIONS.read_text())
    cells = [cell.strip() for cell in asked["cells"]]
    yield Group("plain, one cell", cells[:1], asked["plain"])
    yield Group("plain, eight cells", cells, asked["plain"])
    yield Group("about the notebook", cells, asked["notebook"])


class Notebook:
    """A shell with the extension, in which cells run quietly."""

    def __init__(self, model: Path) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        from jupyter_llm import llm

        self._llm = llm
        self._shell: Any = InteractiveShell.instance()
        llm.use(model)

    def begin(self, cells: Sequence[str]) -> None:
        """Run cells in a notebook that is new, but for the model."""
        self._shell.reset()
        self._llm.timeline.__init__()  # type: ignore[misc]
        for cell in ("%reload_ext jupyter_llm", *cells):
            self.run(cell)

    def run(self, cell: str) -> None:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            self._shell.run_cell(cell, store_history=True)

    def ask(self, options: str, question: str) -> Any:
        self._shell.user_ns["answer"] = None
        self.run(f"%%llm -q --new --no-save -o answer {options}\n{question}")
        return self._shell.user_ns["answer"]


def asked(
    notebook: Notebook, chosen: Iterable[Group], modes: Sequence[str], options: Sequence[str]
) -> Iterator[Answer]:
    """Ask everything, in the order that lets what was read be read once."""
    for group in chosen:
        notebook.begin(group.cells)
        for mode in modes:
            for given in options:
                for question, right in group.questions:
                    answer = notebook.ask(f"{mode} {given}", question)
                    is_right = re.search(right, answer.text, re.IGNORECASE) is not None
                    tokens = answer.usage.prompt_tokens
                    yield Answer(group.name, mode, question, answer.text, is_right, tokens)


def table(answers: Sequence[Answer], modes: Sequence[str]) -> str:
    """How many are right, of how many; and the tokens of a prompt."""
    rows = []
    for name in dict.fromkeys(answer.group for answer in answers):
        row = [name]
        for mode in modes:
            those = [a for a in answers if (a.group, a.mode) == (name, mode)]
            tokens = sum(a.prompt_tokens for a in those) / len(those)
            row.append(f"{sum(a.is_right for a in those)} of {len(those)} ({tokens:.0f} tokens)")
        rows.append(tuple(row))
    return markdown_table(("right answers", *(f"`{mode}`" for mode in modes)), rows)


def listed(answers: Sequence[Answer]) -> str:
    """Every answer, marked where it is wrong."""
    return "\n".join(
        f"- {'right' if a.is_right else 'WRONG'} {a.group}, {a.mode}: {a.question} {a.text!r}"
        for a in answers
    )


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--options", default="-t 0 -n 40", help="options of all prompts")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="what goes along")
    parser.add_argument("--rounds", type=int, default=0, help="how many seeds; 0 gives none")
    parser.add_argument("--only", default="", help="the group whose name begins so")
    parser.add_argument("--answers", action="store_true", help="print the answers, too")
    arguments = parser.parse_args()
    model = (arguments.model or default_model()).resolve()
    json = arguments.json and arguments.json.resolve()
    seeds = [f" --seed {n}" for n in range(1, arguments.rounds + 1)] or [""]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),  # no pyproject.toml of ours
    ):
        os.environ.update(HOME=folder, XDG_DATA_HOME=folder, XDG_CACHE_HOME=folder)
        options = [f"{arguments.options}{seed}" for seed in seeds]
        chosen = [group for group in groups() if group.name.startswith(arguments.only)]
        answers = list(asked(Notebook(model), chosen, arguments.modes, options))
    setting = describe(model, max(1, arguments.rounds)) | {"options": arguments.options}
    tables = [table(answers, arguments.modes), *([listed(answers)] if arguments.answers else [])]
    show(setting, *tables)
    write_json(json, setting, answers=[asdict(answer) for answer in answers])


if __name__ == "__main__":
    main()
