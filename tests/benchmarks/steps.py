"""Sixty tasks of three to six steps on public tables, whose results are bound to names.

Run as: python tests/benchmarks/steps.py [--model FILE.gguf|NAME] [--only N,N] [--json FILE]
        [--contestants do,write,chat,code] [--checkout DIR]
        python tests/benchmarks/steps.py --reference

The tables of `steps.toml` are in the packages scikit-learn, statsmodels and vega_datasets, which
only this script needs; nothing is downloaded. Each task is asked in a notebook of its own. It is
right if all of its names have the values of the reference, numbers within 1e-6 of them.

- do, write: `llm.do` and `llm.write` with `into`.
- chat: one answer in a chat that includes the notebook. A second prompt binds the names.
- code: `%%llm -f code`, with the names as a part of the prompt.

Code that has not run in a sealed copy runs in a deep copy of the user's variables. Counts the tasks
after whose request a variable, a file, the environment or the random state was different.

`--checkout`: another version of the package, of which `code` alone may be asked. `--reference` runs
the references and checks them; it needs no model.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import hashlib
import io
import math
import os
import pickle
import random
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import table
from benchmarks.side_by_side import choices, default_model, describe, parser_for, show, write_json

if TYPE_CHECKING:  # they import the package, which may be that of `--checkout`
    from benchmarks.useful_session import Session

_TYPES = {"int": Integral, "float": Real, "str": str}
_GUESSES = ("0", "1", "0.0", "1.0", "-1.0", "True", "False", "nan", "inf", "")
_NEAR = 1e-6
IMPORTS = "import numpy as np\nimport pandas as pd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A request after some cells; `code`: a reference that binds the names that it asks for."""

    number: int
    cells: tuple[str, ...]
    ask: str
    code: str

    @property
    def types(self) -> dict[str, str]:
        """The names that the request asks for, with their types, as the reference has them."""
        nodes = (node for node in ast.parse(self.code).body if isinstance(node, ast.AnnAssign))
        return {ast.unparse(node.target): ast.unparse(node.annotation) for node in nodes}

    @property
    def into(self) -> str:
        return ", ".join(f"{name} {kind}" for name, kind in self.types.items())

    @property
    def naming(self) -> str:
        """The sentence that `llm.write` adds for `into`; older versions do not have it."""
        names = (f"`{name}` ({kind})" for name, kind in self.types.items())
        return f"Assign the results to {', '.join(names)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of a task for one contestant. `changed`: what was different afterwards."""

    number: int
    contestant: str
    sources: tuple[str, ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    changed: tuple[str, ...]
    num_tokens: int
    took_s: float


Given = tuple[Mapping[str, Any], Sequence[str]]  # values of names, and the code that binds them


def by_do(session: Session, task: Task) -> Given:
    answer: Any = session.llm.do(task.ask, into=task.into)  # type: ignore[attr-defined,unused-ignore]
    return answer.values, answer.sources


def by_write(session: Session, task: Task) -> Given:
    answer = session.llm.write(task.ask, into=task.into)
    return answer.values, answer.sources


def by_chat(session: Session, task: Task) -> Given:
    from jupyter_llm.notebook.code.blocks import code_blocks

    chat = session.llm.chat()
    prompts = (
        f"{task.ask}\n\nWrite Python code for it, in one code block.",
        f"{task.naming} from the variables above. Write nothing but these assignments.",
    )
    sources = []
    for prompt in prompts:
        text = chat(prompt, context="auto", about=prompt, temperature=0).text
        sources += [block.source for block in code_blocks(text)][-1:]
    return {}, sources


def by_code(session: Session, task: Task) -> Given:
    session.run(f"%%llm --new --no-save -f code -o answer_\n{task.ask}\n{task.naming}.")
    answer = session.shell.user_ns.pop("answer_", None)
    return {}, [answer.text] if answer is not None else []


CONTESTANTS = {"do": by_do, "write": by_write, "chat": by_chat, "code": by_code}


def tasks() -> list[Task]:
    """Read the tasks; their numbers are their places in the file."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        parts = tomllib.load(file)
    loads = {
        name: code.replace("NAME", name)
        for names, code in parts.pop("tables").items()
        for name in names.split()
    }
    found = ((names.split(), raw) for names, several in parts.items() for raw in several)
    return [
        Task(number=number, cells=(IMPORTS, *(loads[name] for name in names)), **raw)
        for number, (names, raw) in enumerate(found, 1)
    ]


def after(namespace: Mapping[str, Any], *sources: str) -> dict[str, Any]:
    """Return the variables after some code, which runs in a deep copy of them."""
    from benchmarks.checking import Notebook, _copied
    from benchmarks.useful_session import _patience

    notebook = Notebook()
    notebook.namespace |= _copied(dict(namespace))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for source in sources:
            try:
                with _patience():
                    notebook.run(source)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a model wrote
                notebook.namespace["error_"] = f"{type(error).__name__}: {error}"
    return notebook.namespace


def expected(task: Task) -> dict[str, Any]:
    """Return the values that the reference binds."""
    found = after(after({}, *task.cells), task.code)
    assert "error_" not in found, (task.number, found["error_"])
    return {name: found[name] for name in task.types}


def is_right(value: object, wanted: object) -> bool:
    if isinstance(wanted, str) or not isinstance(value, Real) or isinstance(value, bool):
        return isinstance(value, str) and value == wanted
    return isinstance(wanted, Real) and math.isclose(value, wanted, rel_tol=_NEAR)


def state_of(shell: Any) -> dict[str, str]:
    """Return a digest of each of the user's variables, of the files and of the process."""
    import numpy as np

    state = {name: one for name, one in shell.user_ns.items() if name not in shell.user_ns_hidden}
    state["the environment"] = dict(os.environ)
    state["the random state"] = (random.getstate(), np.random.get_state())  # noqa: NPY002
    state["the files"] = {str(one): one.stat().st_mtime_ns for one in Path().rglob("*")}
    digests = {}
    for name, value in state.items():
        try:
            data = pickle.dumps(copy.deepcopy(value))  # a copy of a table is consolidated
        except Exception:  # noqa: BLE001  modules and the like
            data = str(id(value)).encode()
        digests[name] = hashlib.sha256(data).hexdigest()
    return {name: one for name, one in digests.items() if not name.startswith("_")}


def asked(session: Session, task: Task, contestant: str) -> Answer:
    """Ask for a task in a new notebook, and compare the values and the notebook's state."""
    session.begin(task.cells)
    before = state_of(session.shell)
    given: Given = ({}, ())
    began_s = time.perf_counter()

    def ask() -> Given:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return CONTESTANTS[contestant](session, task)

    try:
        given, drafts, took_s = session.timed(ask)
    except Exception as error:  # noqa: BLE001  the other tasks go on
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        took_s = time.perf_counter() - began_s
        drafts = session.witness.drafts_since(began_s)
    now = state_of(session.shell)
    values = dict(given[0])
    if not values.keys() >= task.types.keys():
        values = after(session.shell.user_ns, *given[1]) | values
    wanted = expected(task)
    right = {name: is_right(values.get(name), one) for name, one in wanted.items()}
    seen = {name: values.get(name) for name in (*wanted, "error_")}
    print(f"--- {task.number} {contestant}: {task.ask}", *given[1], sep="\n", file=sys.stderr)
    print(f"    {seen!r:.300}, expected {wanted}", file=sys.stderr, flush=True)
    return Answer(
        number=task.number,
        contestant=contestant,
        sources=tuple(given[1]),
        right=tuple(name for name in wanted if right[name]),
        wrong=tuple(name for name in wanted if not right[name]),
        changed=tuple(sorted({name for name, _ in before.items() ^ now.items()})),
        num_tokens=sum(draft.num_tokens for draft in drafts),
        took_s=took_s,
    )


def counted(answers: Sequence[Answer]) -> str:
    """Return a row for each contestant as Markdown."""
    rows = []
    solved = {
        who: {one.number for one in answers if one.contestant == who and not one.wrong}
        for who in dict.fromkeys(one.contestant for one in answers)
    }
    for who, numbers in solved.items():
        mine = [one for one in answers if one.contestant == who]
        others = {number for other in solved if other != who for number in solved[other]}
        names = sum(len(one.right) for one in mine)
        total = names + sum(len(one.wrong) for one in mine)
        row = [who, ", ".join(map(str, sorted(numbers - others)))]
        row += [f"{len(numbers)} of {len(mine)}", f"{names} of {total}"]
        row.append(str(sum(one.num_tokens for one in mine)))
        row.append(f"{statistics.median(one.took_s for one in mine):.1f}")
        row.append(str(sum(one.changed != () for one in mine)))
        rows.append(row)
    head = ["contestant", "alone right in", "right", "names", "tokens", "median s", "state changed"]
    return table(head, rows)


def checked(chosen: Sequence[Task]) -> str:
    """Run the references, and return the types and values that they bind as Markdown."""
    rows = []
    for task in chosen:
        for name, value in expected(task).items():
            kind = task.types[name]
            is_sound = isinstance(value, _TYPES[kind]) and str(value) not in _GUESSES
            assert is_sound, (task.number, name, value)
            rows.append([str(task.number), name, kind, str(value)])
    return table(["task", "name", "type", "value"], rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--only", type=lambda text: [int(one) for one in text.split(",")])
    names = tuple(CONTESTANTS)
    parser.add_argument("--contestants", type=partial(choices, names), default=[*names])
    parser.add_argument("--checkout", type=Path, help="ask the package of this folder")
    parser.add_argument("--reference", action="store_true", help="check the references alone")
    arguments = parser.parse_args()
    if arguments.checkout:
        sys.path.insert(0, str(arguments.checkout.resolve()))
    chosen = [one for one in tasks() if not arguments.only or one.number in arguments.only]
    if arguments.reference:
        print(checked(chosen))
        return
    from benchmarks.useful_session import Session

    model: Path = arguments.model or default_model()
    model = model.resolve() if model.exists() else model
    json = arguments.json and arguments.json.resolve()
    os.environ["MPLBACKEND"] = "agg"
    answers: list[Answer] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
    ):
        os.environ.update(HOME=home, XDG_DATA_HOME=home, XDG_CACHE_HOME=home)
        session = Session.of_model(str(model))
        setting = describe(model, 1)
        present = [one for one in arguments.contestants if one != "do" or hasattr(session.llm, one)]
        for task, contestant in product(chosen, present):
            answers.append(asked(session, task, contestant))
            write_json(json, setting, answers=[asdict(one) for one in answers])
    show(setting, counted(answers))


if __name__ == "__main__":
    main()
