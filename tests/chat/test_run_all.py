"""A cell that runs again is asked from where it was asked first, in this kernel and the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import RecordingPublisher, run
from support.stored import rows

from jupyter_llm import llm
from jupyter_llm.chat.conversation import Chat

pytestmark = pytest.mark.usefixtures("shell")

NOTEBOOK = {
    "load": "x = [1, 2]\nx",
    "first": "%%llm --seed 1\nWhat is in it?",
    "more": "y = [3, 4]\ntotal = x + y\ntotal",
    "second": "%%llm --seed 1\nAnd what is total?",
    "last": "z = 5",
}


class Notebook:
    """A notebook of a few cells in a shell, whose kernel can be restarted."""

    def __init__(self, shell: InteractiveShell, engine: ScriptedEngine, path: Path) -> None:
        self.shell = shell
        self.engine = engine
        self.path = path
        llm.archive.open(path)

    def run(self, source: str, cell_id: str) -> str:
        """Run a cell; its answer depends on what is sent, as that of a seeded model does."""
        text = run(self.shell, source, cell_id=cell_id, store_history=True).text
        self.settle()
        return text

    def run_all(self, cells: dict[str, str]) -> list[str]:
        """Run all cells, and return what the model was sent."""
        before = len(self.engine.requests)
        for cell_id, source in cells.items():
            self.run(source, cell_id)
        return self.sent[before:]

    def settle(self) -> None:
        """Take in what has been answered."""
        for chat in llm.chats:
            assert chat.turns is not None

    @property
    def sent(self) -> list[str]:
        return [self.engine.format(request.prompt) for request in self.engine.requests]

    def restart(self) -> None:
        """Forget all but what is on the disk."""
        self.settle()
        for name in ("x", "y", "z", "total", "kept"):
            self.shell.user_ns.pop(name, None)
        self.shell.execution_count = 1
        self.shell.run_line_magic("unload_ext", "jupyter_llm")
        llm.__init__()  # type: ignore[misc]
        llm.current.usual["n_threads"] = 1  # as in the fixture: `llm` itself is a variable
        self.shell.run_line_magic("load_ext", "jupyter_llm")
        llm.current.get = lambda *_args, **_options: self.engine  # type: ignore[method-assign]
        llm.archive.open(self.path)


class Echo(ScriptedEngine):
    """Answers with a digest of what it was asked."""

    def submit(self, request):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        self.replies.append(f"answer {abs(hash(self.format(request.prompt))) % 10_000}")
        return super().submit(request)


@pytest.fixture
def notebook(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Notebook]:
    engine = Echo()
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    shell.execution_count = 1
    yield Notebook(shell, engine, tmp_path / "a.ipynb")
    llm.archive.open(None)


VARIANTS = {
    "plain": {},
    "with --new": {"second": "%%llm --new\nAnd what is total?"},
    "with a system text": {"second": "%%llm -s brief\nAnd what is total?"},
    "with a system text from Python": {
        "more": "from jupyter_llm import llm\nllm.chat('default').system = 'brief'",
        "second": "%%llm\nAnd now?",
    },
    "with /reset": {"last": "%llm /reset"},
    "without cells": {"second": "%%llm -c none\nAnd what is total?"},
    "with the last cell": {"second": "%%llm -c 1\nAnd what is total?"},
    "with an answer in a variable": {"second": "%%llm kept <<\nSay what was kept."},
    "with several prompts": {"second": "for n in range(2):\n    %llm Number {{n}}?"},
    "with objects": {"more": "object()"},
    "in a conversation that is cut again and again": {
        "second": f"for n in range(30):\n    %llm Number {{{{n}}}} {'of many ' * 10}"
    },
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_run_all_sends_the_same_three_times_and_after_a_restart(
    notebook: Notebook, changes: dict[str, str]
) -> None:
    cells = {**NOTEBOOK, **changes}
    first = notebook.run_all(cells)
    assert len(first) >= 2
    for _ in range(2):
        assert notebook.run_all(cells) == first
    for _ in range(2):
        notebook.restart()
        assert notebook.run_all(cells) == first


def test_a_cell_run_again_is_not_told_what_ran_below_it(notebook: Notebook) -> None:
    (first, _) = notebook.run_all(NOTEBOOK)
    notebook.run(NOTEBOOK["first"], "first")
    assert notebook.sent[-1] == first


def test_what_has_changed_above_it_is_told(notebook: Notebook) -> None:
    notebook.run_all(NOTEBOOK)
    notebook.run("x = [7]\nx", "load")
    notebook.run("z = 6", "last")
    notebook.run(NOTEBOOK["first"], "first")
    assert "x = [7]" in notebook.sent[-1]
    assert "z = " not in notebook.sent[-1]


def test_a_new_cell_is_told_all_that_ran_before_it(notebook: Notebook) -> None:
    notebook.run_all(NOTEBOOK)
    notebook.run(NOTEBOOK["first"], "first")
    notebook.run("%%llm\nAnd z?", "third")
    assert "z = 5" in notebook.sent[-1]
    assert "And what is total?" in notebook.sent[-1]


class TestRunsThatChangeNothing:
    def test_they_are_no_runs_but_the_cell_has_its_new_number(self, notebook: Notebook) -> None:
        notebook.run_all(NOTEBOOK)
        before = llm.timeline.cells
        notebook.run_all(NOTEBOOK)
        assert llm.timeline.cells == before
        assert [cell.counts for cell in llm.timeline.cells] == [(1, 6), (3, 8), (5, 10)]
        notebook.run("%%llm -c none\nWhat is in @In[8] and @In[3]?", "new")
        assert notebook.sent[-1].count("y = [3, 4]") == 2


class TestWhatAnEarlierKernelKept:
    def chat(self, notebook: Notebook) -> Chat:
        notebook.run_all(NOTEBOOK)
        notebook.restart()
        return llm.chat("default")

    def test_one_line_says_what_can_be_gone_on_from(self, notebook: Notebook) -> None:
        self.chat(notebook)
        text = notebook.run("%%llm\nWhat now?", "new")
        assert "2 turns stored since" in text
        assert "(`--continue` continues them)" in text
        assert "What is in it?" not in notebook.sent[-1]
        assert "stored since" not in notebook.run("%%llm\nAnd now?", "newer")
        publisher = notebook.shell.display_pub
        assert isinstance(publisher, RecordingPublisher)
        assert "stored since" not in str(publisher.earlier)  # so two runs are saved as the same

    def test_a_program_that_saves_after_the_last_cell_saves_the_same_each_time(
        self, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = {"content": {"allow_stdin": False}}  # as nbclient and papermill send it
        monkeypatch.setattr(notebook.shell, "parent_header", request, raising=False)
        cells = ("first", "second")
        texts = [notebook.run(NOTEBOOK[cell], cell) for cell in cells]
        notebook.restart()
        assert [notebook.run(NOTEBOOK[cell], cell) for cell in cells] == texts

    def test_whoever_goes_on_by_itself_is_not_advised_to(self, notebook: Notebook) -> None:
        self.chat(notebook)
        assert "2 turns stored since" in notebook.run("%llm /history", "new")
        assert "stored since" not in notebook.run("%llm --continue /history", "new")

    @pytest.mark.parametrize("cell_id", ["new", "first"])
    def test_a_cell_goes_on_from_it_when_it_is_asked_to(
        self, notebook: Notebook, cell_id: str
    ) -> None:
        self.chat(notebook)
        shown = run(notebook.shell, "%%llm --dry-run --continue\nGo on.", cell_id=cell_id).text
        for _ in range(2):
            notebook.run("%%llm --continue\nGo on.", cell_id)
            assert shown.startswith(notebook.sent[-1])
            assert prompts(llm.chat("default")) == [
                "What is in it?",
                "And what is total?",
                "Go on.",
            ]
        notebook.run("%%llm\nAnd then?", "then")
        assert "What is in it?" in notebook.sent[-1]
        kept = rows("SELECT count(*) FROM turns")
        notebook.restart()
        assert kept == [(4,)]
        assert prompts(llm.chat("default"))[:3] == [
            "What is in it?",
            "And what is total?",
            "Go on.",
        ]

    def test_context_reports_a_hidden_cell_of_it_as_hidden(self, notebook: Notebook) -> None:
        self.chat(notebook)
        llm.timeline.see_tags({"load": True})
        text = notebook.run("%llm /context", "new")
        assert "| In [1] | out | hidden |" in text
        assert "--continue includes it" in text  # the turn

    def test_a_panel_goes_on_from_it_and_cells_follow(self, notebook: Notebook) -> None:
        chat = self.chat(notebook)
        chat.stream("Go on.", continues=True).result()
        notebook.run("%%llm\nAnd then?", "new")
        assert "What is in it?" in notebook.sent[-1]
        assert "Go on." in notebook.sent[-1]
        first, second, *_ = notebook.sent
        notebook.shell.execution_count = 1
        assert notebook.run_all(NOTEBOOK) == [first, second]


def prompts(chat: Chat) -> Sequence[str]:
    return [turn.prompt for turn in chat.turns]
