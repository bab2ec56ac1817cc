"""Build llama-server and llama-bench, the two peers that no Python package brings.

Run as: python tests/benchmarks/build_peers.py [FOLDER] [--jobs N]

They are compiled from the llama.cpp source inside the source package of the installed
llama-cpp-python, so every contestant computes with the same revision of the same kernels and
a ratio tells about the code around them. Takes several minutes; does nothing where both exist.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

DEFAULT_FOLDER = Path("build/peers")
TARGETS = ("llama-server", "llama-bench")
CMAKE_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "GGML_NATIVE": "ON",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_UI": "OFF",
}


def peer_paths(folder: Path) -> dict[str, Path]:
    """Return where each peer lies once it has been built into `folder`."""
    return {name: folder.absolute() / "cmake" / "bin" / name for name in TARGETS}


def fetch_source(folder: Path) -> Path:
    """Download and unpack llama-cpp-python's source package; return the llama.cpp tree inside."""
    release = version("llama-cpp-python")
    source = folder / "source"
    llama_cpp = source / f"llama_cpp_python-{release}" / "vendor" / "llama.cpp"
    if not llama_cpp.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--no-binary", "llama-cpp-python", "--dest", str(folder)]
        subprocess.run([*pip, f"llama-cpp-python=={release}"], check=True)
        with tarfile.open(folder / f"llama_cpp_python-{release}.tar.gz") as archive:
            archive.extractall(source, filter="data")
    return llama_cpp


def compile_peers(source: Path, build: Path, jobs: int) -> None:
    """Run CMake; its output goes to `build.log` beside the build folder, for when it fails."""
    options = [f"-D{name}={value}" for name, value in CMAKE_OPTIONS.items()]
    configure = ["cmake", "-S", str(source), "-B", str(build), *options]
    make = ["cmake", "--build", str(build), "--parallel", str(jobs), "--target", *TARGETS]
    with build.with_name("build.log").open("w") as log:
        for command in (configure, make):
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.absolute()
    paths = peer_paths(folder)
    if not all(path.exists() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        compile_peers(fetch_source(folder), folder / "cmake", arguments.jobs)
    print(*paths.values(), sep="\n")


if __name__ == "__main__":
    main()
