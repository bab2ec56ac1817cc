"""Names that the user gives to models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.permissions import POSIX
from support.processes import run_python
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError, OptionError
from jupyter_llm.models.discover import find_model


@pytest.fixture
def models(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models."""
    for name in ("first-1b", "second-1b"):
        shutil.copy(tiny_gguf, tmp_path / f"{name}.gguf")
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(tmp_path))
    return tmp_path


def test_a_name_means_the_model_it_was_given_to(models: Path) -> None:
    llm.alias("Coder", "first")
    assert find_model("coder").path == find_model("CODER").path == models / "first-1b.gguf"
    assert {name: str(alias) for name, alias in llm.aliases.items()} == {"coder": "first-1b"}
    llm.alias("coder", "second-1b")
    assert find_model("coder").name == "second-1b"
    llm.alias("coder", None)
    assert llm.aliases == {}
    with pytest.raises(ModelNotFoundError):
        find_model("coder")


def test_a_name_brings_its_options_along_and_what_is_typed_says_it_better(
    models: Path, fresh_llm: None
) -> None:
    llm.alias("short", "first", n_ctx=256, n_threads=1)
    assert llm.engine("short").info.n_ctx == 256
    info = llm.use("short", n_ctx=512).info
    assert info is not None
    assert (info.name, info.n_ctx, info.n_threads) == ("first-1b", 512, 1)


def test_a_name_whose_model_has_gone_says_so(models: Path) -> None:
    llm.alias("coder", "first")
    (models / "first-1b.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match="'coder' is an alias of 'first-1b', which"):
        find_model("coder")


@pytest.mark.parametrize(
    ("name", "model", "options", "says"),
    [
        ("", "first", {}, "cannot be the name of a model"),
        ("a/b", "first", {}, "cannot be the name of a model"),
        ("x.gguf", "first", {}, "cannot be the name of a model"),
        ("first-1b", "first", {}, "own name"),
        ("second-1b", "first", {}, "own name"),
        ("coder", "none", {}, "No model named 'none'"),
        ("coder", "first", {"n_ctxx": 1}, "Did you mean n_ctx"),
        ("coder", "first", {"n_ctx": "x"}, "n_ctx must be a whole number"),
        ("coder", None, {}, "is no alias"),
    ],
)
def test_a_name_that_cannot_be_given_is_one_line_and_nothing_is_kept(
    models: Path, name: str, model: str | None, options: dict[str, object], says: str
) -> None:
    with pytest.raises(JupyterLLMError, match=says) as caught:
        llm.alias(name, model, **options)
    assert isinstance(caught.value, OptionError | ModelNotFoundError)
    assert llm.aliases == {}


FULL_DISK = """
import resource
from jupyter_llm.common.database import store
from jupyter_llm.errors import OptionError
from jupyter_llm.models.aliases import Alias, aliases, give_alias, remove_alias

give_alias("one", Alias("first"))
assert store().flush(30)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (store().path.stat().st_size, limits[1]))
for change in (lambda: give_alias("two", Alias("x" * 20_000)), lambda: remove_alias("one")):
    try:
        change()
    except OptionError as error:
        print(str(error).partition(", so ")[2])
print(list(aliases()))
"""


@POSIX
def test_a_name_that_a_full_disk_does_not_take_is_one_line_and_the_others_stay() -> None:
    said, errors = run_python(FULL_DISK)
    *lines, left = said.splitlines()
    assert [line.partition(".")[0] for line in lines] == ["the names of models are unchanged"] * 2
    assert left == "['one']"
    assert "Traceback" not in errors


def test_a_name_that_is_mistyped_is_suggested(models: Path) -> None:
    llm.alias("legal-texts", "first")
    with pytest.raises(ModelNotFoundError, match="Did you mean legal-texts"):
        find_model("legal-text")


def test_two_names_of_one_model_each_bring_their_own_options(models: Path, fresh_llm: None) -> None:
    llm.alias("short", "first", n_ctx=256)
    llm.use("first", n_ctx=512, n_threads=1)
    assert llm.engine("short").info.n_ctx == 256
    assert llm.engine("first").info.n_ctx == 512
    llm.use("short", n_threads=1)
    assert llm.engine("first").info.n_ctx > 512
    assert llm.engine(models / "first-1b.gguf").info.n_ctx == 256  # as it was chosen


def test_a_name_with_other_options_waits_for_what_its_model_writes(
    models: Path, fresh_llm: None
) -> None:
    llm.alias("short", "first-1b", n_ctx=256)
    stream = llm.stream("Hello", model="first-1b", max_tokens=200, ignore_eos=True)
    until(lambda: bool(stream.written))
    assert llm("Hello", model="short", max_tokens=1).usage.completion_tokens == 1
    assert stream.result().usage.completion_tokens == 200
