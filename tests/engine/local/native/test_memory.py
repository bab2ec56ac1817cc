"""What a model takes is known before it is loaded, what is too large is refused, and what was
taken is given back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.engines import load
from support.kernel import running_kernel

from jupyter_llm import llm
from jupyter_llm.engine.local.native import llama
from jupyter_llm.engine.local.native.memory import (
    LoadPlan,
    memory_need,
    num_spares,
    plan_load,
)
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.errors import JupyterLLMError, ModelLoadError, NotEnoughMemoryError, OptionError
from jupyter_llm.models.inspect import ModelFile, ModelShape, inspect
from jupyter_llm.models.machine import FreeMemory, free_memory

MIB = 1 << 20
GB = 10**9
NUM_SLOTS = 32
FAR_TOO_LARGE = 2**31 - 1

# An eight-billion model like many: 32 layers, 8 heads of 128 for keys and values.
LARGE = ModelFile(
    path=Path("large.gguf"),
    name="Large",
    architecture="llama",
    quantization="Q8_0",
    size_bytes=8 * GB,
    n_ctx_train=131072,
    num_parameters=8 * GB,
    license=None,
    has_chat_template=True,
    shape=ModelShape(
        num_layers=32,
        n_embd=4096,
        n_vocab=128_256,
        num_heads=32,
        num_kv_heads=32 * 8,
        key_length=128,
        value_length=128,
        state_elements=0,
    ),
)


def plan(
    free: FreeMemory, options: EngineOptions | None = None, file: ModelFile = LARGE
) -> LoadPlan:
    return plan_load(file, options or EngineOptions(), free)


def refusal(
    free: FreeMemory, options: EngineOptions | None = None, file: ModelFile = LARGE
) -> NotEnoughMemoryError:
    with pytest.raises(NotEnoughMemoryError) as caught:
        plan(free, options, file)
    assert "\n" not in str(caught.value)
    return caught.value


def ram(gigabytes: float) -> FreeMemory:
    return FreeMemory(ram_bytes=int(gigabytes * GB))


# -- what is needed --------------------------------------------------------------------------------


def allocated(
    log: deque[tuple[int, str]], file: ModelFile, n_ctx: int, options: EngineOptions
) -> dict[str, float]:
    """Return what llama.cpp says it allocated for a context, in bytes."""
    weights = llama.Weights(file.path, n_gpu_layers=0, on_progress=lambda _share: True)
    context = llama.Context(
        weights,
        n_ctx=n_ctx,
        n_batch=options.batch_size,
        num_slots=NUM_SLOTS,
        n_threads=1,
        flash_attention=options.has_flash_attention,
        kv_type=options.kv_type,
        num_spares=num_spares(file.shape, min(options.batch_size, n_ctx)),
    )
    context.close()
    weights.close()
    lines = "\n".join(line for _, line in log)
    found = re.findall(r"CPU +(KV|compute|output) buffer size = +([\d.]+) MiB", lines)
    return {name: float(size) * MIB for name, size in found}


SETTINGS = {
    "as it comes": (8192, EngineOptions()),
    "a short window": (1000, EngineOptions()),
    "a window shorter than the batch": (128, EngineOptions()),
    "a small batch": (4096, EngineOptions(n_batch=32)),
    "a large batch": (4096, EngineOptions(n_batch=2048)),
    "without flash attention": (16384, EngineOptions(flash_attention=False)),
    "a KV cache of q8_0": (4096, EngineOptions(kv_type="q8_0")),
}


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        (model, setting)
        for model in ("tiny_gguf", "smollm2")
        for setting in SETTINGS
        # The tiny model's heads are too small for it.
        if (model == "smollm2") == (setting == "a KV cache of q8_0")
    ],
)
def test_the_estimate_is_what_llama_cpp_allocates(
    model: str,
    setting: str,
    request: pytest.FixtureRequest,
    whole_log: deque[tuple[int, str]],
) -> None:
    n_ctx, options = SETTINGS[setting]
    file = inspect(request.getfixturevalue(model))
    need = memory_need(file, options, n_ctx)
    real = allocated(whole_log, file, n_ctx, options)
    # The log has two digits after the point.
    assert need.kv_bytes == pytest.approx(real["KV"], abs=0.01 * MIB)
    # The vocabulary's tables count as buffers, and are not in the log.
    buffers = real["compute"] + real["output"] + 400 * file.shape.n_vocab
    assert buffers < need.buffer_bytes < 1.15 * buffers + MIB


MEASURE = """
import json, sys
from pathlib import Path
import psutil
from jupyter_llm.engine.local.native import llama
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Request
from jupyter_llm.models.discover import find_model

path, rounds = Path(sys.argv[1]), int(sys.argv[2])
process = psutil.Process()
before = process.memory_info().rss
loaded, after = [], []
for _ in range(rounds):
    options = EngineOptions(n_ctx=4096, n_threads=2, exact=False, flash_attention=True)
    engine = LocalEngine(find_model(path), options)
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
    engine.submit(Request(prompt="word " * 600, params=params)).result()
    loaded.append(process.memory_info().rss - before)
    engine.close()
    del engine
    after.append(process.memory_info().rss - before)
print(json.dumps({"loaded": loaded, "after": after}))
"""


def measure(path: Path, rounds: int) -> dict[str, list[int]]:
    """Load, use and unload a model in a process of its own; return how far memory grew."""
    command = [sys.executable, "-c", MEASURE, str(path), str(rounds)]
    # With an arena for each thread, glibc keeps 8 MB more or less from one load to the next.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=True, env=environment
    )
    measured: dict[str, list[int]] = json.loads(result.stdout)
    return measured


@pytest.fixture(scope="module")
def measured(smollm2: Path) -> dict[str, list[int]]:
    return measure(smollm2, rounds=3)


def test_a_loaded_model_takes_no_more_than_estimated(
    measured: dict[str, list[int]], smollm2: Path
) -> None:
    options = EngineOptions(n_ctx=4096)
    need = memory_need(inspect(smollm2), options, 4096)
    # What stays after it is code that was paged in, and no part of the model.
    taken = measured["loaded"][0] - measured["after"][0]
    # Less, since llama.cpp reserves logits for each token of a batch, and we want the last one's.
    # What an allocator keeps differs by a megabyte or two from one process to the next.
    assert 0.6 * need.total < taken < need.total + 4 * MIB


def test_unloading_gives_the_memory_back_each_time(measured: dict[str, list[int]]) -> None:
    first, *_, last = measured["after"]
    assert measured["loaded"][0] > 200 * MIB
    # What stays: modules imported on first use, and llama.cpp's code that was paged in.
    assert first < 16 * MIB
    assert last - first < 4 * MIB


# -- what is free ----------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True], ids=["the group", "a group inside it"])
def test_a_container_s_limit_counts(tmp_path: Path, *, inside: bool) -> None:
    group = tmp_path / "cgroup" / "pod"
    (group / "inner").mkdir(parents=True)
    (group / "memory.max").write_text("300000000\n")
    (group / "memory.current").write_text("290000000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 20000000\nactive_file 10000000\n")
    (group / "inner" / "memory.max").write_text("max\n")
    (tmp_path / "self").write_text("0::/pod/inner\n" if inside else "0::/pod\n")
    free = free_memory(mount=tmp_path / "cgroup", membership=tmp_path / "self")
    assert free.ram_bytes == 40_000_000  # what is not used, and the page cache


@pytest.mark.parametrize("inside", [False, True], ids=["the group", "a group inside it"])
def test_a_limit_of_control_groups_version_1_counts(tmp_path: Path, *, inside: bool) -> None:
    group = tmp_path / "cgroup" / "memory" / "pod"
    (group / "inner").mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("300000000\n")
    (group / "memory.usage_in_bytes").write_text("290000000\n")
    statistics = "inactive_file 1\ntotal_inactive_file 20000000\ntotal_active_file 10000000\n"
    (group / "memory.stat").write_text(statistics)
    (group / "inner" / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    name = "/pod/inner" if inside else "/pod"
    (tmp_path / "self").write_text(f"3:cpu,cpuacct:/\n5:memory:{name}\n1:name=systemd:{name}\n")
    free = free_memory(mount=tmp_path / "cgroup", membership=tmp_path / "self")
    assert free.ram_bytes == 40_000_000


def test_pages_of_weights_that_are_read_all_the_time_are_not_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("290000000\n")
    (tmp_path / "memory.stat").write_text("inactive_file 200000000\n")
    (tmp_path / "self").write_text("0::/\n")
    free = free_memory(needed_bytes=150_000_000, mount=tmp_path, membership=tmp_path / "self")
    assert free.ram_bytes == 60_000_000


LIMITED = """
import resource, sys
import psutil
from jupyter_llm.models.machine import free_memory
limit = psutil.Process().memory_info().vms + 700_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(free_memory().ram_bytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_limit_of_addresses_counts_but_for_some_that_threads_take() -> None:
    command = [sys.executable, "-c", LIMITED]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert 400_000_000 < int(result.stdout) < 500_000_000


LIMIT = """
import resource, numpy, llama_cpp, psutil
limit = psutil.Process().memory_info().vms + {} * 1_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""
ROOMS_MB = (100, 200, 300, 400, 500, 600, 700, 900, 1200, 2000)  # from nothing fits to all does


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_under_a_limit_of_addresses_a_seeded_prompt_works_or_is_refused_in_one_line(
    smollm2: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends: dict[int, str] = {}
    rooms = Random(14).sample(ROOMS_MB, len(ROOMS_MB))  # noqa: S311  no secrets here
    for room in rooms:
        with running_kernel(tmp_path, JUPYTER_LLM_MODEL=str(smollm2)) as kernel:
            for code in ("%load_ext jupyter_llm", LIMIT.format(room)):
                assert kernel.execute(code).error is None
            cell = kernel.execute(f"%llm --seed 1 -n 20 {'word ' * 300}Say hello.", timeout_s=120)
            if cell.error is not None:
                (line,) = cell.outputs[-1]["traceback"]
                assert "\n" not in line
            assert kernel.execute("print(6 * 7)").text == "42\n"
            ends[room] = cell.error or "answers"
    with capsys.disabled():
        print(f"\n{len(ends)} kernels by their room in MB: {dict(sorted(ends.items()))}")


@pytest.mark.skipif(sys.platform == "win32", reason="the devices cannot be reached there")
def test_the_devices_tell_their_free_memory() -> None:
    devices = llama._devices()
    assert devices
    assert all(free > 0 for _, free in devices)


# -- what fits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gigabytes", "n_ctx"), [(64, 8192), (11.4, 8192), (10.8, 4096), (10.3, 2048), (8.7, 1024)]
)
def test_the_default_window_fits_the_machine(gigabytes: float, n_ctx: int) -> None:
    assert plan(ram(gigabytes)).n_ctx == n_ctx


def test_a_refusal_tells_the_numbers_and_what_to_change() -> None:
    error = refusal(ram(11), EngineOptions(n_ctx=32768))
    assert error.n_ctx is not None
    assert 4096 < error.n_ctx == plan(ram(11), EngineOptions(n_ctx=error.n_ctx)).n_ctx
    assert str(error) == (
        "large.gguf cannot be loaded: it needs 12,726 MB of memory, and 11,000 MB are free. "
        "Weights take 8,000 MB, the memory for the conversation (n_ctx=32768, f16) 4,295 MB, "
        "buffers 431 MB. "
        f"Use n_ctx={error.n_ctx}, or a smaller quantization or model (this one is Q8_0)."
    )
    assert isinstance(error, ModelLoadError)
    assert error.needed_bytes == pytest.approx(12.726 * GB, rel=0.001)
    assert error.free_bytes == 11 * GB


def test_a_kv_type_the_model_cannot_have_is_refused(tiny_gguf: Path) -> None:
    with pytest.raises(OptionError, match=r"heads have 16\. Use kv_type='f16'"):
        plan(ram(64), EngineOptions(kv_type="q8_0"), inspect(tiny_gguf))


def test_as_many_layers_go_to_the_gpu_as_fit() -> None:
    free = FreeMemory(ram_bytes=64 * GB, vram_bytes=6 * GB)
    layers = plan(free).n_gpu_layers
    assert layers is not None
    assert 10 < layers < 25
    assert plan(replace(free, vram_bytes=24 * GB)).n_gpu_layers == 33
    assert plan(replace(free, vram_bytes=GB // 10)).n_gpu_layers == 0


def test_a_full_gpu_is_named() -> None:
    free = FreeMemory(ram_bytes=64 * GB, vram_bytes=6 * GB)
    error = refusal(free, EngineOptions(n_gpu_layers=-1, n_ctx=8192))
    assert "MB of GPU memory, and 6,000 MB are free" in str(error)
    assert "n_gpu_layers=None" in str(error)
    plan(free, EngineOptions(n_gpu_layers=10, n_ctx=8192))


# -- the engine ------------------------------------------------------------------------------------


def test_a_model_too_large_is_refused_before_it_is_loaded(tiny_gguf: Path) -> None:
    shares: list[float] = []
    with pytest.raises(NotEnoughMemoryError, match=rf"n_ctx={FAR_TOO_LARGE}, f16\) .*Use n_ctx="):
        load(tiny_gguf, n_ctx=FAR_TOO_LARGE, on_progress=shares.append)
    assert shares == []


def test_the_window_a_refusal_names_can_be_loaded(tiny_gguf: Path) -> None:
    error = refusal(ram(0.02), EngineOptions(n_ctx=100_000), inspect(tiny_gguf))
    assert load(tiny_gguf, n_ctx=error.n_ctx).info.n_ctx == error.n_ctx


def test_the_status_tells_the_memory_of_the_window_apart_from_the_rest(
    tiny_gguf: Path, fresh_llm: None
) -> None:
    llm.use(tiny_gguf, n_ctx=1024, n_threads=1)
    completion = llm.complete("one two three", max_tokens=3, seed=1)
    num_read = completion.usage.prompt_tokens
    rows = dict(llm.status().rows())
    assert rows["memory for the conversation"].startswith("262.1 kB for 1,024 tokens, 0 used")
    assert rows["memory for texts with a seed"].startswith("262.1 kB more, for 1,024 tokens; ")
    (prefix,) = llm.status().engine.prefixes  # type: ignore[union-attr]
    assert prefix.num_tokens >= num_read
    assert f"| read already | {prefix.num_tokens} tokens of 1 text |" in llm.status().to_markdown()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kv_type": "q4_0"}, "kv_type must be 'f16' or 'q8_0', not 'q4_0'"),
        ({"kv_type": ["f16"]}, "kv_type must be"),
        ({"kv_type": "q8_0", "flash_attention": False}, "needs flash attention. Use kv_type='f16'"),
    ],
)
def test_a_wrong_kv_type_is_refused_with_the_choices(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        EngineOptions(**options)
    assert issubclass(OptionError, JupyterLLMError)
