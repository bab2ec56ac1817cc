"""Everything a fresh clone needs, one command per verb: `python3 dev.py VERB`.

    run          play the first notebook with the real model (--lab: open it in JupyterLab)
    test         linters, types and every test but the benchmarks and the long proofs
                 (--fast: the quick tests only; --soak: the long proofs only)
    check        the linters alone, or those named
    bench        measure us beside our peers
    build        make the front end: the chat panel and the JupyterLab extension
    screenshots  take the README's pictures of a model, and record the JupyterLab extension

Each verb first makes the bundle fit its sources and `.venv` fit pyproject.toml, and is done with
that in a moment when nothing has changed. What follows a verb and is not its own option goes on
to pytest, to JupyterLab or to the script behind it. Standard library only, and it has to parse on
Python 3.8, to say that the package needs a newer one. The system is touched in one place,
`require`, and only in CI.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
INSTALL_LOG = ROOT / "build" / "install.log"
LEAN_LLAMA = ROOT / "build" / "lean_llama.cmake"
FRONT_END = ROOT / "labextension"
BUNDLE = ROOT / "jupyter_llm" / "frontends" / "panel" / "static" / "chat_panel.js"
EXTENSION = ROOT / "jupyter_llm" / "frontends" / "lab" / "static"
NOTEBOOKS = sorted(str(path) for path in (ROOT / "notebooks").glob("*.ipynb"))

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
UV = shutil.which("uv")
MAKE_VENV = (
    (UV, "venv", "--quiet", "--seed", "--clear", f"--python={sys.executable}")
    if UV
    else (sys.executable, "-m", "venv", "--clear", "--upgrade-deps")
)
# Dependency groups came with pip 25.1.
INSTALL = (UV, "pip", "install", f"--python={PYTHON}") if UV else (PYTHON, "-m", "pip", "install")
# On Windows npm is a script, which has to be called by its whole name.
NPM = (shutil.which("npm") or "npm", "--prefix", str(FRONT_END))

CHECKS = {
    "ruff": (PYTHON, "-m", "ruff", "check"),
    "format": (PYTHON, "-m", "ruff", "format", "--check"),
    "mypy": (PYTHON, "-m", "mypy"),
    "codespell": (PYTHON, "-m", "codespell_lib"),
    # Notebooks are committed without outputs.
    "nbstripout": (PYTHON, "-m", "nbstripout", "--verify", "--keep-id", *NOTEBOOKS),
    "front-end": (*NPM, "run", "--silent", "lint"),
}

# Tests start hundreds of kernels: what is compiled is kept, whatever the shell says of that.
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


def call(*command: str) -> int:
    """Run a command in the root folder and return its exit status.

    Ctrl-C reaches the command as well. It is waited for, so that JupyterLab can ask and pytest
    can stop the servers that its tests started.
    """
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def overhear(*command: str) -> tuple[int, str]:
    """Run a command beside others; return its exit status and what it has said."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def must(what: str, *command: str) -> None:
    """Run a command that all else stands on."""
    print(what, flush=True)
    if call(*command):
        sys.exit(f"dev.py: {what} failed, see above")


# The system


def require(is_there: Callable[[], object], complaint: str, *packages: str) -> None:
    """Give up if the system lacks something; a CI machine is given it first."""
    if not is_there() and may_install():
        print("Installing", *packages, flush=True)
        apt_get = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
        for verb in ("update",), ("install", "--yes", "--no-install-recommends", *packages):
            subprocess.run((*apt_get, *verb), stdout=subprocess.DEVNULL, check=False)
    if not is_there():
        sys.exit(f"dev.py: {complaint}. On Debian: apt install {' '.join(packages)}")


def may_install() -> bool:
    """Tell whether this is a CI machine that we may change: as root, with apt."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return bool(os.environ.get("CI")) and is_root and shutil.which("apt-get") is not None


def has_node() -> bool:
    """Tell whether Node is new enough, and npm there: Debian packs them apart."""
    if not all(map(shutil.which, ("node", "npm"))):
        return False
    said = subprocess.run(("node", "--version"), stdout=subprocess.PIPE, check=False).stdout
    version = re.match(rb"v(\d+)\.", said)
    return version is not None and int(version[1]) >= OLDEST_NODE


# What every verb finds up to date


def digest(*paths: Path) -> str:
    """Return a hash over names and contents of files."""
    files = (f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes() for path in paths)
    return hashlib.sha256(b"".join(files)).hexdigest()


def read_stamp(stamp: Path) -> list[str]:
    """Return what something was last made from, a line for each step of making it."""
    return stamp.read_text("utf-8").splitlines() if stamp.exists() else []


def ensure_front_end() -> None:
    """Install the front end's packages and bundle it, unless that is done and up to date."""
    packages = [FRONT_END / name for name in (".npmrc", "package.json", "package-lock.json")]
    places = [FRONT_END / "src", FRONT_END / "schema"]
    sources = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    sources += sorted(FRONT_END.glob("tsconfig*.json"))
    # Some packages are programs for one kind of machine.
    packages_key = f"{sys.platform} {platform.machine()} {digest(*packages)}"
    keys = [packages_key, digest(FRONT_END / "build.mjs", *sources)]
    stamp = FRONT_END / "node_modules" / "jupyter_llm.stamp"
    found = read_stamp(stamp)
    if found == keys and BUNDLE.exists() and (EXTENSION / "package.json").exists():
        return
    complaint = f"Building the front end needs Node {OLDEST_NODE} or newer and npm on the path"
    require(has_node, complaint, "nodejs", "npm")
    stamp.unlink(missing_ok=True)
    if found[:1] != keys[:1]:
        # The lock says exactly what is installed; scripts of packages do not run (see .npmrc).
        must("Installing the front end's packages", *NPM, "ci", "--loglevel=error")
    must("Building the front end", *NPM, "run", "--silent", "build")
    stamp.write_text("\n".join(keys), "utf-8")


def ensure_environment() -> None:
    """Make `.venv` and install the package into it, unless it is there and up to date.

    A venv cannot be moved and holds one Python, so a change of the first key means a new one. A
    change of the second only means another installation.
    """
    python_key = f"{platform.python_implementation()} {platform.python_version()} {ROOT}"
    keys = [python_key, digest(ROOT / "pyproject.toml")]
    stamp = VENV / "jupyter_llm.stamp"
    found = read_stamp(stamp) if Path(PYTHON).exists() else []
    if found == keys:
        return
    stamp.unlink(missing_ok=True)
    if found[:1] != keys[:1]:
        if not UV:
            package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
            complaint = "This Python cannot make virtual environments"
            # Debian ships Python without ensurepip.
            require(lambda: importlib.util.find_spec("ensurepip"), complaint, package)
        must("Creating .venv", *MAKE_VENV, str(VENV))
    install()
    link_extension()
    stamp.write_text("\n".join(keys), "utf-8")


def install() -> None:
    """Install everything. The full output goes to a log, and what is compiled is counted."""
    print("Installing into .venv; to compile llama.cpp, once, takes 3 to 5 minutes", flush=True)
    began = time.monotonic()
    tenths = 0
    INSTALL_LOG.parent.mkdir(exist_ok=True)
    process = subprocess.Popen(
        (*INSTALL, "--verbose", "--editable", ".[smollm2,lab]", "--group", "dev"),
        cwd=ROOT,
        env={**os.environ, "CMAKE_ARGS": lean_llama_arguments()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process, INSTALL_LOG.open("wb") as log:
        assert process.stdout is not None  # it was asked for as a pipe
        for line in process.stdout:
            log.write(line)
            ninja = re.search(rb"\[(\d+)/(\d+)\] ", line)
            if ninja and int(ninja[1]) * 10 // int(ninja[2]) > tenths:
                tenths += 1
                print(f"Compiling llama.cpp: {tenths}0 %", flush=True)
    if process.returncode:
        print(*INSTALL_LOG.read_text("utf-8", "replace").splitlines()[-40:], sep="\n", flush=True)
        sys.exit(f"dev.py: Installing failed; the full log is {INSTALL_LOG.relative_to(ROOT)}")
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)


def lean_llama_arguments() -> str:
    """Return CMake's arguments for a llama.cpp of the two libraries that we load.

    llama-cpp-python also compiles the libraries of llama.cpp's tools: 104 of 178 files. It switches
    `common` on in CMake's cache, which only a variable set behind its `project` line overrides.
    """
    given = os.environ.get("CMAKE_ARGS", "")
    if " " in str(LEAN_LLAMA):  # it would be two arguments
        return given
    LEAN_LLAMA.write_text("set(LLAMA_BUILD_COMMON OFF)\n", "utf-8")
    return f"{given} -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama_cpp_INCLUDE={LEAN_LLAMA.as_posix()}"


def link_extension() -> None:
    """Let JupyterLab read the extension where it is built; pip has installed a copy of it."""
    installed = VENV / "share" / "jupyter" / "labextensions" / "jupyter-llm"
    shutil.rmtree(installed, ignore_errors=True)
    try:
        installed.unlink(missing_ok=True)
        installed.parent.mkdir(parents=True, exist_ok=True)
        installed.symlink_to(EXTENSION, target_is_directory=True)
    except OSError:  # Windows, where links are not for everybody
        shutil.copytree(EXTENSION, installed)


def say_what_is_built(_: argparse.Namespace) -> None:
    """Name what the front end is made of, when it is up to date."""
    for path in (BUNDLE.parent, EXTENSION):
        print(f"{path.relative_to(ROOT).as_posix()} is up to date", flush=True)


# The verbs


def run(options: argparse.Namespace) -> int:
    """Play the first notebook in the terminal, or open it in JupyterLab on loopback."""
    player = ("-m", "jupyterlab", "--ServerApp.ip=127.0.0.1") if options.lab else ("tests/play.py",)
    return call(PYTHON, *player, NOTEBOOKS[0], *options.more)


def test(options: argparse.Namespace) -> int:
    """Run one ring of the tests; pytest comes last, so that its closing line ends the output."""
    if not options.fast and may_install():
        complaint = "The browser tests need Chromium"
        # It draws nothing without fonts, and models like emoji.
        packages = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")
        require(lambda: shutil.which("chromium"), complaint, *packages)
    # Two processes, since much of the time kernels and browsers are waited for. A soak runs alone:
    # its proofs are large, and some are of what is beside them.
    ring = ["-n", "2"] if options.fast else ["-n", "2", "-m", "not benchmark and not soak"]
    ring = ["-m", "soak"] if options.soak else ring
    rows = [] if options.soak else run_checks(CHECKS)
    print("\n== pytest", flush=True)
    began = time.monotonic()
    status = call(PYTHON, "-m", "pytest", *ring, *options.more)
    return sum_up([*rows, ("pytest", status, time.monotonic() - began)])


def check(options: argparse.Namespace) -> int:
    """Run the linters that were named, or all."""
    if unknown := sorted(set(options.more) - CHECKS.keys()):
        sys.exit(f"dev.py: No check called {unknown[0]}; there are {', '.join(CHECKS)}")
    return sum_up(run_checks(options.more or CHECKS))


def run_checks(names: Iterable[str]) -> list[tuple[str, int, float]]:
    """Run linters side by side, and show what each has said in one piece.

    Returns their names, with how each ended and how long it took.
    """

    def run_check(name: str) -> tuple[tuple[str, int, float], str]:
        began = time.monotonic()
        status, said = overhear(*CHECKS[name])
        return (name, status, time.monotonic() - began), said

    rows = []
    with ThreadPoolExecutor() as pool:
        for row, said in pool.map(run_check, names):
            print(f"\n== {row[0]}\n{said}", end="", flush=True)
            rows.append(row)
    return rows


def sum_up(rows: Iterable[tuple[str, int, float]]) -> int:
    """Say how each step went. Return 1 if any failed."""
    print()
    for name, status, duration_s in rows:
        print(f"{name:12}{'FAILED' if status else 'ok':8}{duration_s:6.1f} s", flush=True)
    return int(any(status for _, status, _ in rows))


VERBS: Mapping[str, Callable[[argparse.Namespace], int | None]] = {
    "run": run,
    "test": test,
    "check": check,
    "bench": lambda options: call(PYTHON, "tests/benchmarks/side_by_side.py", *options.more),
    "build": say_what_is_built,
    "screenshots": lambda options: call(PYTHON, "tests/screenshots.py", *options.more),
}


def main() -> int | None:
    """Run one verb; return the exit status."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--lab", action="store_true", help="run: open JupyterLab")
    parser.add_argument("--fast", action="store_true", help="test: the quick tests only")
    parser.add_argument("--soak", action="store_true", help="test: the long proofs only")
    options, more = parser.parse_known_args()
    options.more = more
    if sys.version_info < OLDEST_PYTHON:
        found = platform.python_version()
        sys.exit(f"dev.py: jupyter_llm needs Python 3.11 or newer, and this is {found}")
    try:
        ensure_front_end()  # before the package is installed, which needs the bundle
        if options.verb != "build":
            ensure_environment()
        return VERBS[options.verb](options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
