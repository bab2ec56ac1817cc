"""What is typed, the environment, the project and the user say which model is used, and how."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.engine.project import project_of
from jupyter_llm.errors import MagicUsageError, ModelFileError
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.inspect import inspect


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> Path:
    """The working folder, inside a project."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def models(tiny_gguf: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with several models, of which none is the only one."""
    shelf = folder.parent / "shelf"
    shelf.mkdir()
    for name in ("typed", "environment", "project", "user"):
        shutil.copy(tiny_gguf, shelf / f"{name}.gguf")
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(shelf))
    return shelf


def put(folder: Path, table: str) -> None:
    (folder.parent / "pyproject.toml").write_text(f"[tool.jupyter_llm]\n{table}\n")


def found(model: str | None = None) -> ModelEntry:
    entry = llm.current.find(model)
    assert isinstance(entry, ModelEntry)
    return entry


def used(model: str | None = None) -> str:
    return found(model).name


def test_what_is_typed_comes_first_then_the_environment_the_project_and_the_user(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.alias("default", "user")
    assert used() == "user"
    put(folder, "model = 'project'")
    llm.current.project(folder)
    assert used() == "project"
    monkeypatch.setenv("JUPYTER_LLM_MODEL", "environment")
    assert used() == "environment"
    assert used("typed") == "typed"


def test_a_project_may_name_its_model_by_a_path_from_where_its_file_lies(
    models: Path, folder: Path
) -> None:
    put(folder, "model = 'shelf/project.gguf'")
    assert found().path == models / "project.gguf"


def test_a_project_says_how_models_are_loaded_and_what_is_typed_says_it_better(
    models: Path, folder: Path
) -> None:
    put(folder, "model = 'project'\nn_ctx = 256\nn_threads = 1\ncheckpoints = false")
    assert llm.engine().info.n_ctx == 256
    assert llm.engine("typed").info.n_ctx == 256
    info = llm.use(n_ctx=512).info
    assert info is not None
    assert (info.n_ctx, info.n_threads) == (512, 1)


def test_what_is_usual_holds_where_nobody_says_anything_of_it(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "n_threads = 1")
    monkeypatch.setattr(llm.current.choices, "usual", {"n_ctx": 768, "n_threads": 2})
    info = llm.engine().info
    assert (info.n_ctx, info.n_threads) == (768, 1)
    used = llm.use(n_ctx=512).info
    assert used is not None
    assert used.n_ctx == 512


def test_a_name_that_is_used_comes_before_the_project_and_the_users_default_after_it(
    models: Path, folder: Path
) -> None:
    llm.alias("default", "user", n_ctx=512, n_threads=1)
    llm.alias("short", "user", n_ctx=512, n_threads=1)
    put(folder, "n_ctx = 256")
    assert llm.engine().info.n_ctx == 256
    assert llm.engine("short").info.n_ctx == 512


def test_a_project_is_that_of_the_folder_where_it_was_first_asked_for(
    models: Path,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(folder, "model = 'project'")
    assert used() == "project"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # as a cell may
    assert used() == "project"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("modle = 'x'", "has no setting 'modle'. Did you mean model?"),
        ("n_ctx = 'large'", "n_ctx is wrong: n_ctx must be a whole number, not 'large'."),
        ("n_ctx = 3", "n_ctx is wrong: n_ctx must be at least 128, not 3."),
        ("repack = 'yes'", "repack is wrong: repack must be True or False, not 'yes'."),
        ("checkpoints = 1", "checkpoints is wrong: checkpoints must be True or False, not 1."),
        ("model = 3", "model is wrong: it takes a text, not 3."),
        ("temperature = 'hot'", "temperature is wrong: temperature must be at least 0"),
        ("flash_attention = false\nkv_type = 'q8_0'", "kv_type is wrong: kv_type='q8_0' needs"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_file_and_the_setting(
    folder: Path, table: str, says: str
) -> None:
    put(folder, table)
    with pytest.raises(MagicUsageError) as caught:
        llm.engine()
    assert str(caught.value).startswith(f"{folder.parent / 'pyproject.toml'}: [tool.jupyter_llm] ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["tool = 3", "[broken", "\0", "[tool]", "a = " + "[" * 5000])
def test_a_file_that_says_nothing_to_us_sets_nothing(folder: Path, text: str) -> None:
    (folder.parent / "pyproject.toml").write_text(text)
    assert project_of(folder).loading == {}


def test_a_file_of_the_project_that_cannot_be_read_is_no_name_of_another(
    models: Path, folder: Path
) -> None:
    put(folder, "model = 'typed.gguf'")
    os.mkfifo(folder.parent / "typed.gguf")
    with pytest.raises(ModelFileError, match=r"typed\.gguf is not a regular file"):
        inspect(found().path)


def test_what_should_be_a_table_and_is_none_is_said(folder: Path) -> None:
    (folder.parent / "pyproject.toml").write_text("[tool]\njupyter_llm = 3")
    with pytest.raises(MagicUsageError, match="must be a table"):
        project_of(folder)
