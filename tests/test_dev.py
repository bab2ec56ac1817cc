"""dev.py does what has to be done, and nothing twice."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "dev.py").exists(), reason="Only a clone has dev.py")


@pytest.fixture
def commands() -> list[str]:
    """What dev.py called, without the paths."""
    return []


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[str]) -> ModuleType:
    """A copy of dev.py in a clone of its own, which only notes what it would call."""
    script = tmp_path / "dev.py"
    script.write_bytes((ROOT / "dev.py").read_bytes())
    spec = importlib.util.spec_from_file_location("dev_copy", script)
    assert spec is not None
    assert spec.loader is not None
    dev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dev)

    def call(*command: str) -> int:
        commands.append(" ".join(command).replace(str(tmp_path) + "/", ""))
        venv = (Path(dev.PYTHON),)
        for made in venv if "venv" in command else (dev.BUNDLE, dev.EXTENSION / "package.json"):
            made.parent.mkdir(parents=True, exist_ok=True)
            made.touch()
        (dev.FRONT_END / "node_modules").mkdir(exist_ok=True)
        return 0

    monkeypatch.setattr(dev, "call", call)
    monkeypatch.setattr(dev, "overhear", lambda *command: (call(*command), ""))
    monkeypatch.setattr(dev, "really_install", dev.install, raising=False)
    monkeypatch.setattr(dev, "install", lambda: commands.append("install"))
    for name in ("src/a.ts", "build.mjs", ".npmrc", "package.json", "package-lock.json"):
        (dev.FRONT_END / name).parent.mkdir(parents=True, exist_ok=True)
        (dev.FRONT_END / name).touch()
    (tmp_path / "pyproject.toml").touch()
    return dev


def write(name: str) -> Callable[[Path], object]:
    return lambda clone: (clone / name).write_text("changed")


def remove(name: str) -> Callable[[Path], object]:
    return lambda clone: (clone / name).unlink()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (write("labextension/package-lock.json"), ["ci", "build"]),
        (write("labextension/src/a.ts"), ["build"]),
        (write("labextension/build.mjs"), ["build"]),
        (remove("jupyter_llm/frontends/panel/static/chat_panel.js"), ["build"]),
        (remove("jupyter_llm/frontends/lab/static/package.json"), ["build"]),
        (write("pyproject.toml"), ["install"]),
        (remove(".venv/bin/python"), ["venv", "install"]),
        (remove(".venv/jupyter_llm.stamp"), ["venv", "install"]),
    ],
)
def test_only_what_has_changed_is_made_again(
    change: Callable[[Path], object], wanted: list[str], dev: ModuleType, commands: list[str]
) -> None:
    def ensure() -> list[str]:
        commands.clear()
        dev.ensure_front_end()
        dev.ensure_environment()
        return [word for line in commands for word in line.split() if word in words]

    words = ("ci", "build", "venv", "install")
    assert ensure() == list(words)
    assert ensure() == []
    change(dev.ROOT)
    assert ensure() == wanted
    assert ensure() == []


def test_what_failed_is_made_again(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "call", lambda *_: 1)
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"packages failed, see above"):
            dev.ensure_front_end()


def test_an_installation_that_fails_says_why(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev, "INSTALL", (sys.executable, "-c", "raise SystemExit('no compiler')"))
    with pytest.raises(SystemExit, match="the full log is"):
        dev.really_install()
    assert "no compiler" in capsys.readouterr().out


def test_llama_cpp_is_compiled_with_ones_own_arguments_and_without_what_is_never_loaded(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=ON")
    show = "import os; raise SystemExit(os.environ['CMAKE_ARGS'])"
    monkeypatch.setattr(dev, "INSTALL", (sys.executable, "-c", show))
    with pytest.raises(SystemExit):
        dev.really_install()
    cuda, llava, include = capsys.readouterr().out.splitlines()[-1].split()
    assert (cuda, llava) == ("-DGGML_CUDA=ON", "-DLLAVA_BUILD=OFF")
    assert Path(include.partition("=")[2]).read_text("utf-8") == "set(LLAMA_BUILD_COMMON OFF)\n"


def test_an_old_python_is_told_so(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse((ROOT / "dev.py").read_text("utf-8"), feature_version=(3, 8))
    monkeypatch.setattr(sys, "argv", ["dev.py", "test"])
    monkeypatch.setattr(sys, "version_info", (3, 8, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3.11 or newer, and this is"):
        dev.main()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("--fast -k chat", "-m pytest -n 2 -k chat"),
        ("", "-m pytest -n 2 -m not benchmark and not soak"),
        ("--soak", "-m pytest -m soak"),
    ],
)
def test_each_ring_has_its_tests(
    arguments: str,
    wanted: str,
    dev: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    commands: list[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dev.py", "test", *arguments.split()])
    monkeypatch.delenv("CI", raising=False)
    dev.main()
    assert commands[-1].endswith("python " + wanted)
    assert any("ruff" in command for command in commands) == ("--soak" not in arguments)
