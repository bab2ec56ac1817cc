"""`/tune`: has a model file measured in a process of its own, and keeps what was found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from jupyter_llm.common.child import start_child
from jupyter_llm.common.packing import converted
from jupyter_llm.engine.tuning.figures import (
    NEAR_LOSSLESS,
    Figure,
    Tuning,
    check_room,
    copy_candidates,
    keep_copy,
    load_tuning,
    save_tuning,
    tuned_folder,
)
from jupyter_llm.engine.tuning.report import TuneReport
from jupyter_llm.engine.tuning.search import Outcome
from jupyter_llm.errors import EngineError, ModelFileError, TuneInterrupted
from jupyter_llm.models.discover import ModelEntry
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.models.inspect import ModelFile, inspect
from jupyter_llm.models.machine import Machine, available_cores, this_machine

_PART = re.compile(r"-\d{5}-of-\d{5}$")
_QUICK_BYTES = 1_000_000_000  # a copy of a file below this takes seconds: it is made to be measured
_END_S = 5.0

BENCH = (sys.executable, "-m", "jupyter_llm.engine.tuning.bench")
"""The command that measures; a plan is added."""


def current_machine() -> Machine:
    """Describe this machine as tunings are stored for."""
    return this_machine(available_cores())


def tuned(entry: ModelEntry) -> tuple[ModelEntry, dict[str, int | bool]]:
    """What to load for a model and with which settings, by its tuning if there is one."""
    tuning = load_tuning(entry.path, current_machine())
    if tuning is None:
        return entry, {}
    return replace(entry, copy=tuning.copy), dict(tuning.settings)


def tune(
    entry: ModelEntry,
    *,
    copy: bool,
    lossy: bool,
    n_gpu_layers: int | None = None,
    on_progress: Callable[[float, str], None] = lambda _share, _text: None,
    bench: tuple[str, ...] = BENCH,
) -> TuneReport:
    """Measure a model file, remember the best settings and return the report.

    With `copy` a requantized copy is kept if it is faster, else it is only offered. A tuned copy
    that is in use already is made anew. `bench` is the command that measures.

    Raises `ModelFileError` if the file is no good or there is no room for the copy, `EngineError`
    if there was no result, and `TuneInterrupted`, after which all is as it was before.
    """
    file = inspect(entry.path)
    machine = current_machine()
    try:
        on_progress(0.0, "reading the file")
        sha256 = file_sha256(entry.path)
        earlier = load_tuning(entry.path, machine)
        if earlier is not None and earlier.copy_quantization is not None:
            copy, lossy = True, lossy or earlier.copy_quantization != NEAR_LOSSLESS
        quantizations, notes = _copies_to_try(file, copy=copy, lossy=lossy)
        with _scratch_folder(sha256) as scratch:
            plan = {
                "path": str(entry.path),
                "scratch": scratch,
                "quantizations": quantizations,
                "keeps_copy": copy,
                "allows_loss": lossy,
                "n_gpu_layers": n_gpu_layers,
            }
            found = _measure(entry.name, plan, on_progress, bench)
            tuning = Tuning(
                sha256=sha256,
                size_bytes=file.size_bytes,
                machine=machine,
                settings=found.after.settings,
                figures=found.figures,
            )
            tuning = _keep(tuning, found.after, Path(scratch))
    except KeyboardInterrupt:
        raise TuneInterrupted from None
    return TuneReport(
        model=entry.name,
        quantization=file.quantization,
        tuning=tuning,
        before=found.before,
        after=found.after,
        offer=found.offer,
        notes=notes,
    )


def _keep(tuning: Tuning, after: Figure, scratch: Path) -> Tuning:
    """Store a tuning, with the copy it is for."""
    if after.quantization is not None:
        source = scratch / f"{after.quantization}.gguf"
        kept = keep_copy(source, tuning.sha256, after.quantization)
        tuning = replace(
            tuning, copy=kept, copy_quantization=after.quantization, copy_sha256=file_sha256(kept)
        )
    save_tuning(tuning)
    return tuning


def _copies_to_try(
    file: ModelFile, *, copy: bool, lossy: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The quantizations of the copies to measure, and what to tell about those left out."""
    quantizations = copy_candidates(file, lossy=lossy)
    if not quantizations:
        return (), (f"The file is {file.quantization} already: a copy has nothing to gain.",)
    if _PART.search(file.path.stem):
        return (), ("A model in several files is not copied.",)
    if not copy and file.size_bytes >= _QUICK_BYTES:
        note = (
            "Whether a requantized copy is faster was not measured, since writing one of this "
            "size takes a while; `/tune --copy` does, and keeps it only if it is."
        )
        return (), (note,)
    try:
        check_room(file, quantizations)
    except ModelFileError as error:
        if copy:
            raise
        return (), (f"Whether a requantized copy is faster was not measured. {error}",)
    return quantizations, ()


def _scratch_folder(sha256: str) -> tempfile.TemporaryDirectory[str]:
    """Make a folder beside the copies, on the same disk, that is removed at the end."""
    folder = tuned_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(
        prefix=f"{sha256}-part-", dir=folder, ignore_cleanup_errors=True
    )


def _measure(
    name: str,
    plan: dict[str, Any],
    on_progress: Callable[[float, str], None],
    bench: tuple[str, ...],
) -> Outcome:
    """Let the other process measure, and return its outcome."""
    outcome: dict[str, Any] | None = None
    with tempfile.TemporaryFile() as log, _running(bench, plan, log) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = _message(line)
            if "error" in message:
                raise EngineError(f"{name} could not be measured: {message['error']}")
            outcome = message.get("outcome", outcome)
            if "share" in message:
                on_progress(message["share"], message["text"])
        code = process.wait()
        if outcome is None:
            log.seek(0)
            last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            reason = f": {last[0]}" if last else ""
            raise EngineError(
                f"Measuring {name} broke off with exit code {code}{reason}. Nothing was changed."
            )
    return converted(outcome, Outcome)


def _message(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}  # a library's own words
    return message if isinstance(message, dict) else {}


@contextmanager
def _running(
    bench: tuple[str, ...], plan: dict[str, Any], log: IO[bytes]
) -> Iterator[subprocess.Popen[str]]:
    """Start the process that measures, and see that it is gone at the end."""
    process = start_child(
        *bench,
        json.dumps(plan),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(_END_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
