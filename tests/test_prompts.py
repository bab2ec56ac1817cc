"""Every prompt that the package sends, for one small notebook, as files to be read in one sitting.

They lie in `tests/data/prompts`. Delete one and run this: it is written anew, and the test fails
that once, so that somebody reads what has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import SMALL, ScriptedEngine
from support.shell import run, run_line

from jupyter_llm import llm
from jupyter_llm.engine.info import FimTokens, NotebookTokens
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.engine.request import Request
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.document import Document, DocumentCell
from jupyter_llm.tasks.completing.completing import GhostEnd, GhostRequest, GhostWriter
from jupyter_llm.tasks.edit import edit, go_on
from jupyter_llm.tasks.fix import fix_shown
from jupyter_llm.tasks.proposal import Former
from jupyter_llm.tasks.review import review_text
from jupyter_llm.tasks.target import ShownCell
from jupyter_llm.tasks.task import Task
from jupyter_llm.tasks.tries import NO_TRIES

PROMPTS = Path(__file__).parent / "data" / "prompts"
LARGE = 7_000_000_000
CELLS = (
    "%load_ext autoreload",
    "import pandas as pd",
    "sales = pd.DataFrame({'city': ['Oslo', 'Rome', 'Oslo'], 'amount': [3, 5, 4]})\nsales.head(2)",
    "rates = [0.07, 0.19]",
    "def share(part, whole):\n    return part / whole",
    "print('Ready.')",
    "totals = sales.groupby('city').amount.sum()",
    "len(totals)",
)
FAILING = "share(3, len(rates) - 2)"
NOTE = ShownCell(cell_id="note", source="# Rates\n\nThe secnd is high.", end=27, is_text=True)
FILES = {
    "data/prices.csv": "product,password,price\napples,x7Kq2mZp,3.5\npears,,4\nnuts,b9Rt4wLc,12\n"
    "figs,n3Xv8yHd,7\n",
    "my data/units.py": "PRODUCTS = ['pears', 'nuts']\napi_key = 'q8Zk2mWx7'\n",
}
SHOWN = ShownCell(cell_id="new", source="best = totals.max()\nbest * rates[0]", start=40, end=40)

Act = Callable[[InteractiveShell, ScriptedEngine], object]


def typed(line: str, *before: str) -> Act:
    """What is typed into a cell, after others."""

    def act(shell: InteractiveShell, engine: ScriptedEngine) -> None:
        for cell in before:
            shell.run_cell(cell, store_history=True)
        engine.requests.clear()
        with suppress(JupyterLLMError):
            run_line(shell, line)

    return act


def asked(what: Callable[[Task], object], former: Former | None = None) -> Act:
    """What is done with a cell of a page."""

    def act(_shell: InteractiveShell, engine: ScriptedEngine) -> None:
        task = replace(llm.task(former=former), engine=lambda: engine, tries=NO_TRIES)
        with suppress(JupyterLLMError):
            what(task)

    return act


def follow_up(what: Callable[[Task], object]) -> Act:
    """The same, once something was proposed and a person wants it otherwise."""
    return asked(what, Former(source="best * rates[-1]", wish="No negative places, please."))


def large(act: Act) -> Act:
    """The same with a model that is not small."""

    def act_with_it(shell: InteractiveShell, engine: ScriptedEngine) -> None:
        engine.info = replace(engine.info, num_parameters=LARGE, sampling=Recommended())
        act(shell, engine)

    return act_with_it


def ghost(fim: FimTokens | None = None, notebook: NotebookTokens | None = None) -> Act:
    """What a model reads to go on with a cell."""

    def act(shell: InteractiveShell, _engine: ScriptedEngine) -> list[Request]:
        engine = ScriptedEngine(["groupby('city')"], fim=fim, notebook=notebook)
        writer = GhostWriter(lambda: engine, namespace=lambda: shell.user_ns)
        cells = [DocumentCell(str(n), "code", source) for n, source in enumerate(CELLS)]
        title = DocumentCell("title", "markdown", "Which city is the best?")
        document = Document((*cells, title, DocumentCell("new", "code", "")))
        prefix, suffix = "best = totals.max()\nby_city = sales.", "\nby_city"
        request = GhostRequest(cell_id="new", kind="code", prefix=prefix, suffix=suffix)
        is_over = threading.Event()

        def tell(news: object) -> None:
            if isinstance(news, GhostEnd):
                is_over.set()

        writer.complete(document, request, tell)
        assert is_over.wait(30)
        return engine.requests

    return act


ACTS: dict[str, Act] = {
    "chat with cells": typed("%llm What is in totals?"),
    "chat about nothing of the notebook": typed("%llm Write a haiku."),
    "chat with a large model": large(typed("%llm How do sales of Oslo and Rome differ?")),
    "chat with files": typed('%llm Which of @data/prices.csv does @"my data/units.py" sell?'),
    "code": typed("%llm -f code --no-try The mean amount of each city in sales"),
    "code with a large model": large(typed("%llm -f code --no-try Plot totals")),
    "code without the notebook": typed("%llm -f code --no-try -c none --vars none Roll a die"),
    "edit": asked(lambda task: edit(task, SHOWN, "use the second rate")),
    "write into an empty cell": asked(
        lambda task: edit(task, replace(SHOWN, source="", start=0, end=0), "plot totals")
    ),
    "edit once more": follow_up(lambda task: edit(task, SHOWN, "use the second rate")),
    "edit markdown": asked(lambda task: edit(task, NOTE, "shorter")),
    "continue markdown": asked(lambda task: go_on(task, NOTE)),
    "review markdown": large(asked(lambda task: review_text(task, NOTE))),
    "continue": asked(lambda task: go_on(task, SHOWN)),
    "fix": typed("%llm --no-try /fix", FAILING),
    "fix a cell of a page": asked(
        lambda task: fix_shown(task, replace(SHOWN, error="ZeroDivisionError: division by zero"))
    ),
    "explain a cell": typed("%llm /explain 3"),
    "explain a function": typed("%llm /explain share"),
    "explain a value": typed("%llm /explain sales"),
    "explain an error": typed("%llm /explain error", FAILING),
    "doc": typed("%llm /doc share"),
    "test": typed("%llm --no-try /test share"),
    "review with a large model": large(typed("%llm /review share")),
    "ghost text that fills in": ghost(fim=FimTokens(prefix="<P>", suffix="<S>", middle="<M>")),
    "ghost text in cells": ghost(
        notebook=NotebookTokens(start="<start>", text="<text>", code="<code>", output="<output>")
    ),
    "ghost text": ghost(),
}


# A mend keeps each statement of its cell, or it is asked for again.
MENDED = {
    "fix": "def share(part, whole):\n    return part / whole if whole else 0",
    "fix a cell of a page": "best = totals.max()\nbest * rates[0] + 0",
}


@pytest.fixture
def small(
    monkeypatch: pytest.MonkeyPatch, scripted: ScriptedEngine, tmp_path: Path
) -> ScriptedEngine:
    """A scripted engine of a small model, which is loaded already, and files beside it."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, "utf-8")
    sampling = Recommended.of((), SMALL)
    scripted.info = replace(scripted.info, num_parameters=SMALL, sampling=sampling, n_ctx=8192)
    monkeypatch.setattr(type(llm.current), "resident", property(lambda _self: scripted))
    return scripted


def told(engine: ScriptedEngine, requests: list[Request]) -> Iterator[str]:
    """Each prompt with what its answer begins with, but not twice."""
    texts = (
        f"{engine.format(request.prompt)}{request.answer_prefix and '[the answer begins] '}"
        f"{request.answer_prefix}"
        for request in requests
    )
    yield from dict.fromkeys(texts)


@pytest.mark.parametrize("name", ACTS)
def test_a_prompt_is_as_somebody_has_read_it(
    name: str, shell: InteractiveShell, small: ScriptedEngine
) -> None:
    for cell in CELLS:
        run(shell, cell, store_history=True)
    small.requests.clear()
    small.replies.extend([f"{MENDED.get(name, 'x = 1')}\n```"] * 20)
    requests = ACTS[name](shell, small) or small.requests
    text = "\n\n=== then ===\n\n".join(told(small, list(requests)))  # type: ignore[call-overload]
    path = PROMPTS / f"{name.replace(' ', '_')}.txt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
        pytest.fail(f"{path.name} was written anew; read it")
    assert text.rstrip() + "\n" == path.read_text(encoding="utf-8")


def test_no_other_prompts_are_kept() -> None:
    names = {f"{name.replace(' ', '_')}.txt" for name in ACTS}
    assert {path.name for path in PROMPTS.iterdir()} == names
