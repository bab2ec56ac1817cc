"""`jupyter llm run` and `jupyter llm chat`: pipes, JSON, Ctrl-C, and what goes wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.interrupts import interrupt_main
from support.scripted import ScriptedEngine
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.frontends.cli import main

Typed = Callable[[str], None]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> ScriptedEngine:
    """The engine behind `llm`, replaced by one that answers from a script."""
    engine = ScriptedEngine(["one two three"])
    monkeypatch.setattr(llm.current, "get", lambda *_args, **_options: engine)
    status = llm.status()
    monkeypatch.setattr(
        llm.current, "use", lambda *_args, **_options: type(status)(info=engine.info, engine=None)
    )
    return engine


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Puts a text into the pipe that we read."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    put("")
    return put


def told(engine: ScriptedEngine) -> list[str]:
    """The contents of the messages that were sent last."""
    prompt = engine.requests[-1].prompt
    assert isinstance(prompt, tuple)
    return [message.content for message in prompt]


def test_an_answer_goes_to_the_standard_output_and_remarks_beside_it(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "Count", "to three.", "--stats"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "one two three\n"
    assert "prompt tokens" in printed.err
    assert told(engine) == ["Count to three."]


@pytest.mark.parametrize(
    ("words", "sent"),
    [(["Sum", "up."], "a\nb\n\nSum up."), ([], "a\nb"), (["-"], "a\nb")],
    ids=["and a prompt", "alone", "by its name"],
)
def test_what_comes_through_a_pipe_stands_before_the_prompt(
    words: list[str], sent: str, engine: ScriptedEngine, piped: Typed
) -> None:
    piped("a\nb\n")
    assert main(["run", *words]) == 0
    assert told(engine) == [sent]


def test_options_are_those_of_prompts(engine: ScriptedEngine, piped: Typed) -> None:
    options = ["-s", "Be_short.", "-t", "0", "-n", "7", "--seed", "3", "--stop", "a", "--stop", "b"]
    assert main(["run", "Hi", *options]) == 0
    params = engine.requests[-1].params
    assert (params.temperature, params.max_tokens, params.seed) == (0, 7, 3)
    assert params.stop == ("a", "b")
    assert told(engine) == ["Be_short.", "Hi"]


def test_a_wrong_value_of_an_option_is_one_line_that_says_what_it_takes(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "Hi", "-t", "hot"])
    assert "--temperature: takes a number, not 'hot'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "chat"])
def test_the_defaults_of_a_project_hold_where_nothing_is_typed(
    command: str,
    engine: ScriptedEngine,
    piped: Typed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.jupyter_llm]\ntemperature = 0\nmax_tokens = 7\nstats = true\nsystem = 'Be short.'"
    )
    monkeypatch.chdir(tmp_path)
    piped("Hi")
    assert main([command, "-n", "5"]) == 0
    params = engine.requests[-1].params
    assert (params.temperature, params.max_tokens) == (0, 5)
    assert told(engine) == ["Be short.", "Hi"]
    assert "prompt tokens" in capsys.readouterr().err


def test_a_pipe_gets_the_answer_without_the_thoughts_and_json_has_both(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.replies = deque(["<think>Hm.</think>\n\nYes."] * 2)
    assert main(["run", "--no-think", "Hi"]) == 0
    assert capsys.readouterr().out == "Yes.\n"
    assert engine.requests[-1].params.think is False
    assert main(["run", "--json", "Hi"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["text"], answer["reasoning"]) == ("Yes.", "Hm.")
    assert answer["usage"]["completion_tokens"] > 0
    assert answer["record"]["text_sha256"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "The prompt is empty"),
        (["chat", "-s", "x"], "There is no command /modle. Did you mean /models?"),
        (["run", "-n", "0", "Hi"], "max_tokens must be at least 1"),
        (["run", "-m", "nonsense", "Hi"], "No model named 'nonsense'. `jupyter llm models` lists"),
        (["chat", "-m", "nonsense"], "No model named 'nonsense'. `jupyter llm models` lists"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    arguments: list[str],
    said: str,
    fresh_llm: None,
    piped: Typed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    piped("/modle" if "x" in arguments else "")
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jupyter llm {arguments[0]}: {said}")


def test_in_a_chat_each_line_is_answered_and_remembered(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.replies.append("four")
    piped("Count.\n\n-- /on\n/exit\nnever read\n")
    assert main(["chat", "-s", "Be short."]) == 0
    assert capsys.readouterr().out == "one two three\nfour\n"
    assert told(engine) == ["Be short.", "Count.", "one two three", "/on"]


def test_a_chat_has_the_commands_that_need_no_notebook(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    piped("/help\n")
    assert main(["chat"]) == 0
    out = capsys.readouterr().out
    assert all(f"`/{name}" in out for name in ("use", "models", "doctor", "reset", "exit"))
    assert "/fix" not in out


def test_an_interrupt_keeps_the_text_and_ends_with_130(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.holds, engine.on_hold = True, interrupt_main
    assert main(["run", "Hi"]) == 130
    printed = capsys.readouterr()
    assert printed.out == "one \n"
    assert printed.err == "(interrupted after 4 tokens)\n"


class Terminal:
    """`jupyter llm` in a terminal of its own, with the tiny model, which never ends by itself."""

    def __init__(self, model: Path, *arguments: str) -> None:
        import pty

        self._master, slave = pty.openpty()
        self._text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_llm", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "JUPYTER_LLM_MODEL": str(model), "TERM": "dumb"},
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def shows(self, text: str) -> bool:
        with suppress(OSError):  # nothing new, or it has ended
            self._text += os.read(self._master, 65536).decode("utf-8", "replace")
        return text in self._text

    @property
    def is_answering(self) -> bool:
        """Whether there is more than a line of what goes on, which is written over."""
        return self.shows("\0") or len(self._text.rpartition("\x1b[K")[2]) > 200

    def forget(self) -> None:
        """Look at nothing that has been shown so far."""
        self._text = ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(tiny_gguf: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def begin(*arguments: str) -> Terminal:
        opened.append(Terminal(tiny_gguf, *arguments))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
class TestInTerminal:
    def test_ctrl_c_in_a_chat_leads_back_to_the_prompt_and_ctrl_d_out(
        self, terminal: Callable[..., Terminal]
    ) -> None:
        chat = terminal("chat", "--ignore-eos", "-n", "3000")
        until(lambda: chat.shows("\n> "))
        chat.forget()
        chat.type("Write on and on.\n")
        until(lambda: chat.is_answering)
        chat.interrupt()
        until(lambda: chat.shows("(interrupted after"))
        until(lambda: chat.shows("\n> "))
        chat.type("/half")
        until(lambda: chat.shows("/half"))
        chat.interrupt()
        chat.type("\n/unload\n")  # an interrupt just before the wait for a key waits for it too
        until(
            lambda: chat.shows(
                "memory is free again. The next prompt that needs it loads it.\r\n> "
            )
        )
        chat.type("\x04")
        assert chat.process.wait(20) == 0
        assert "Traceback" not in chat._text


def test_an_answer_may_have_a_shape_and_as_json_its_value_and_how_likely_that_was(
    engine: ScriptedEngine, piped: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = '{"name": "Ann", "age": 3}'
    engine.replies = deque([ann, ann, "how likely 3 is", "bad", "[1, 2]"])
    assert main(["run", "--schema", "name, age int", "--reason", "5", "Who?"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "Ann", "age": 3}
    assert engine.requests[-1].params.reason == 5
    assert main(["run", "--json", "--schema", "name, age int", "Who?"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == {"name": "Ann", "age": 3}
    assert set(told["probabilities"]) == {"age"}
    assert main(["run", "--json", "--choices", "good, bad", "Tone?"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["value"], told["text"]) == ("bad", "bad")
    assert told["confidence"] == told["probabilities"]["bad"] == pytest.approx(0.7 / 0.8)
    assert told["elsewhere"] == pytest.approx(0.2)
    assert main(["run", "--schema", "list[int]", "Which?"]) == 0
    assert capsys.readouterr().out == "[1, 2]\n"


def test_a_project_says_how_long_the_reason_before_a_shape_is(
    engine: ScriptedEngine,
    piped: Typed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.jupyter_llm]\nreason = 5")
    monkeypatch.chdir(tmp_path)
    engine.replies = deque(["free", "a", "one two three four"])
    assert main(["run", "Which?"]) == main(["run", "--choices", "a,b", "Which?"]) == 0
    assert [one.params.reason for one in engine.requests] == [0, 5]
    assert main(["run", "--reason", "5", "Which?"]) == 2  # it was typed, and comes before nothing
    capsys.readouterr()
    assert main(["run", "--schema", "list[int]", "-n", "2", "Which?"]) == 2
    assert capsys.readouterr().err.count("cut off") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--schema", "name, age int"], "has not the shape"),
        (["--schema", "int", "--regex", "a"], "one of schema=, choices="),
        (["--reason", "5"], "reason= comes before a shape"),
        (["--choices", "quit(), b", "--stop", "a"], "stop= cannot be used with a shape"),
    ],
)
def test_what_has_no_shape_is_printed_as_it_is_and_fails_in_one_line(
    engine: ScriptedEngine,
    piped: Typed,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    assert main(["run", "Who?", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ("one two three\n" if engine.requests else "")
    assert said in printed.err
    assert printed.err.count("\n") == 1
