"""Tries a model file in a process of its own before it is loaded in the kernel.

llama.cpp checks little of what a file says, and ends the process where one of its assertions fails:
the kernel would end, and the user's variables with it. So another process,
`python -m jupyter_llm.engine.local.trials.model_file PATH`, first does what the kernel will do with
the file: it maps the weights, makes a small context of each kind, evaluates a few tokens in it, and
embeds them. The kernel loads the file only if that process succeeds. The verdict is remembered
until the file or llama.cpp changes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.common.workers import start_child
from jupyter_llm.errors import JupyterLLMError, ModelFileError, ModelLoadError
from jupyter_llm.models.fingerprint import FileState, packaged_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.local.native.llama import Context, Weights

_TRIED = Remembered("trial")
_REVISION = "2"  # of what is tried
_SOUND = "sound"
_REFUSED = 64  # the exit code where llama.cpp said no in an orderly way
# Ends that a file is to blame for. A lack of memory or a failing disk passes.
_ENDS = {getattr(signal, name, None) for name in ("SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV")}
_POLL_S = 0.02
# What a process says last when the machine has nothing left for it, whatever the file.
_WANT = re.compile("bad_alloc|insufficient memory|temporarily unavailable", re.IGNORECASE)
_LEAST_S, _BYTES_PER_S = 60, 10_000_000  # what a slow network folder gives, and a busy machine
_LEAST_CPU_S, _BYTES_PER_CPU_S = 0.8, 20_000_000  # many times what is computed of a sound file

_N_CTX = 256  # tokens
_NUM_SLOTS = 2
# Characters of each length in bytes, blanks, digits, a control token's text: what tokenizers split.
_TEXT = "Hi wörld, 世界 🙂!\n\t 123 def f(x):\n    return x\0<|im_end|></s>" + "".join(
    map(chr, range(256))
)
_NUM_TOKENS = 4


def try_file(path: Path, *, is_wanted: Callable[[], bool] = lambda: True) -> None:
    """Return if a model file can be loaded in this process, or raise `ModelLoadError`.

    At once if that is known: of the file in our extra's package, and of what was tried before. The
    trial ends when the file is not wanted any more. One that changes meanwhile is a
    `ModelFileError`.
    """
    from jupyter_llm.engine.local.native.llama import BUILD

    if packaged_sha256(path) is not None:
        return
    state = FileState.of(path)
    key = f"{_REVISION} {BUILD} {state.key}"
    verdict = _TRIED.get(key)
    if verdict is None:
        verdict, is_final = _verdict(path, is_wanted)
        if state.is_outdated():
            raise ModelFileError(
                path,
                f"{path.name} was changed on disk while it was tried. Ask again once it is whole.",
            )
        if is_final:
            _TRIED.put(key, verdict)
    if verdict != _SOUND:
        raise ModelLoadError(path, verdict)


def _verdict(path: Path, is_wanted: Callable[[], bool]) -> tuple[str, bool]:
    """Return the result of a trial, and whether the next trial would have the same."""
    with tempfile.TemporaryFile() as log:
        code = _run(path, log, is_wanted)
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").strip().splitlines()
    last = lines[-1] if lines else ""
    if code == 0:
        return _SOUND, True
    if code == _REFUSED:
        raise ModelLoadError(path, json.loads(last))
    if code == -getattr(signal, "SIGALRM", 0):
        return f"it was not loaded within {_limit_s(path)} s. Is its disk slow, or damaged?", False
    if code == -getattr(signal, "SIGPROF", 0):
        return "to try it took too much computing. It is damaged, or of too new a kind.", False
    if code == -getattr(signal, "SIGKILL", 0):
        return "the process that tried it was killed, perhaps for want of memory.", False
    # What stands before is a place in the sources of llama.cpp.
    reason = last.rpartition(": ")[2].strip()[:200] or f"exit code {code}"
    if _WANT.search(reason):
        return f"too little is left for the process that tried it ({reason}). Free memory.", False
    verdict = (
        f"llama.cpp ends the process that loads it ({reason}). That was a process of its own, so "
        "nothing is lost. The file is damaged, or of a kind that is too new: download it again, or "
        "choose another."
    )
    return verdict, -code in _ENDS


def _run(path: Path, log: IO[bytes], is_wanted: Callable[[], bool]) -> int:
    """Try a file in another process, and return its exit code."""
    try:
        process = start_child(
            *(sys.executable, "-m", __name__, str(path)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ModelLoadError(
            path, f"no process can be started to try it in ({error.strerror}). Make room for one."
        ) from None
    try:
        while is_wanted():
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_S)
        raise ModelLoadError(path, "it is not wanted any more.")
    finally:
        process.kill()
        process.wait()


def _limit_s(path: Path) -> int:
    return _LEAST_S + FileState.of(path).size_bytes // _BYTES_PER_S


# -- the other process ---------------------------------------------------------------------------


def _main(path: Path) -> int:
    _limit(path)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # to begin with one takes a second and its memory
    from jupyter_llm.engine.local.native.llama import Weights

    with suppress(AttributeError):  # Windows
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        # Some tokenizers never come to an end. What was imported does not count.
        size_bytes = FileState.of(path).size_bytes
        signal.setitimer(signal.ITIMER_PROF, _LEAST_CPU_S + size_bytes / _BYTES_PER_CPU_S)
    try:
        weights = Weights(path, n_gpu_layers=0, on_progress=lambda _share: True, repack=False)
    except JupyterLLMError as error:
        reason = str(error).removeprefix(f"{path.name} cannot be loaded: ")
        print("\n" + json.dumps(reason), flush=True)  # noqa: T201  how we are told
        return _REFUSED
    attempts: tuple[Callable[[Weights], None], ...] = (
        _try_text,
        _try_context,
        partial(_try_context, flash_attention=False),
        partial(_try_context, flash_attention=False, is_unified=False),
        partial(_try_context, embeds=True),
    )
    for attempt in attempts:
        with suppress(Exception):  # what is only refused, is refused or done without there, too
            attempt(weights)
    return 0


def _limit(path: Path) -> None:
    """End by ourselves what nobody waits for any more, and be the first to go without memory."""
    with suppress(AttributeError):  # Windows
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whatever the kernel does with it
        signal.alarm(_limit_s(path))
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _try_text(weights: Weights) -> None:
    """Tokenize, and ask for the text of every token."""
    for is_special in (False, True):
        weights.tokenize(_TEXT, is_special=is_special, add_bos=True)
    for token in range(weights.n_vocab):
        weights.bytes_of(token)
    weights.control_ids  # noqa: B018  reading it is the trial


def _try_context(
    weights: Weights, *, embeds: bool = False, flash_attention: bool = True, is_unified: bool = True
) -> None:
    """Evaluate a few tokens at once and one alone, for these are computed in different ways."""
    from jupyter_llm.engine.local.native.llama import Context, EmbeddingContext

    context = (EmbeddingContext if embeds else Context)(
        weights,
        n_ctx=_N_CTX,
        n_batch=_N_CTX,
        num_slots=1 if embeds else _NUM_SLOTS,
        n_threads=1,  # several that wait for each other compute, too
        flash_attention=flash_attention,
        is_unified=is_unified,
    )
    token_ids = weights.tokenize(_TEXT, is_special=False, add_bos=True) or [0]
    token_ids = (token_ids * _NUM_TOKENS)[:_NUM_TOKENS]
    num_read = len(token_ids)
    _decode(context, token_ids, 0)
    if isinstance(context, EmbeddingContext):
        context.pooler().observe(num_read - 1)
    else:
        if is_unified:  # the exact one evaluates no token alone
            may_repeat = weights.can_trim and weights.can_have_streams
            if may_repeat and context.repeat(num_read):  # as `flash_attention` does
                num_read *= _NUM_SLOTS
            _decode(context, token_ids[:1], num_read)
        context.state(0)
    context.close()


def _decode(context: Context, token_ids: list[int], start: int) -> None:
    from jupyter_llm.engine.local.sched.batch import Batch

    batch = Batch()
    batch.add(0, token_ids, start, wants_from=0)
    context.decode(batch)


if __name__ == "__main__":
    status = _main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)  # nothing is to be freed
