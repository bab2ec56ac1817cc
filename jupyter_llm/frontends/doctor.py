"""What is right and wrong with this installation, and what to do about it.

Nothing is loaded here, and nothing mended. The store is looked at before the other looks read it,
since that sets a damaged one aside, and llama.cpp before a model is tried with it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jupyter_llm._version import __version__
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import count_of, human_size, markdown_table
from jupyter_llm.errors import (
    EngineError,
    JupyterLLMError,
    LabExtensionError,
    MagicUsageError,
    ModelLoadError,
    ModelNotFoundError,
)

if TYPE_CHECKING:
    from jupyter_llm.engine.local.installed import Installed
    from jupyter_llm.models.discover import ModelEntry

State = Literal["ok", "note", "wrong"]

_BUILD = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python "
_SCARCE_BYTES = 1 << 30
_SOON_READ_BYTES = 1 << 30
_NEWEST_KERNEL = 7  # ipykernel from here on has subshells
_MOST = 5  # names, or reasons
_GPU_SIGNS = ("/dev/nvidia0", "/dev/kfd")  # of NVIDIA and AMD
_PANEL = Path(__file__).parent / "panel" / "static" / "chat_panel.js"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do where it is not well."""

    what: str
    state: State
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found; shows as a table."""

    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong; notes are no harm."""
        return all(finding.state != "wrong" for finding in self.findings)

    @property
    def summary(self) -> str:
        """What to do, or that there is nothing."""
        wrong = [finding.what for finding in self.findings if finding.state == "wrong"]
        return f"To be put right: {', '.join(wrong)}." if wrong else "All is well."

    def to_json(self) -> dict[str, Any]:
        """All of it for programs."""
        findings = [asdict(finding) for finding in self.findings]
        return {"version": 1, "is_healthy": self.is_healthy, "findings": findings}

    def __str__(self) -> str:
        rows = [(_MARKS[f.state], f.what, f.said, f.advice) for f in self.findings]
        return f"{self.summary}\n\n{markdown_table(('', '', 'found', 'what to do'), rows)}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(str(self))


_MARKS = {"ok": "✓", "note": "·", "wrong": "✗"}


def diagnose() -> Diagnosis:
    """Look at everything. What cannot be looked at is told like anything else that is wrong."""
    store = _looked("store", _store)
    llama: list[Installed] = []
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("package", _package),
        ("llama.cpp", lambda: _llama(llama)),
        ("processor", lambda: _processor(llama)),
        ("GPU", lambda: _gpu(llama)),
        ("memory", _memory),
        ("model", lambda: _model(llama)),
    )
    others = (
        ("chat panel", _panel),
        ("JupyterLab", _lab),
        ("kernel", _kernel),
        ("trying code", _tries),
    )
    found = [_looked(*look) for look in looks]
    return Diagnosis((*found, store, *(_looked(*look) for look in others)))


def _looked(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  whatever it is, the other looks matter
        said = str(error) if isinstance(error, JupyterLLMError) else f"cannot be told: {error!r}"
        return Finding(what, "wrong", said, "Install jupyter_llm again, or report this.")


def _package() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    said = f"jupyter_llm {__version__}, Python {platform.python_version()} in {sys.prefix}"
    try:
        installed = version("jupyter-llm")
    except PackageNotFoundError:
        installed = __version__  # a folder on the path
    if installed != __version__:
        said = f"the code is jupyter_llm {__version__}, and {installed} is installed"
        return Finding("package", "wrong", said, "Restart the kernel, or install it again.")
    if unmet := list(_unmet()):
        said = f"{said}; but {'; '.join(what for what, _ in unmet)}"
        needed = " ".join(f'"{requirement}"' for _, requirement in unmet)
        return Finding("package", "wrong", said, f"`pip install {needed}`")
    return Finding("package", "ok", said)


def _unmet() -> Iterator[tuple[str, str]]:
    """Yield which packages that we need are missing or of another version, and what we need."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        needed = [Requirement(text) for text in requires("jupyter-llm") or ()]
    except PackageNotFoundError:
        return
    for one in needed:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{one.name}{one.specifier}"
        try:
            found = version(one.name)
        except PackageNotFoundError:
            yield f"{one.name} is missing", wanted
        else:
            if not one.specifier.contains(found, prereleases=True):
                yield f"{one.name} is {found}", wanted


def _llama(found: list[Installed]) -> Finding:
    from jupyter_llm.engine.local.installed import installed_llama

    try:
        llama = installed_llama()
    except EngineError as error:
        return Finding(
            "llama.cpp", "wrong", f"does not work. {error}", f"`{_BUILD}llama-cpp-python`"
        )
    found.append(llama)
    return Finding("llama.cpp", "ok", f"{llama.build} in {llama.path}")


_UNKNOWN = "cannot be told, since llama.cpp does not work"


def _processor(found: list[Installed]) -> Finding:
    from jupyter_llm.models.machine import available_cores, this_machine

    machine = this_machine(available_cores())
    if not found:
        return Finding("processor", "note", _UNKNOWN)
    said = f"{machine.cpu}, {machine.num_cores} cores; used: {' '.join(found[0].used)}"
    if unused := found[0].unused(machine.features):
        said += f"; not used: {' '.join(unused)}"
        advice = f'Faster: `CMAKE_ARGS="-DGGML_NATIVE=ON" {_BUILD}llama-cpp-python`'
        return Finding("processor", "note", said, advice)
    return Finding("processor", "ok", said)


def _gpu(found: list[Installed]) -> Finding:
    if not found:
        return Finding("GPU", "note", _UNKNOWN)
    if found[0].has_gpu and found[0].gpu_bytes is not None:
        return Finding("GPU", "ok", f"used, {human_size(found[0].gpu_bytes)} free")
    if found[0].has_gpu:
        return Finding("GPU", "note", "this build can use one, and finds none")
    if any(Path(sign).exists() for sign in _GPU_SIGNS):
        said = "there is one, and this build of llama.cpp is for the processor alone"
        advice = f'`CMAKE_ARGS="-DGGML_CUDA=ON" {_BUILD}llama-cpp-python` (AMD: `-DGGML_HIP=ON`)'
        return Finding("GPU", "note", said, advice)
    return Finding("GPU", "ok", "none, and none is needed")


def _memory() -> Finding:
    import psutil

    from jupyter_llm.models.machine import free_memory

    free, whole = free_memory().ram_bytes, psutil.virtual_memory().total
    said = f"{human_size(free)} of {human_size(whole)} can be used"
    if free < _SCARCE_BYTES:
        return Finding("memory", "note", said, "End other kernels and programs for larger models.")
    return Finding("memory", "ok", said)


def _model(found: list[Installed]) -> Finding:
    from jupyter_llm.engine.project import project_of
    from jupyter_llm.models.discover import HOW_TO_GET_ONE, default_model, list_models, unusable

    try:
        entry = default_model(project_of(Path.cwd()).model)
    except ModelNotFoundError as error:
        said = "Set JUPYTER_LLM_MODEL, or the project's `model`, to one there is."
        return Finding("model", "wrong", str(error), said)
    except MagicUsageError as error:
        return Finding("model", "wrong", str(error), "Mend that file.")
    if entry is not None:
        return _usable(entry, is_tried=bool(found))
    names = [entry.name for entry in list_models()]
    if not names:
        said = " ".join(["there is none", *(f"({reason})" for reason in unusable()[:_MOST])])
        return Finding("model", "wrong", said, HOW_TO_GET_ONE)
    said = f"{len(names)} models, and none is chosen: {', '.join(names[:_MOST])}"
    return Finding("model", "note", said, "`%llm /use NAME`, or set JUPYTER_LLM_MODEL.")


def _usable(entry: ModelEntry, *, is_tried: bool) -> Finding:
    """Whether a file is whole, the one that came, fits into memory and can be loaded."""
    from jupyter_llm.engine.local.memory import plan_load
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.models.fingerprint import check_promise, known_sha256
    from jupyter_llm.models.inspect import inspect
    from jupyter_llm.models.machine import free_memory

    advice = "Choose another one: `%llm /models` lists them."
    try:
        file = inspect(entry.path)
        is_read = file.size_bytes < _SOON_READ_BYTES or known_sha256(entry.path) is not None
        if is_read:
            check_promise(entry.path)
        plan_load(file, EngineOptions(), free_memory(), num_sequences=1)
        if is_tried:
            from jupyter_llm.engine.local.trial import try_file

            try_file(entry.path)
    except (ModelLoadError, OSError) as error:
        return Finding("model", "wrong", str(error), advice)
    said = f"{entry.name}, {human_size(file.size_bytes)}, {file.quantization} ({entry.source})"
    said += "" if is_read else f"; not read whole: `jupyter llm verify {entry.name}` does"
    return Finding("model", "ok", said)


def _store() -> Finding:
    from jupyter_llm.common.database import store

    database = store()
    if trouble := database.trouble():
        advice = (
            "Make it readable and writable, or move it away; chats are not kept meanwhile. One "
            "that is damaged is set aside by itself, under another name, and a new one begun."
        )
        return Finding("store", "wrong", f"{database.path}: {trouble}", advice)
    size = database.path.stat().st_size if database.path.exists() else 0
    said = f"{database.path}, {human_size(size)}"
    names = f"{database.path.stem}.damaged-*{database.path.suffix}"
    if aside := list(database.path.parent.glob(names)):
        said += f"; beside it {count_of(len(aside), 'file')} of damaged ones"
        return Finding("store", "note", said, "Delete these once you need nothing of them.")
    return Finding("store", "ok", said)


def _panel() -> Finding:
    if _PANEL.is_file():
        return Finding("chat panel", "ok", "its files are there")
    advice = "In a clone: `python3 dev.py build`. Else install jupyter_llm again."
    return Finding("chat panel", "wrong", f"{_PANEL} is missing", advice)


def _lab() -> Finding:
    from jupyter_llm.frontends.installation import NoLabError, check

    try:
        return Finding("JupyterLab", "ok", check())
    except NoLabError as error:
        return Finding("JupyterLab", "note", str(error))
    except LabExtensionError as error:
        said, _, advice = str(error).partition(": ")
        return Finding("JupyterLab", "wrong", said, advice)


def _kernel() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("ipykernel")
    except PackageNotFoundError:
        return Finding("kernel", "note", "ipykernel is not installed: no notebook runs here")
    said = f"ipykernel {found}"
    if int(found.partition(".")[0]) < _NEWEST_KERNEL:
        said += " has no subshells, so the chat panel waits while a cell runs"
        return Finding("kernel", "note", said, '`pip install "ipykernel>=7"`')
    return Finding("kernel", "ok", f"{said} has subshells: one may chat while a cell runs")


def _tries() -> Finding:
    if sys.platform != "linux":
        return Finding("trying code", "note", "drafts of code are not tried: that takes Linux")
    from jupyter_llm.notebook.sealed.seal import why_no_seal

    if reason := why_no_seal():
        return Finding("trying code", "note", f"drafts of code are not tried: {reason}")
    return Finding("trying code", "ok", "drafts of code are tried in a sealed copy of the kernel")
