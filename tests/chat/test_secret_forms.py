"""How many secrets a colleague's forms get past the net, and how many harmless cells it changes.

Whoever wrote them had not seen the rules. Each goes through a real shell into the prompts of a chat
and, where it fails, of a task.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine

from jupyter_llm import llm
from jupyter_llm.errors import JupyterLLMError
from jupyter_llm.notebook.cells.events import Output
from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.learning import learn
from jupyter_llm.notebook.values.secrets import HIDDEN

FORMS = Path(__file__).parents[1] / "data" / "secret_forms.toml"
LEAST_HIDDEN = 0.85  # of 100 forms
MOST_CHANGED = 0.02  # of 100 harmless cells

Form = dict[str, Any]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    seen_secrets.forget()
    yield
    seen_secrets.forget()


@pytest.fixture
def engine(resident: ScriptedEngine) -> ScriptedEngine:
    """A scripted engine that is loaded already and has room for all there is."""
    resident.info = replace(resident.info, n_ctx=200_000)
    return resident


def prompts(form: Form, shell: InteractiveShell, engine: ScriptedEngine) -> str:
    """All that a model is told of a form."""
    seen_secrets.forget()
    engine.requests.clear()
    engine.replies.clear()
    engine.replies.extend(["fine"] * 20)
    code, before = form["code"], set(shell.user_ns)
    if form["place"] in ("source", "output"):  # what nobody can run here
        shell.execution_count += 1
        outputs = [Output("result", form["output"])] if form["place"] == "output" else []
        learn(code, shell.user_ns, [output.text for output in outputs])
        llm.timeline.append(code, execution_count=shell.execution_count, outputs=outputs)
    else:
        shell.run_cell(code, store_history=True)
    own = [name for name in shell.user_ns if name not in before and not name.startswith("_")]
    mentions = " ".join(f"@{name}" for name in own)
    ask(shell, f"%llm --new -c 1 What of {mentions or 'it'}?")
    if form["place"] in ("frame", "error"):
        ask(shell, "%llm /explain")
    for name in own:
        shell.user_ns.pop(name, None)
    return "\n".join(engine.format(request.prompt) for request in engine.requests)


def ask(shell: InteractiveShell, line: str) -> None:
    result = shell.run_cell(line, store_history=False)
    error = result.error_in_exec or result.error_before_exec
    assert error is None or isinstance(error, JupyterLLMError), error


def tells(text: str, secret: str) -> bool:
    return any(line in text for line in secret.split("\n") if line.strip())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets
def test_of_100_forms_of_somebody_elses_most_are_hidden_and_harmless_cells_stay(
    shell: InteractiveShell, engine: ScriptedEngine
) -> None:
    forms = tomllib.loads(FORMS.read_text(encoding="utf-8"))
    told, changed = [], []
    for form in forms["secret"]:
        text = prompts(form, shell, engine)
        if any(tells(text, secret) for secret in form["secrets"]):
            told.append(f"{form['place']}: {form['why']}")
    for form in forms["harmless"]:
        text = prompts(form, shell, engine)
        if HIDDEN in text or not all(kept in text for kept in form["keep"]):
            changed.append(f"{form['place']}: {form['why']}")
    assert len(told) <= (1 - LEAST_HIDDEN) * len(forms["secret"]), "\n".join(told)
    assert len(changed) <= MOST_CHANGED * len(forms["harmless"]), "\n".join(changed)
