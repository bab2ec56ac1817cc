"""The rules of a project: where they are found, which prompts include them, and what is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.chat.context_report import context_report
from jupyter_llm.notebook.cells.rules import RULES_FILE, ProjectRules

RULES = "- Use polars.\n- Answer in Dutch."


def rules_of(notebook: Path) -> str:
    found = ProjectRules(lambda: notebook).read()
    return found.text if found is not None else ""


@pytest.fixture
def ruled(tmp_path: Path, scripted: ScriptedEngine) -> ScriptedEngine:
    """An engine that answers in a notebook whose project has rules."""
    (tmp_path / RULES_FILE).write_text(RULES, "utf-8")
    scripted.replies.extend(["```python\npart = 1\n```"] * 20)
    return scripted


def last_prompt(engine: ScriptedEngine) -> str:
    return engine.format(engine.requests[-1].prompt)


ASKED = ("%llm Hi", "%llm -f code --no-try Make it", "%llm /explain 1", "llm('Hi')")
MORE = (
    "await llm.acomplete('Hi')",
    "llm.batch(['Hi'])",
    "llm.chat()('Hi')",
    "llm.chat(system='Be kind.')('Hi')",
    "llm.function(say)('Hi')",
)


@pytest.mark.parametrize("asked", [*ASKED, *MORE])
def test_prompts_of_cells_tasks_and_python_include_the_rules(
    shell: InteractiveShell, ruled: ScriptedEngine, asked: str
) -> None:
    run(shell, "from jupyter_llm import llm", store_history=True)
    run(shell, "def say(text: str) -> str: 'Say it.'", store_history=True)
    run(shell, asked, store_history=True)
    assert RULES in last_prompt(ruled)
    if "system" in asked:
        assert last_prompt(ruled).index(RULES) < last_prompt(ruled).index("Be kind.")
    run(shell, f"%llm /hide {RULES_FILE}")
    run(shell, asked)
    assert "Dutch" not in last_prompt(ruled)
    run(shell, f"%llm /show {RULES_FILE}")
    run(shell, asked)
    assert RULES in last_prompt(ruled)


def test_the_rules_are_hidden_together_with_cells_and_variables(
    shell: InteractiveShell, ruled: ScriptedEngine
) -> None:
    run(shell, "rate = 'r4te'", store_history=True)
    shown = run(shell, f"%llm /hide {RULES_FILE} rate, 1").text
    run(shell, "%llm What is rate?")
    prompt = last_prompt(ruled)
    assert "Dutch" not in prompt
    assert "r4te" not in prompt
    assert f"`{RULES_FILE}`: hidden" in shown
    assert "`rate`: hidden" in shown
    assert "In [1] is hidden" in shown
    run(shell, f"%llm /show rate, {RULES_FILE}")
    run(shell, "%llm What is rate?")
    assert "Dutch" in last_prompt(ruled)
    assert "r4te" in last_prompt(ruled)


def test_raw_text_is_continued_without_rules(
    shell: InteractiveShell, ruled: ScriptedEngine
) -> None:
    run(shell, "from jupyter_llm import llm\nllm.complete('One, two,')")
    assert last_prompt(ruled) == "One, two,"


def test_a_small_model_reads_the_rules_as_a_comment_above_its_program(
    shell: InteractiveShell, ruled: ScriptedEngine, small: ScriptedEngine
) -> None:
    assert ruled is small
    run(shell, "x = 1", store_history=True)
    run(shell, "%llm -f code --no-try Double x")
    program = small.format(small.requests[0].prompt)
    assert program.startswith("# Rules of this project")
    assert "# - Use polars.\n# - Answer in Dutch.\n\n# In[1]:\nx = 1" in program


def test_rules_are_those_of_the_nearest_folder_upwards_to_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    notebook = home / "work" / "deep" / "a.ipynb"
    notebook.parent.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / RULES_FILE).write_text("above the home")
    assert rules_of(notebook) == ""
    for folder in (home, home / "work", notebook.parent):
        (folder / RULES_FILE).write_text(folder.name)
        assert rules_of(notebook) == folder.name
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    for folder in (home, home / "work", notebook.parent):
        (folder / RULES_FILE).unlink()
    assert rules_of(notebook) == "above the home"


def test_neither_a_link_nor_a_strangers_file_above_the_notebook_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "work" / "a.ipynb"
    notebook.parent.mkdir()
    (tmp_path / "diary.md").write_text("private")
    (notebook.parent / RULES_FILE).symlink_to(tmp_path / "diary.md")
    assert rules_of(notebook) == ""
    rules = tmp_path / RULES_FILE
    rules.write_text("by a stranger")
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(rules, 12345, -1)
    assert rules_of(notebook) == ""


@pytest.mark.parametrize("data", [b"", b" \n", b"\x7fELF\0\1", b"\xef\xbb\xbf"])
def test_a_file_without_words_is_no_rules(tmp_path: Path, data: bytes) -> None:
    (tmp_path / RULES_FILE).write_bytes(data)
    assert ProjectRules(lambda: tmp_path / "a.ipynb").read() is None


def test_secrets_and_invisible_characters_in_the_rules_are_hidden(tmp_path: Path) -> None:
    (tmp_path / RULES_FILE).write_text("api_key = 'Zq81xTfR7aB2m'\nUse it\u202e.", "utf-8")
    assert rules_of(tmp_path / "a.ipynb") == "api_key = <hidden: looks like a secret>\nUse it."


def test_the_user_is_told_that_long_rules_are_cut(
    shell: InteractiveShell, ruled: ScriptedEngine, tmp_path: Path
) -> None:
    assert "only" not in run(shell, "%llm Hi").text
    (tmp_path / RULES_FILE).write_text("Be brief.\n" * 900, "utf-8")
    told = f"only 2,000 characters of {RULES_FILE} are included"
    assert told in run(shell, "%llm Hi").text
    assert last_prompt(ruled).count("Be brief.") in range(150, 201)
    assert told in run(shell, "%llm /context").text


def test_context_shows_the_rules_and_that_they_are_hidden(
    shell: InteractiveShell, ruled: ScriptedEngine
) -> None:
    def row() -> tuple[bool, str]:
        (found,) = (
            r for r in context_report(llm.chats.get("default"), "auto").rows if RULES_FILE in r.name
        )
        return found.is_in, found.state

    assert row() == (True, "always")
    run(shell, f"%llm /hide {RULES_FILE}")
    assert row() == (False, f"hidden; `/show {RULES_FILE}` includes it")
    assert RULES_FILE in run(shell, "%llm /show").text
