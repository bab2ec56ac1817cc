"""Models and their options as people type them, and `/alias`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.errors import MagicUsageError, OptionError
from jupyter_llm.frontends.cli import main
from jupyter_llm.frontends.magics.completion import words_at
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call
from jupyter_llm.frontends.prompt.loading import overruled, typed_model


@pytest.fixture
def model(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> str:
    shutil.copy(tiny_gguf, tmp_path / "first.gguf")
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(tmp_path))
    return "first"


def command(name: str, argument: str) -> str:
    return str(COMMANDS[name].run(Call(llm=llm, chat=llm.chat(), argument=argument)))


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("", "", {}),
        ("qwen", "qwen", {}),
        ("my models/x.gguf", "my models/x.gguf", {}),
        ("qwen n_ctx=4096", "qwen", {"n_ctx": 4096}),
        ("n_gpu_layers=-1", "", {"n_gpu_layers": -1}),
        ("'a b=c.gguf' repack=true exact=None", "a b=c.gguf", {"repack": True, "exact": None}),
        ('qwen kv_type="q8 0"', "qwen", {"kv_type": "q8 0"}),
        ("qwen\tkv_type=q8_0", "qwen", {"kv_type": "q8_0"}),
    ],
)
def test_a_model_is_typed_with_options_behind_it(
    text: str, name: str, options: dict[str, object]
) -> None:
    assert typed_model(text) == (name, options)


@pytest.mark.parametrize("text", ["qwen n_ctx=", "qwen n_ctx=1 more", "qwen n_ctx= 3"])
def test_what_is_no_option_is_named(text: str) -> None:
    with pytest.raises(MagicUsageError, match="no option to load a model with"):
        typed_model(text)


def test_a_model_is_used_with_its_options(model: str) -> None:
    assert "context window 256 tokens" in command("use", "first n_ctx=256 n_threads=1")
    assert "context window 512 tokens" in command("use", "n_ctx=512")
    with pytest.raises(OptionError, match="Did you mean n_ctx"):
        command("use", "first n_ctxx=256")


def test_a_model_is_used_for_one_thing(model: str) -> None:
    command("use", "first n_ctx=256 n_threads=1 role=complete")
    assert llm.current.resident_of("complete") is not None
    with pytest.raises(OptionError, match="Did you mean complete"):
        command("use", "first role=complt")


def test_that_prompts_ask_another_model_all_the_same_is_said(model: str, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other.gguf", seed=5)
    assert "all the same" not in overruled(llm, model)
    llm.use(other, n_ctx=256, n_threads=1)
    assert overruled(llm, "first").startswith("Prompts here ask first all the same: ")
    assert overruled(llm, None) == ""


@pytest.mark.parametrize("argument", ["first model=x", "first name=y", "first show_progress=1"])
@pytest.mark.parametrize("typed", ["/use", "/alias coder"])
def test_what_is_no_option_of_a_model_is_said_wherever_it_is_typed(
    model: str, typed: str, argument: str
) -> None:
    name, _, rest = typed[1:].partition(" ")
    with pytest.raises(OptionError, match="is not a loading option"):
        command(name, f"{rest} {argument}".strip())


def test_unload_says_what_loads_a_model_again(model: str, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "first.gguf", tmp_path / "second.gguf")
    command("use", "first n_threads=1")
    command("use", "second n_threads=1 role=complete")
    (tmp_path / "second.gguf").unlink()  # which is no reason to keep it
    for name in ("second", "first"):
        assert command("unload", name).endswith("The next prompt that needs it loads it.")
    assert command("unload", "first") == "first is not loaded."
    assert command("unload", "") == "No model is loaded."


def test_a_name_is_given_listed_and_taken_back(model: str) -> None:
    assert "No model has another name" in command("alias", "")
    assert command("alias", "coder first n_ctx=256").startswith(
        "**coder** is an alias of first n_ctx"
    )
    assert "| coder | first n_ctx=256 |" in command("alias", "")
    assert words_at(" /use co", [])[1][0] == "coder"
    assert "| first, alias coder |" in command("models", "")
    assert "context window 256 tokens" in command("use", "coder")
    assert command("alias", "coder --remove") == "coder is no longer an alias."
    with pytest.raises(MagicUsageError, match="/alias coder needs a model"):
        command("alias", "coder")


def test_options_complete_behind_a_model() -> None:
    fragment, words = words_at(" /use qwen kv_type=f16 n_c", [])
    assert fragment == "n_c"
    assert {"n_ctx=", "repack=", "role="} <= set(words)


def test_names_are_given_and_listed_in_a_terminal(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alias", "coder", "first", "n_ctx=256"]) == 0
    assert "coder is an alias of first n_ctx=256" in capsys.readouterr().out
    assert main(["alias", "--json"]) == 0
    assert '"model": "first"' in capsys.readouterr().out
    assert main(["alias", "coder", "--remove"]) == 0
    assert main(["alias", "coder", "--remove"]) == 2
    assert "`jupyter llm alias` lists them" in capsys.readouterr().err
