"""What a wheel and an sdist hold, and that a wheel is enough: no clone, no Node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.kernel import running_kernel
from support.node_tools import run_node
from support.panel_kernel import KernelPanel
from support.paths import FRONT_END, LAB_EXTENSION, ROOT

from jupyter_llm import __version__

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "dev.py").exists(), reason="Only a clone can be packed"),
]

# Where JupyterLab looks for extensions in an environment.
LABEXTENSION = "share/jupyter/labextensions/jupyter-llm"
BUNDLE = {
    f"jupyter_llm/frontends/panel/static/{name}"
    for name in ("LICENSES.txt", "cell_page.js", "chat_panel.css", "chat_panel.js")
}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        text=True,
    ).stdout


def pack(folder: Path, *targets: str, **environment: str) -> None:
    """Build what goes into `dist/`, as any installer has it built."""
    run(sys.executable, "-m", "hatchling", "build", *targets, folder=folder, **environment)


@pytest.fixture(scope="module")
def committed() -> list[str]:
    """The files of this clone that a fresh one would have, were all committed."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", folder=ROOT)
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def clone(committed: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, packed, to which the front end's packages came from this one."""
    run_node("--version")
    clone = tmp_path_factory.mktemp("clone")
    for name in committed:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    packages = clone / FRONT_END.relative_to(ROOT) / "node_modules"
    packages.mkdir()
    for package in (FRONT_END / "node_modules").resolve().iterdir():
        if package.is_dir():
            (packages / package.name).symlink_to(package)
        else:  # what dev.py notes is the clone's own
            shutil.copy(package, packages)
    pack(clone)
    return clone


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    return next(clone.glob("dist/*.whl"))


@pytest.fixture(scope="module")
def unpacked_sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(next(clone.glob("dist/*.tar.gz"))) as packed:
        packed.extractall(folder, filter="data")
    return next(folder.iterdir())


def built(clone: Path) -> set[str]:
    """The files of the JupyterLab extension."""
    static = clone / LAB_EXTENSION.relative_to(ROOT)
    return {path.relative_to(static).as_posix() for path in static.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def no_programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which there is nothing, Node least of all."""
    return str(tmp_path_factory.mktemp("no programs"))


def test_a_wheel_holds_the_package_and_what_was_built_and_nothing_else(
    wheel: Path, clone: Path, committed: list[str]
) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    shared = {name for name in names if ".data/data/" in name}
    assert names - shared == BUNDLE | {
        name for name in committed if name.startswith("jupyter_llm/")
    }
    assert shared == {
        f"jupyter_llm-{__version__}.data/data/{LABEXTENSION}/{name}" for name in built(clone)
    }
    assert {"package.json", "install.json", "static/chat_panel.js"} <= built(clone)


def test_an_sdist_holds_the_bundle_its_sources_and_no_package_of_others(
    unpacked_sdist: Path, clone: Path, committed: list[str]
) -> None:
    files = (path for path in unpacked_sdist.rglob("*") if path.is_file())
    names = {path.relative_to(unpacked_sdist).as_posix() for path in files}
    wanted = ("jupyter_llm/", "labextension/", "tests/", "notebooks/")
    assert names >= BUNDLE | {name for name in committed if name.startswith(wanted)}
    static = LAB_EXTENSION.relative_to(ROOT).as_posix()
    assert names >= {f"{static}/{name}" for name in built(clone)}
    assert not [name for name in names if "node_modules" in name]


def test_an_sdist_becomes_the_same_wheel_without_node(
    unpacked_sdist: Path, wheel: Path, no_programs: str
) -> None:
    pack(unpacked_sdist, "--target", "wheel", PATH=no_programs)
    (again,) = unpacked_sdist.glob("dist/*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def lab_of(venv: Path) -> dict[str, str]:
    """The variables that let this environment's JupyterLab look for extensions in another one."""
    empty = str(venv / "no user")
    return {
        "JUPYTER_PATH": str(venv / "share" / "jupyter"),
        "JUPYTER_DATA_DIR": empty,
        "JUPYTER_CONFIG_DIR": empty,
    }


def test_magics_panel_and_extension_need_the_wheel_only(
    wheel: Path, tiny_gguf: Path, tmp_path: Path, no_programs: str
) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, folder=tmp_path)
    python = venv / Path(sys.executable).relative_to(sys.prefix)
    paths = {"base": str(venv), "platbase": str(venv)}
    # The libraries are those of this environment, but not the clone that was installed into it.
    ours = sysconfig.get_path("purelib")
    site_packages = Path(sysconfig.get_path("purelib", vars=paths))
    (site_packages / "libraries.pth").write_text(ours + "\n", "utf-8")
    install = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, *install, wheel, folder=tmp_path)

    listed = run(
        sys.executable, "-m", "jupyter", "labextension", "list", folder=tmp_path, **lab_of(venv)
    )
    assert re.search(rf"jupyter-llm.* v{__version__}.*enabled.*OK", listed)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home = {"HOME": str(elsewhere), "PATH": no_programs, "PYTHONPATH": ""}
    with running_kernel(
        elsewhere, python=str(python), JUPYTER_LLM_MODEL=str(tiny_gguf), **home
    ) as kernel:
        kernel.execute("import jupyter_llm\nfrom jupyter_llm import ChatPanel")
        where = kernel.execute("print(jupyter_llm.__file__)").text
        assert Path(where).is_relative_to(site_packages)
        assert kernel.execute("%load_ext jupyter_llm").error is None
        for cell in ("%llm -n 8 Hello", "%%llm -n 8\nHello"):
            answer = kernel.execute(cell)
            assert answer.error is None
            assert answer.text != ""
        panel = KernelPanel(kernel)
        assert int(kernel.execute(f"print(len({panel.name}._esm))").text) > 100_000
        panel.hello()
        panel.say("Hello")
