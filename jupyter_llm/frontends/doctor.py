"""Checks this installation, and advises on each fault.

Nothing is loaded or repaired. The store is checked before other checks read it, since reading
renames a damaged one; llama.cpp is checked before a model is tried with it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from jupyter_llm._version import __version__
from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.database import store
from jupyter_llm.common.tables import human_size
from jupyter_llm.engine.local.native import installed
from jupyter_llm.engine.local.native.memory import plan_load
from jupyter_llm.engine.local.trials import model_file
from jupyter_llm.engine.naming import default_server
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.engine.project import project_of
from jupyter_llm.errors import (
    EngineError,
    JupyterLLMError,
    LabExtensionError,
    MagicUsageError,
    ModelLoadError,
    ModelNotFoundError,
    NotAllowedError,
)
from jupyter_llm.frontends.installation import NoLabError, check
from jupyter_llm.models.discover import (
    GET_A_MODEL,
    ModelEntry,
    default_model,
    list_models,
    unusable,
)
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import available_cores, free_memory, this_machine

State = Literal["ok", "note", "wrong"]
Look = tuple[State, str] | tuple[State, str, str]
"""The state, its description, and advice."""

_BUILD = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python "
_MOST = 5  # most names or reasons to show
_GPU_SIGNS = ("/dev/nvidia0", "/dev/kfd")  # NVIDIA and AMD
PANEL = Path(__file__).parent / "panel" / "static" / "chat_panel.js"
_MARKS = {"ok": "✓", "note": "·", "wrong": "✗"}


@dataclass(frozen=True, slots=True)
class Remark:
    """The result of a check: its subject, its state, and advice if there is a fault."""

    what: str
    state: State
    said: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" → {self.advice}" if self.advice else ""
        return f"- {_MARKS[self.state]} **{self.what}**: {self.said}{advice}"


@dataclass(frozen=True, slots=True)
class Diagnosis(Rich):
    """The results of all checks; shows as a list."""

    remarks: tuple[Remark, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return all(one.state != "wrong" for one in self.remarks)

    @property
    def summary(self) -> str:
        """Return the subjects with faults in one line."""
        wrong = [one.what for one in self.remarks if one.state == "wrong"]
        return f"Fix this: {', '.join(wrong)}." if wrong else "Everything works."

    def to_json(self) -> dict[str, Any]:
        """Return all results for programs."""
        findings = [asdict(one) for one in self.remarks]
        return {"version": 1, "is_healthy": self.is_healthy, "findings": findings}

    def __str__(self) -> str:
        return "\n".join([self.summary, "", *map(str, self.remarks)])


def diagnose() -> Diagnosis:
    """Run all checks; a check that fails itself is reported as a fault."""
    kept, llama = _looked("store", _store), _looked("llama.cpp", _llama)
    looks: dict[str, Callable[[], Look]] = {
        "model": lambda: _model(is_tried=llama.state != "wrong"),
        "chat panel": _panel,
        "JupyterLab": _lab,
        "kernel": _kernel,
        "trying code": _tries,
    }
    others = [_looked(what, look) for what, look in looks.items()]
    here = f"jupyter_llm {__version__}, Python {platform.python_version()} in {sys.prefix}"
    return Diagnosis((Remark("package", "ok", here), llama, kept, *others))


def _looked(what: str, look: Callable[[], Look]) -> Remark:
    try:
        return Remark(what, *look())
    except Exception as error:  # noqa: BLE001 the other checks must run
        text = str(error) if isinstance(error, JupyterLLMError) else f"the check failed: {error!r}"
        return Remark(what, "wrong", text, "Install jupyter_llm again, or report this.")


def _llama() -> Look:
    """Return llama.cpp's version, and its use of the processor and a GPU."""
    try:
        llama = installed.installed_llama()
    except EngineError as error:
        return "wrong", f"does not work. {error}", f"`{_BUILD}llama-cpp-python`"
    machine = this_machine(available_cores())
    text = f"{llama.build} in {llama.path}; {machine.cpu}, {machine.num_cores} cores"
    if llama.has_gpu:
        free = llama.gpu_bytes
        text += "; finds no GPU" if free is None else f"; uses the GPU, {human_size(free)} free"
    elif any(Path(sign).exists() for sign in _GPU_SIGNS):
        text += "; the machine has a GPU, but this build cannot use it"
        advice = f'Faster: `CMAKE_ARGS="-DGGML_CUDA=ON" {_BUILD}llama-cpp-python`'
        return "note", text, f"{advice} (AMD: `-DGGML_HIP=ON`)"
    return "ok", text


def _model(*, is_tried: bool) -> Look:
    try:
        project = project_of(Path.cwd())
        if (server := default_server(project)) is not None:
            return "ok", f"{server.name}: text is sent to {server.host}, which was not checked"
        entry = default_model(project.model)
    except NotAllowedError as error:
        return "note", str(error)
    except ModelNotFoundError as error:
        text = "Set JUPYTER_LLM_MODEL, or the project's `model`, to a model on this machine."
        return "wrong", str(error), text
    except MagicUsageError as error:
        return "wrong", str(error), "Correct that file."
    if entry is not None:
        return _usable(entry, is_tried=is_tried)
    names = [entry.name for entry in list_models()]
    if not names:
        text = " ".join(
            ["no model is on this machine", *(f"({reason})" for reason in unusable()[:_MOST])]
        )
        return "wrong", text, GET_A_MODEL
    text = f"{len(names)} models, and none is the default: {', '.join(names[:_MOST])}"
    return "note", text, "`%llm /use NAME`, or set JUPYTER_LLM_MODEL."


def _usable(entry: ModelEntry, *, is_tried: bool) -> Look:
    """Check whether a file is complete, fits into memory and can be loaded."""
    advice = "Choose another one: `%llm /models` lists them."
    try:
        file = inspect(entry.path)
        plan_load(file, EngineOptions(), free_memory())
        if is_tried:
            model_file.try_file(entry.path)
    except (ModelLoadError, OSError) as error:
        return "wrong", str(error), advice
    text = f"{entry.name}, {human_size(file.size_bytes)}, {file.quantization} ({entry.source})"
    return "ok", f"{text}; `jupyter llm verify {entry.name}` reads it whole"


def _store() -> Look:
    database = store()
    if trouble := database.trouble():
        advice = (
            "Make it readable and writable, or move it away; until then no chats are stored. A "
            "damaged file is renamed by itself, and a new one created."
        )
        return "wrong", f"{database.path}: {trouble}", advice
    size = database.path.stat().st_size if database.path.exists() else 0
    return "ok", f"{database.path}, {human_size(size)}"


def _panel() -> Look:
    if PANEL.is_file():
        return "ok", "its files are installed"
    advice = "In a clone, run `python3 dev.py build`; elsewhere, install jupyter_llm again."
    return "wrong", f"{PANEL} is missing", advice


def _lab() -> Look:
    try:
        return "ok", check()
    except NoLabError as error:
        return "note", str(error)
    except LabExtensionError as error:
        text, _, advice = str(error).partition(": ")
        return "wrong", text, advice


def _kernel() -> Look:
    try:
        installed_version = version("ipykernel")
    except PackageNotFoundError:
        return "note", "ipykernel is not installed, so no notebook can run in this environment"
    text = f"ipykernel {installed_version}"
    if int(installed_version.partition(".")[0]) < 7:  # noqa: PLR2004
        text += " has no subshells, so the chat panel waits while a cell runs"
        return "note", text, '`pip install "ipykernel>=7"`'
    return "ok", f"{text} has subshells, so you can chat while a cell runs"


def _tries() -> Look:
    if sys.platform != "linux":
        return "note", "drafts of code are not tried: this needs Linux"
    from jupyter_llm.notebook.sealed.seal import why_no_seal

    if reason := why_no_seal():
        return "note", f"drafts of code are not tried: {reason}"
    return "ok", "drafts of code are tried in a sealed copy of the kernel"
