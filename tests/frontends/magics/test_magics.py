"""`%llm` and `%%llm` in a real InteractiveShell, with the tiny model or a scripted engine."""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine, messages_of
from support.seal import needs_seal
from support.shell import extension, run, run_line
from support.stored import rows

from jupyter_llm import Completion, llm
from jupyter_llm.common.controls import visible
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.engine.provenance import Provenance, token_sha256
from jupyter_llm.errors import (
    ContextOverflowError,
    EmptyPromptError,
    InterpolationError,
    JupyterLLMError,
    MagicUsageError,
    ModelFileError,
    ModelNotFoundError,
    OptionError,
)
from jupyter_llm.frontends.magics.completion import words_at
from jupyter_llm.frontends.magics.magics import magic_commands

pytestmark = pytest.mark.usefixtures("shell")


def prompts(engine: ScriptedEngine) -> list[str]:
    return [messages_of(request.prompt)[-1].content for request in engine.requests]


def test_a_line_and_a_cell_answer_as_markdown(shell: InteractiveShell) -> None:
    for cell in (run(shell, "%llm -n 5 hello"), run(shell, "%%llm -n 5\nhello")):
        assert cell.text
        assert len(cell.displays) == 1
        assert "text/markdown" in cell.displays[0]
        assert "text/plain" in cell.displays[0]


def test_values_are_put_into_prompts_and_options_once(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    shell.user_ns.update(data={"a b": "{{hidden}} {x} \\frac{1}{2}"}, hidden="!", limit=7)
    run(
        shell,
        """%llm --vars none -n {{limit}} -s {{ "you are " + 'kind' }} """
        """Explain {{ data["a b"] }} {json}""",
    )
    (request,) = scripted.requests
    assert request.params.max_tokens == 7
    assert [message.content for message in request.prompt] == [  # type: ignore[union-attr]
        "you are kind",
        "Explain {{hidden}} {x} \\frac{1}{2} {json}",
    ]


def test_local_variables_are_seen_inside_functions(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    run(shell, "def ask(city):\n    %llm Where is {{city}}?\nask('Oslo')")
    assert prompts(scripted) == ["Where is Oslo?"]


def test_assignment_is_silent_and_out_shows_too(shell: InteractiveShell) -> None:
    assert run(shell, "%llm -n 5 answer << hello").displays == []
    assert run(shell, "%%llm -n 5 other <<\nhello").displays == []
    assert run(shell, "%llm -n 5 -o shown hello").text
    assert run(shell, "%llm -n 5 -q -o quiet hello").displays == []
    for name in ("answer", "other", "shown", "quiet"):
        assert isinstance(shell.user_ns[name], Completion)
        assert shell.user_ns[name].text


def test_what_a_command_says_is_markdown_whatever_format_answers_have(
    shell: InteractiveShell,
) -> None:
    assert "text/markdown" in run(shell, "%llm -f text /help seeds").displays[-1]


@pytest.mark.usefixtures("at_once")
def test_an_answer_for_a_variable_shows_what_goes_on_and_leaves_no_word(
    shell: InteractiveShell, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = shell.display_pub.publish

    def until_it_reads(data: dict[str, str], **options: object) -> None:
        publish(data, **options)
        scripted.may_write.set()

    monkeypatch.setattr(shell.display_pub, "publish", until_it_reads)
    scripted.may_write.clear()
    scripted.replies.append("one two three")
    cell = run(shell, "%%llm answer <<\nhello")
    assert "Reading 0 of" in cell.seen[0]
    assert any("Writing: 1 word so far" in text for text in cell.seen)
    assert cell.text == ""
    assert shell.user_ns["answer"].text == "one two three"


@pytest.mark.usefixtures("at_once")
def test_a_command_shows_what_goes_on_in_its_place(
    shell: InteractiveShell, tiny_gguf: Path
) -> None:
    cell = run(shell, f"%llm /use {tiny_gguf}")
    assert "Loading tiny" in cell.seen[0]
    (answer,) = cell.displays
    assert answer["text/markdown"].startswith("Using **tiny**")


def test_code_that_binds_names_is_asked_for_by_a_magic_and_from_python(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["n, mean = 1234, 0.5"] * 2)
    text = run(shell, '%llm -o "n int, mean float" Count').text
    asked = "Assign the results to `n` (int), `mean` (float)."
    assert asked in str(scripted.requests[-1].prompt)
    assert "`n` = 1234, `mean` = 0.5; ran in a sealed copy" in text
    assert "n" not in shell.user_ns  # the code has not run
    llm.write("Count", into="n int, mean float")
    assert asked in str(scripted.requests[-1].prompt)


@pytest.mark.parametrize(
    ("line", "reply", "seen"),
    [
        ("%llm -f code Print 1", "print(1)", "; ran in a sealed copy"),
        ("%llm -f code --no-try Print 1", "print(1)", "; not tried: that is switched off"),
        ("%llm /test 1", "x():\n    assert print(1) is None\n```", ""),
    ],
)
def test_code_that_stands_in_a_cell_is_not_shown_twice(
    shell: InteractiveShell,
    scripted: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    reply: str,
    seen: str,
) -> None:
    landed: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda code, **_options: landed.append(code))
    run(shell, "1 + 1", store_history=True)
    scripted.replies.extend([reply] * 12)  # tests are drafted six times
    assert "print(1)" in run(shell, line).text  # as when a notebook runs without a front end
    text = run(shell, line, cell_id="a").text
    assert text.endswith(f"*inserted below{seen}*")
    assert "print(1)" not in text
    assert all("print(1)" in code for code in landed)


def test_what_a_tried_draft_raises_is_no_markdown(
    shell: InteractiveShell, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "set_next_input", lambda _code, **_options: None)
    said = "![a](http://e.vil/x.png) $\\style{a}{b}$"
    scripted.replies.extend([f"raise ValueError({said!r})"] * 12)
    (shown,) = run(shell, "%llm -f code Raise it", cell_id="a").displays
    assert f"raises ValueError: {said}" in shown["text/plain"]
    assert "raises ValueError: ! [a](http://e.vil/x.png) $\\ style" in shown["text/markdown"]


def test_turns_are_remembered_a_rerun_replaces_its_own_and_new_forgets_them(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["one", "two", "one again", "three", "four"])
    run(shell, "%llm first", cell_id="a")
    run(shell, "%llm second", cell_id="b")
    run(shell, "%llm first, better", cell_id="a")
    run(shell, "%llm third", cell_id="c")
    run(shell, "%llm --new fourth", cell_id="d")
    contents = [[m.content for m in r.prompt] for r in scripted.requests]  # type: ignore[union-attr]
    assert contents[1:] == [
        ["first", "one", "second"],
        ["first, better"],
        ["first, better", "one again", "second", "two", "third"],
        ["fourth"],
    ]


def test_a_cell_with_several_prompts_replaces_each_and_forgets_the_dropped(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend("abcdefg")
    run(shell, "for n in range(3):\n    %llm number {{n}}", cell_id="loop")
    run(shell, "for n in range(2):\n    %llm number {{n * 10}}", cell_id="loop")
    run(shell, "%llm no id")
    run(shell, "%llm no id")
    turns = llm.chat("default").turns
    assert [(turn.prompt, turn.completion.text) for turn in turns] == [
        ("number 0", "d"),
        ("number 10", "e"),
        ("no id", "f"),
        ("no id", "g"),
    ]


def test_named_chats_are_apart_and_shared_with_python(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["for work", "for fun", "more work"])
    run(shell, "%llm --chat work hello")
    run(shell, "%llm --chat fun hello")
    llm.chat("work")("and?")
    assert [t.completion.text for t in llm.chat("work").turns] == ["for work", "more work"]
    assert [t.completion.text for t in llm.chat("fun").turns] == ["for fun"]


def test_what_the_model_writes_cannot_run_and_is_text_where_that_is_wanted(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    text = "# <script>alert(1)</script> ![x](https://evil.example/x.png)"
    scripted.replies.extend([text, text])
    shown = run(shell, "%llm hello").text
    assert "<script" not in shown
    assert "![" not in shown
    assert llm.chat("default").turns[0].completion.text == text
    assert run(shell, "%llm -f text hello").displays == [{"text/plain": text}]


@pytest.mark.parametrize(
    ("line", "source", "in_place"),
    [
        ("%%llm -f code\nPrint 1", "print(1)", False),
        ("%llm -f code --replace Print 1", "print(1)", True),
        ("%llm --below Print 1", "print(1)", False),
        ("%llm /fix", "print(1)", False),
        ("%llm /fix 1 --replace", "print(1)", False),  # another cell is out of reach here
        ("%llm --replace /test 1", "test_cell_with_x()", True),
        ("%llm Print 1", None, False),
    ],
)
def test_code_lands_where_it_is_wanted(
    shell: InteractiveShell,
    scripted: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    source: str | None,
    *,
    in_place: bool,
) -> None:
    landed: list[tuple[str, bool]] = []
    monkeypatch.setattr(shell, "set_next_input", lambda s, replace: landed.append((s, replace)))
    run(shell, "pront(1)", raises=NameError, store_history=True)
    scripted.replies.append("```python\nprint(1)\n```" if "-f" not in line else "print(1)\n```")
    if "/test" in line:
        scripted.replies[0] = "x():\n    assert print(1) is None\n```"
    cell = run(shell, line)
    assert "print(1)" in cell.text
    assert [code.splitlines()[-1:] for code, _ in landed] == ([] if source is None else [[source]])
    assert [replaces for _, replaces in landed] == ([] if source is None else [in_place])


@needs_seal
def test_a_task_is_done_in_several_cells_which_are_inserted_with_their_results(
    shell: InteractiveShell, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed: list[str] = []
    monkeypatch.setattr(shell, "set_next_input", lambda s, **_how: landed.append(s))
    shell.user_ns["fares"] = [10.0, 20.0, 60.0]
    scripted.replies.append("total = sum(fares)\n\nmean = total / len(fares)\n\n1\n")
    cell = run(shell, '%%llm --no-save /do Find the mean fare.\n--into "mean float"')
    assert landed[0].splitlines()[-1] == "total = sum(fares)"  # the next comes after it has run
    assert "`mean` = 30" in cell.text
    assert "| `mean` |  | `float 30.0` |" in cell.text
    assert "mean" not in shell.user_ns
    with pytest.raises(MagicUsageError, match="/do needs a task"):
        run(shell, "%llm /do")
    with pytest.raises(OptionError, match="is not a list of typed names"):
        run(shell, '%llm /do Count --into "n"')


def test_what_a_command_writes_goes_into_a_variable_and_nothing_else_does(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    run(shell, "1 + 1", store_history=True)
    scripted.replies.append("x():\n    assert print(1) is None\n```")
    run(shell, "%llm -q x << /test 1")
    assert "print(1)" in shell.user_ns["x"].text
    run(shell, "%llm x << /status", raises=MagicUsageError)
    assert "print(1)" in shell.user_ns["x"].text


def test_a_secret_in_a_text_to_go_on_with_is_told_to_nobody(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    shell.user_ns["password"] = "hunter2-abc!"  # noqa: S105
    run(shell, "%llm /complete The password is {{password}}")
    assert "hunter2" not in str(scripted.requests[-1].prompt)


def test_stats_tell_tokens_and_times_and_an_answer_that_was_cut_off_says_so(
    shell: InteractiveShell,
) -> None:
    text = run(shell, "%llm -n 5 --ignore-eos --stats hello").text
    for said in ("5 completion tokens", "cached", "tokens/s", "cut off after 5 tokens"):
        assert said in text


def test_a_dry_run_shows_the_exact_prompt_and_changes_nothing(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("one")
    run(shell, "%llm first")
    cell = run(shell, "%llm --dry-run -q --new -s 'Be brief.' What is 1 < {{1 + 1}}?")
    assert cell.text.startswith("[system] Be brief.\n[user] What is 1 < 2?\n")
    assert "4096" in cell.text
    assert len(scripted.requests) == 1
    assert [turn.prompt for turn in llm.chat("default").turns] == ["first"]
    assert llm.chat("default").system is None


def test_show_draft_has_all_of_the_code_that_was_written_last(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    with pytest.raises(MagicUsageError, match="No code was written"):
        run_line(shell, "%llm /show draft")
    shell.run_cell("import math\nrate = 2", store_history=True)
    scripted.replies.append("import math\nprint(math.sqrt(rate))\n```")
    run(shell, "%llm -f code --no-try The root of rate.")
    shown = run(shell, "%llm /show draft").text
    assert "import math\nprint(math.sqrt(rate))" in shown
    assert shown.endswith("```python\nimport math\n```")
    run(shell, "%llm --new -f code --no-try Anything.")
    assert "math" not in run(shell, "%llm /show draft").text


def test_a_cell_and_python_ask_for_code_with_the_same_prompt(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    shell.run_cell("rate = [4711]", store_history=True)
    scripted.replies.extend(["sum(rate)\n```"] * 2)
    run(shell, "%llm --new -f code --no-try Sum up @rate.")
    llm.write("Sum up @rate.", try_drafts=False)
    typed, written = (request.prompt for request in scripted.requests)
    assert written == typed
    assert "rate: list" in messages_of(written)[-1].content


def test_code_that_python_asked_for_shows_as_code_with_its_remark(
    shell: InteractiveShell, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.replies.append("nowhere\n```")
    run(shell, "from jupyter_llm import llm\nllm.write('Any.', try_drafts=False)")
    shown = capsys.readouterr().out
    assert "```python\nnowhere\n```\n\nnot tried: that is switched off; `nowhere` is" in shown
    assert "CodeAnswer" not in shown


def test_the_draft_that_lands_is_recorded_with_the_prompt_that_it_answers(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend(["1 / 0\n```"] * 3 + ["1 / 2\n```"])
    run(shell, "%llm -f code --seed 1 Divide.")
    (answer,) = llm.answers
    assert answer.text == "1 / 2"
    assert isinstance(answer.record, Provenance)
    request = scripted.requests[-1]
    read = scripted.tokenize(request.prompt) + scripted.tokenize(request.answer_prefix)
    assert answer.record.prompt_sha256 == token_sha256(read)
    (turn,) = llm.chat("default").turns
    assert turn.completion.provenance == answer.record


@pytest.mark.parametrize(
    ("option", "error"),
    [("-m no-such-model", ModelNotFoundError), ("--vars no_such_name", OptionError)],
)
def test_a_new_chat_that_cannot_begin_leaves_the_old_one(
    shell: InteractiveShell, option: str, error: type[Exception]
) -> None:
    run(shell, "%llm -n 3 first")
    run(shell, f"%llm --new -s other {option} second", raises=error)
    assert [turn.prompt for turn in llm.chat("default").turns] == ["first"]
    assert llm.chat("default").system is None


def test_settings_are_traitlets(shell: InteractiveShell, scripted: ScriptedEngine) -> None:
    scripted.replies.extend("ab")
    run(shell, "%config LLMMagics.temperature = 0")
    run(shell, "%config LLMMagics.max_tokens = 9")
    run(shell, "%llm hello")
    run(shell, "%llm -t 0.5 hello")
    first, second = (request.params for request in scripted.requests)
    assert (first.temperature, first.max_tokens) == (0, 9)
    assert (second.temperature, second.max_tokens) == (0.5, 9)


def test_an_interrupt_keeps_the_text_marks_it_and_stays_catchable(
    shell: InteractiveShell, interrupted: ScriptedEngine
) -> None:
    cell = run(shell, "%llm -o kept hello", raises=PromptInterrupted)
    assert cell.text.startswith("word")
    assert "*interrupted after" in cell.text
    assert shell.user_ns["kept"].finish_reason == "cancelled"
    assert [t.completion.finish_reason for t in llm.chat("default").turns] == ["cancelled"]
    interrupted.holds = False
    interrupted.replies.append("fine")
    assert run(shell, "%llm again").text == "fine"


@pytest.mark.usefixtures("interrupted")
def test_an_interrupted_turn_is_on_the_disk_at_its_cells_end_though_the_engine_was_slow_to_tell(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, main = threading.Event(), threading.main_thread()
    hold = lambda _future=None: threading.current_thread() is main or told.wait(60)  # noqa: E731
    monkeypatch.setattr(llm.answers, "_take_in", hold)  # which the engine calls before the chat
    llm.archive.open(tmp_path / "a.ipynb")
    run(shell, "%llm hello", raises=PromptInterrupted)
    assert rows("SELECT count(*) FROM turns") == [(1,)]
    told.set()


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("%llm /test --belw", MagicUsageError, "/test does not know --belw. Did you mean --below?"),
        ("%llm --temprature 1 x", MagicUsageError, "Did you mean --temperature?"),
        ("%llm -t -1 x", OptionError, "at least 0, not -1.0"),
        ("%%llm /reset\nall of it", MagicUsageError, "/reset takes nothing after it"),
        ('%llm -o "n whole number" Count', OptionError, "is not a list of typed names"),
        ('%llm -f json -o "n int" Count', MagicUsageError, "-o with types is for code."),
        ("%%llm\n\n  \n", EmptyPromptError, "empty"),
        ("%llm {{1 / 0}}", InterpolationError, "{{1 / 0}} failed: ZeroDivisionError"),
        ("%llm -m no-such x", ModelNotFoundError, "no-such"),
        ("%llm -m missing.gguf x", ModelFileError, "missing.gguf"),
        ("%llm " + "word " * 5000, ContextOverflowError, "4096"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else None,
)
def test_a_mistake_prints_one_line_and_stays_catchable(
    shell: InteractiveShell, line: str, error: type[Exception], says: str
) -> None:
    cell = run(shell, line, raises=error)
    assert says in str(cell.error)
    (shown,) = cell.error._render_traceback_()  # type: ignore[union-attr]
    assert "\n" not in shown
    with pytest.raises(error):
        run_line(shell, line)
    assert run(shell, "%llm -n 2 still there").text


def test_commands_answer_as_markdown(shell: InteractiveShell) -> None:
    before = run(shell, "%llm /status").text
    assert "none loaded" in before
    assert "for texts with a seed" in run(shell, "%llm /models").text  # it says what one will take
    run(shell, "%llm -n 3 hello")
    assert "tiny" in run(shell, "%llm /status").text
    assert "tiny" in run(shell, "%llm /models").text
    assert "hello" in run(shell, "%%llm\n/history\n").text
    assert "Forgot 1 turn" in run(shell, "%llm /reset").text
    assert "no turns" in run(shell, "%llm /history").text
    assert "free again" in run(shell, "%llm /unload").text
    assert "none loaded" in run(shell, "%llm /status").text
    shell.user_ns["name"] = "tiny"
    assert "Using **tiny**" in run(shell, "%llm /use {{name}}").text
    told = run(shell, "%llm /help").text
    assert all(f"`/{name}" in told for name in magic_commands(lambda *_: None))


def test_a_text_is_gone_on_with_as_it_is_without_chat_and_notebook(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    run(shell, "x = 1", store_history=True)
    scripted.replies.append(" there was a king")
    assert run(shell, "%%llm -o tale\n/complete Once upon\n a time").text == " there was a king"
    assert scripted.requests[-1].prompt == "Once upon\n a time"
    assert shell.user_ns["tale"].text == " there was a king"
    assert llm.chat("default").turns == []


@pytest.mark.parametrize("cell", ["%llm Sum @uni", "%%llm\nSum\nall of @uni"])
def test_tab_behind_an_at_offers_variables_and_files_as_in_a_panel(
    cell: str, shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "units.csv").touch()
    shell.user_ns["united"] = [1]
    with provisionalcompleter():
        found = [*shell.Completer.completions(cell, len(cell))]
        other = cell.replace("llm", "llm2")  # a magic of somebody else's
        others = [*shell.Completer.completions(other, len(other))]
    assert [(one.text, one.start, one.end) for one in found] == [
        (text, len(cell) - len("@uni"), len(cell)) for text in ("@united", "@units.csv")
    ]
    assert "@units.csv" not in [one.text for one in others]


def test_a_model_loaded_by_its_path_is_listed_and_completed_from_then_on(
    shell: InteractiveShell, tiny_base_gguf: Path, tmp_path: Path
) -> None:
    (tmp_path / "shelf").mkdir()
    path = Path(shutil.copy(tiny_base_gguf, tmp_path / "shelf" / "elsewhere.gguf"))
    assert "elsewhere" not in run(shell, "%llm /models").text
    run(shell, f"%llm /use {path}")
    assert "**elsewhere** (loaded)" in run(shell, "%llm /models").text
    run(shell, "%llm /use tiny")
    for line in ("/use els", "-m els"):
        assert "elsewhere" in words_at(f" {line}", ())[1]
    assert "Using **elsewhere**" in run(shell, "%llm /use elsewhere").text


def test_what_may_have_been_meant_otherwise_stands_below_the_answer(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.append("Four.")
    text = run(shell, "%llm What is 2 + 2? -t 0").text
    assert text == "Four.\n\n*`-t 0` is part of the prompt: options come first*"
    assert run(shell, "%llm --help").text == run(shell, "%llm /help").text


def test_a_cell_run_inside_a_cell_counts_as_that_cell(
    shell: InteractiveShell, scripted: ScriptedEngine
) -> None:
    scripted.replies.extend("ab")
    for _ in range(2):
        run(shell, "%%capture\n%llm hi", cell_id="outer")
    assert [turn.completion.text for turn in llm.chat("default").turns] == ["b"]


def test_a_line_may_end_with_a_question_mark_and_help_still_works(shell: InteractiveShell) -> None:
    assert (
        shell.transform_cell("%llm What's up?")
        == "get_ipython().run_line_magic('llm', \"What's up?\")\n"
    )
    assert shell.transform_cell("if 1:\n    %llm {{x}} (odd?\n    y = 2") == (
        "if 1:\n    get_ipython().run_line_magic('llm', '{{x}} (odd?')\n    y = 2\n"
    )
    assert "pinfo" in shell.transform_cell("%llm?")
    assert "pinfo" in shell.transform_cell("len?")
    assert shell.transform_cell("s = '''\n%llm a?\n'''") == "s = '''\n%llm a?\n'''\n"


def test_reloading_and_unloading_leave_nothing_behind(shell: InteractiveShell) -> None:
    matchers = len(shell.Completer.custom_matchers)
    extension(shell, "reload")
    assert len(shell.Completer.custom_matchers) == matchers
    extension(shell, "unload")
    assert "llm" not in shell.magics_manager.magics["line"]
    assert len(shell.Completer.custom_matchers) == matchers - 1
    assert "pinfo" in shell.transform_cell("%llm What is up?")
    extension(shell, "load")


def test_a_project_sets_defaults(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.jupyter_llm]\nmax_tokens = 3\nstats = true\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    extension(shell, "reload")
    assert "3 completion tokens" in run(shell, "%llm --ignore-eos hello").text


def test_the_tokens_of_an_answer_are_shown_also_where_they_were_not_asked_for(
    shell: InteractiveShell,
) -> None:
    run(shell, "%llm -n 8 --seed 1 -o answer hello")
    run(shell, "%llm -n 8 other")
    shown = run(shell, "%llm /tokens 1").displays[-1]
    assert "How likely each token was" in shown["text/html"]
    assert re.sub("⟨.*?⟩", "", shown["text/plain"]) == visible(shell.user_ns["answer"].text)
    for wrong in ("%llm /tokens x", "%llm --chat empty /tokens", "%llm /tokens 9"):
        assert "\n" not in str(run(shell, wrong, raises=JupyterLLMError).error)
