"""Everything a fresh clone needs, one command per verb: `python3 dev.py VERB`.

    run          play the first notebook with the real model (--lab: open it in JupyterLab)
    test         linters, types and every test but the benchmarks (--fast: the quick tests only)
    check        the linters alone, or those named
    bench        measure us beside our peers
    build        make the front end's bundle, and nothing else
    screenshots  take the README's pictures of the chat panel

Each verb first makes the bundle fit its sources and `.venv` fit pyproject.toml, and is done with
that in a moment when nothing has changed. What follows a verb and is not its own option goes on
to pytest, to JupyterLab or to the script behind it. Standard library only, and it has to parse on
Python 3.8, to say that the package needs a newer one. The system is touched in one place,
`install_system_packages`, and only in CI.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
STAMP = VENV / "jupyter_llm.stamp"
INSTALL_LOG = ROOT / "build" / "install.log"
FRONT_END = ROOT / "labextension"
BUNDLE = ROOT / "jupyter_llm" / "frontends" / "panel" / "static" / "chat_panel.js"
FRONT_END_STAMP = FRONT_END / "node_modules" / "jupyter_llm.stamp"
FIRST_NOTEBOOK = ROOT / "notebooks" / "01_first_prompt.ipynb"

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
# On Windows npm is a script, which has to be called by its whole name.
NPM = (shutil.which("npm") or "npm", "--prefix", str(FRONT_END))
# `pip install --group` came with 25.1; a new venv holds whatever pip its Python was released with.
PIP = "pip>=25.1"
REQUIREMENTS = ("--editable", ".[smollm2,lab]", "--group", "dev")
# Chromium draws nothing without fonts, and models like emoji.
CHROMIUM_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")

CHECKS = {
    "ruff": (PYTHON, "-m", "ruff", "check"),
    "format": (PYTHON, "-m", "ruff", "format", "--check"),
    "mypy": (PYTHON, "-m", "mypy"),
    "codespell": (PYTHON, "-m", "codespell_lib"),
    # Notebooks are committed without outputs.
    "nbstripout": (
        PYTHON,
        *("-m", "nbstripout", "--verify", "--keep-id"),
        *(str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))),
    ),
    "front-end": (*NPM, "run", "--silent", "lint"),
}


class DevError(Exception):
    """Something the person at the keyboard has to know; printed as one line."""


def call(*command: str) -> int:
    """Run a command in the root folder and return its exit status.

    Ctrl-C reaches the command as well. It is waited for, so that JupyterLab can ask and pytest
    can stop the servers that its tests started.
    """
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


# The environment


def check_python() -> None:
    """Say in one line that this Python is too old."""
    if sys.version_info < OLDEST_PYTHON:
        version = platform.python_version()
        raise DevError(f"jupyter_llm needs Python 3.11 or newer, and this is {version}")


def ensure_environment() -> None:
    """Make `.venv` and install the package into it, unless it is there and up to date."""
    python_key, requirements_key = environment_keys()
    found = STAMP.read_text("utf-8").splitlines() if STAMP.exists() else []
    if found == [python_key, requirements_key] and Path(PYTHON).exists():
        return
    if found[:1] != [python_key] or not Path(PYTHON).exists():
        create_venv()
    STAMP.unlink(missing_ok=True)
    pip_install()
    STAMP.write_text(f"{python_key}\n{requirements_key}\n", "utf-8")


def environment_keys() -> tuple[str, str]:
    """Return what a venv is bound to, and what was installed into it.

    A venv cannot be moved and holds one Python, so a change of the first key means a new one. A
    change of the second only means another `pip install`.
    """
    python_key = f"{platform.python_implementation()} {platform.python_version()} {ROOT}"
    return python_key, hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def create_venv() -> None:
    """Make an empty `.venv` with a pip that knows dependency groups."""
    if not can_make_venvs():
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if may_install_system_packages():
            install_system_packages(package)
            importlib.invalidate_caches()
        if not can_make_venvs():
            raise DevError(
                f"This Python cannot make virtual environments. On Debian: apt install {package}"
            )
    print("Creating .venv", flush=True)
    if call(sys.executable, "-m", "venv", "--clear", str(VENV)):
        raise DevError("The virtual environment could not be made, see above")
    if call(PYTHON, "-m", "pip", "install", "--quiet", "--upgrade", PIP):
        raise DevError("pip could not be upgraded, see above")


def can_make_venvs() -> bool:
    """Tell whether both modules are there: Debian ships Python without ensurepip."""
    return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))


def pip_install() -> None:
    """Install everything, show how far it is, and keep pip's full output in a log."""
    print(
        "Installing into .venv. The first time, llama.cpp is compiled, which takes 5 to 8 minutes\n"
        "on two cores. Later installs take the built wheel from pip's own cache.",
        flush=True,
    )
    began = time.monotonic()
    INSTALL_LOG.parent.mkdir(exist_ok=True)
    with INSTALL_LOG.open("w", encoding="utf-8") as log:
        status = follow_pip(log)
    if status:
        print(*INSTALL_LOG.read_text("utf-8").splitlines()[-40:], sep="\n", flush=True)
        raise DevError(f"The installation failed; the full log is {INSTALL_LOG.relative_to(ROOT)}")
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)


def follow_pip(log: TextIO) -> int:
    """Run pip with its output going to the log and to the progress line; return its status."""
    process = subprocess.Popen(
        (PYTHON, "-m", "pip", "install", "--verbose", *REQUIREMENTS),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None  # it was asked for as a pipe
    progress = InstallProgress(sys.stdout)
    with process:
        for line in process.stdout:
            log.write(line)
            progress.show(line)
    progress.end()
    return process.returncode


class InstallProgress:
    """Turns pip's verbose output into progress.

    A terminal gets one line that changes; anything else (a CI log) gets a line for each tenth of
    the compilation, told from ninja's `[123/193]`.
    """

    NINJA = re.compile(r"\s*\[(\d+)/(\d+)\] ")
    STAGE = re.compile(r"\s*((?:Collecting|Downloading|Using cached|Building wheel for) \S+)")

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._tenths = 0

    def show(self, line: str) -> None:
        """Show what one line of pip's output tells, if anything."""
        if match := self.NINJA.match(line):
            done, total = int(match[1]), int(match[2])
            self._show_compiled(done, total)
        elif self._is_terminal and (match := self.STAGE.match(line)):
            self._rewrite(match[1])

    def end(self) -> None:
        """Leave a clean line behind."""
        if self._is_terminal:
            self._rewrite("")

    def _show_compiled(self, done: int, total: int) -> None:
        message = f"Compiling llama.cpp: {done} of {total} files"
        tenths = done * 10 // total
        if self._is_terminal:
            self._rewrite(message)
        elif tenths > self._tenths:
            self._tenths = tenths
            print(message, file=self._out, flush=True)

    def _rewrite(self, message: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        self._out.write("\r" + message[:columns].ljust(columns) + ("" if message else "\r"))
        self._out.flush()


# The front end


def ensure_front_end() -> None:
    """Install the front end's packages and bundle it, unless that is done and up to date."""
    packages_key, sources_key = front_end_keys()
    stamp = FRONT_END_STAMP
    found = stamp.read_text("utf-8").splitlines() if stamp.exists() else []
    if found == [packages_key, sources_key] and BUNDLE.exists():
        return
    check_node()
    stamp.unlink(missing_ok=True)
    print("Building the front end", flush=True)
    # The lock says exactly what is installed; scripts of packages do not run (see .npmrc).
    if found[:1] != [packages_key] and call(*NPM, "ci", "--loglevel=error"):
        raise DevError("The front end's packages could not be installed, see above")
    if call(*NPM, "run", "--silent", "build"):
        raise DevError("The front end could not be built, see above")
    stamp.write_text(f"{packages_key}\n{sources_key}\n", "utf-8")


def front_end_keys() -> tuple[str, str]:
    """Return what node_modules was installed from, and what the bundle was made of."""
    lock = [FRONT_END / name for name in (".npmrc", "package.json", "package-lock.json")]
    sources = [path for path in sorted((FRONT_END / "src").rglob("*")) if path.is_file()]
    # Some packages are programs for one kind of machine.
    packages_key = f"{sys.platform} {platform.machine()} {digest(lock)}"
    return packages_key, digest([*lock, FRONT_END / "build.mjs", *sources])


def digest(paths: Sequence[Path]) -> str:
    """Return a hash over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(FRONT_END).as_posix()} {content}\n".encode())
    return total.hexdigest()


def check_node() -> None:
    """Say in one line that Node is missing or too old; a CI machine gets it first."""
    if not has_node() and may_install_system_packages():
        install_system_packages("nodejs", "npm")
    hint = "On Debian: apt install nodejs npm"
    if not has_node():
        raise DevError(f"Building the front end needs Node and npm on the path. {hint}")
    node = str(shutil.which("node"))
    version = subprocess.run((node, "--version"), stdout=subprocess.PIPE, check=False).stdout
    match = re.match(r"v(\d+)\.", version.decode())
    if match is None or int(match[1]) < OLDEST_NODE:
        found = version.decode().strip() or "broken"
        raise DevError(
            f"Building the front end needs Node {OLDEST_NODE} or newer, and this is {found}"
        )


def has_node() -> bool:
    """Tell whether Node and its package manager are there: Debian packs them apart."""
    return all(map(shutil.which, ("node", "npm")))


# The system: CI machines only


def may_install_system_packages() -> bool:
    """Tell whether this is a CI machine that we may change: as root, with apt."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return bool(os.environ.get("CI")) and is_root and shutil.which("apt-get") is not None


def install_system_packages(*packages: str) -> None:
    """Install Debian packages. What fails is on stderr, and missed by whoever needs the package."""
    print("Installing", *packages, flush=True)
    apt_get = shutil.which("apt-get") or "apt-get"
    environment = {"DEBIAN_FRONTEND": "noninteractive", **os.environ}
    for command in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
        subprocess.run((apt_get, *command), stdout=subprocess.DEVNULL, env=environment, check=False)


# The verbs


def run_steps(steps: Mapping[str, Sequence[str]]) -> int:
    """Run every step, whatever the ones before it came to, and sum up. Return 1 if any failed."""
    rows = []
    for name, command in steps.items():
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        status = call(*command)
        rows.append((name, "FAILED" if status else "ok", time.monotonic() - began))
    print()
    for name, outcome, duration_s in rows:
        print(f"{name:12}{outcome:8}{duration_s:6.1f} s", flush=True)
    return int(any(outcome == "FAILED" for _, outcome, _ in rows))


def check(options: argparse.Namespace) -> int:
    """Run the linters that were named, or all."""
    if unknown := sorted(set(options.more) - CHECKS.keys()):
        raise DevError(f"No check called {unknown[0]}; there are {', '.join(CHECKS)}")
    return run_steps({name: CHECKS[name] for name in options.more or CHECKS})


def test(options: argparse.Namespace) -> int:
    """Run linters and tests; pytest comes last, so that its closing line ends the output."""
    if not options.fast and not shutil.which("chromium") and may_install_system_packages():
        install_system_packages(*CHROMIUM_PACKAGES)
    marks = () if options.fast else ("-m", "not benchmark")
    return run_steps({**CHECKS, "pytest": (PYTHON, "-m", "pytest", *marks, *options.more)})


def bench(options: argparse.Namespace) -> int:
    """Run the benchmark beside our peers."""
    return call(PYTHON, str(Path("tests", "benchmarks", "side_by_side.py")), *options.more)


def build(options: argparse.Namespace) -> int:  # noqa: ARG001 - a verb, as the others
    """Say where the bundle is: it was made before any verb began."""
    print(f"{BUNDLE.relative_to(ROOT)} is up to date", flush=True)
    return 0


def screenshots(options: argparse.Namespace) -> int:
    """Take the pictures of the chat panel, in JupyterLab's two themes."""
    return call(PYTHON, str(Path("tests", "screenshots.py")), *options.more)


def run(options: argparse.Namespace) -> int:
    """Play the first notebook in the terminal, or open it in JupyterLab on loopback."""
    if options.lab:
        server = ("-m", "jupyterlab", "--ServerApp.ip=127.0.0.1")
        return call(PYTHON, *server, str(FIRST_NOTEBOOK), *options.more)
    # nbclient lives in .venv, and this process may be any Python.
    return call(PYTHON, "-c", "import dev; raise SystemExit(dev.play(dev.FIRST_NOTEBOOK))")


# Playing a notebook in the terminal (inside .venv)


def play(path: Path) -> int:
    """Execute a notebook and print each cell and what it gave. Return 1 if a cell failed."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # ipykernel warns of loopback TCP at every start
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            mark = "> " if cell.cell_type == "code" else ""
            print("\n" + "\n".join(mark + line for line in cell.source.splitlines()), flush=True)
            status = 0
            try:
                client.execute_cell(cell, index)
            except CellExecutionError:
                status = 1
            for output in cell.get("outputs", []):
                print(output_text(output), flush=True)
            if status:
                return status
    return 0


def output_text(output: Mapping[str, Any]) -> str:
    """Return an output as text: the Markdown that the model wrote rather than its repr."""
    if output["output_type"] == "stream":
        return str(output["text"]).rstrip("\n")
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    data = output["data"]
    return str(data.get("text/markdown", data.get("text/plain", "")))


VERBS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "test": test,
    "check": check,
    "bench": bench,
    "build": build,
    "screenshots": screenshots,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `more` holds what is meant for the command behind the verb."""
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--lab", action="store_true", help="run: open JupyterLab")
    parser.add_argument("--fast", action="store_true", help="test: the quick tests only")
    options, more = parser.parse_known_args(arguments)
    options.more = more
    return options


def main() -> int:
    """Run one verb; return the exit status."""
    options = parse(sys.argv[1:])
    try:
        check_python()
        ensure_front_end()  # before the package is installed, which needs the bundle
        if options.verb != "build":
            ensure_environment()
        return VERBS[options.verb](options)
    except DevError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
