"""`jupyter llm pull` and `remove`: from a hub on this machine, and only what is ours is deleted."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.hub import Hub, Repo

from jupyter_llm.common.database import store
from jupyter_llm.engine.local.kept.checkpoint import checkpoint_folder
from jupyter_llm.frontends.cli import main
from jupyter_llm.models import neighbours
from jupyter_llm.models.aliases import Alias, give_alias
from jupyter_llm.models.discover import find_model
from jupyter_llm.models.sources import models_folder

NAME = "ada/elsewhere-GGUF"
MODEL = "elsewhere-q8_0"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, fresh_llm: None) -> None:
    """Let nobody sit at the terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


@pytest.fixture
def repo(hub: Hub, tiny_base_gguf: Path) -> Repo:
    repo = hub.repos[NAME] = Repo({"elsewhere-Q8_0.gguf": tiny_base_gguf.read_bytes()})
    return repo


def own(home: Path, model: Path) -> Path:
    """A model in our own folder."""
    path = home / ".local" / "share" / "jupyter_llm" / "models" / "mine.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(model.read_bytes())
    return path


def test_a_model_is_pulled_and_removed_again(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", NAME]) == 0
    assert f"`jupyter llm run --model {MODEL}` loads it" in capsys.readouterr().out
    path = find_model(MODEL).path
    blob = path.resolve()
    assert main(["remove", MODEL]) == 2
    assert "--yes" in capsys.readouterr().err
    assert path.exists()
    assert main(["remove", MODEL, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == [str(path)]
    assert not path.exists()
    assert not blob.exists()


def test_a_licence_is_shown_and_has_to_be_accepted(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.card = {"license": "ada-1.0"}
    repo.texts["LICENSE.md"] = "Be kind."
    assert main(["pull", NAME]) == 2
    printed = capsys.readouterr()
    assert "Be kind." in printed.out
    assert "--accept-licence" in printed.err
    assert main(["pull", NAME, "--accept-licence", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repository"] == NAME


def test_clean_deletes_what_is_kept_of_a_user_and_no_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, model = checkpoint_folder() / "state.kv", models_folder() / "mine.gguf"
    for path in (kept, model):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 2048)
    give_alias("coder", Alias("mine"))
    store().flush(30)
    with monkeypatch.context() as patch:
        patch.setattr(neighbours, "neighbours", lambda: (SimpleNamespace(pid=17),))
        assert main(["clean", "--yes"]) == 2
    assert "kernels have models loaded (process 17)" in capsys.readouterr().err
    assert store().path.exists()
    assert main(["clean"]) == 2
    assert kept.exists()
    assert main(["clean", "--yes"]) == 0
    assert f"{checkpoint_folder()} (2" in capsys.readouterr().out
    assert [path for path in (kept, store().path, model) if path.exists()] == [model]
    assert main(["clean"]) == 0


def test_without_a_question_only_a_whole_name_is_removed(
    home: Path, tiny_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own(home, tiny_gguf)
    assert main(["remove", "min", "--yes"]) == 2
    assert "the whole name: mine" in capsys.readouterr().err
    assert path.exists()
    target = path.rename(tmp_path / "theirs.gguf")
    path.symlink_to(target)
    assert main(["remove", str(path), "--yes"]) == 0
    assert (path.is_symlink(), target.exists()) == (False, True)


def test_other_files_of_a_repository_stay(repo: Repo, tiny_gguf: Path) -> None:
    repo.files["other-Q8_0.gguf"] = tiny_gguf.read_bytes()
    for which in (":other-Q8_0", ":elsewhere-Q8_0"):
        assert main(["pull", f"{NAME}{which}"]) == 0
    path, other = (find_model(name).path for name in (MODEL, "other-q8_0"))
    blob = path.resolve()
    assert main(["remove", MODEL, "--yes"]) == 0
    assert (path.exists(), blob.exists(), other.exists()) == (False, False, True)
    assert main(["remove", "other-q8_0", "--yes"]) == 0
    assert not other.parent.exists()


def test_of_two_models_with_one_name_a_path_says_which_goes(
    hub: Hub, repo: Repo, tiny_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos["bob/elsewhere-GGUF"] = Repo({"elsewhere-Q8_0.gguf": tiny_gguf.read_bytes()})
    assert main(["pull", NAME]) == 0
    assert main(["pull", "bob/elsewhere-GGUF", "--json"]) == 0
    path = Path(json.loads(capsys.readouterr().out.rpartition("loads it.")[2])["name"])
    assert path.read_bytes() == tiny_gguf.read_bytes()
    assert main(["remove", str(path), "--yes"]) == 0
    assert find_model(MODEL).path.exists()


@pytest.mark.parametrize("way", ["elsewhere", "by a linked folder", "by dots"])
def test_what_is_not_ours_is_not_deleted(
    way: str, home: Path, tiny_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs.gguf"
    theirs.write_bytes(tiny_gguf.read_bytes())
    folder = own(home, tiny_gguf).parent
    path = theirs
    if way == "by a linked folder":
        (folder / "linked").symlink_to(tmp_path)
        path = folder / "linked" / "theirs.gguf"
    elif way == "by dots":
        path = Path(f"{folder}{'/..' * len(folder.parts)}{theirs}")
    assert main(["remove", str(path), "--yes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not delete it" in line
    assert theirs.exists()
