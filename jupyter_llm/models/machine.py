"""This machine: its processor and cores, and its free memory."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path

from jupyter_llm.common.tables import count_of

# File systems on which other machines can change files.
_SHARED = re.compile(
    "nfs|cifs|smb|9p|ceph|gluster|lustre|afs|beegfs|gpfs|"
    "fuse.(sshfs|s3fs|rclone|gcsfuse|gluster|juicefs)"
)
# Files of a control group with its limit and its usage, and the prefix of its cache statistics,
# inner groups included.
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
_VERSION_2 = ("memory.max", "memory.current", "")
_SPARE_ADDRESSES = 256 << 20  # for threads' stacks, and modules that are imported later


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The properties of a machine on which speed depends."""

    cpu: str
    num_cores: int
    build: str
    features: str = ""  # of the processor: a virtual machine's processor name is too general

    @property
    def processor(self) -> str:
        """Return a short, anonymous name for this kind of processor."""
        return replace(self, num_cores=1, build="").key

    @property
    def key(self) -> str:
        """Return a short name for files."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.cpu}, {count_of(self.num_cores, 'core')}, {self.build}"


def this_machine(num_cores: int) -> Machine:
    """Describe this machine; this process may use `num_cores` of it."""
    from importlib.metadata import PackageNotFoundError, version  # as long as all of ours

    fields = _cpuinfo()
    try:
        build = f"llama-cpp-python {version('llama-cpp-python')}"
    except PackageNotFoundError:
        build = "unknown build"
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine(),
        num_cores=num_cores,
        build=build,
        features=" ".join(fields.get(name, "") for name in ("cpu family", "model", "flags")),
    )


def _cpuinfo() -> dict[str, str]:
    """Return Linux's facts about the first core; nothing on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def is_written_by_others(path: Path) -> bool:
    """Whether other machines may write to the file: it is on a network or shared file system."""
    import psutil

    resolved = Path(os.path.realpath(path))
    around = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if resolved.is_relative_to(mount.mountpoint)
    ]
    nearest = max(around, key=lambda mount: len(mount.mountpoint), default=None)
    return nearest is not None and bool(_SHARED.match(nearest.fstype.lower()))


def available_cores() -> int:
    """Return the number of physical cores that this process may use."""
    import psutil

    limits = [psutil.cpu_count(logical=False) or psutil.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    try:  # a container's share of the machine (cgroup v2): "quota period" in µs, or "max period"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        limits.append(max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return min(limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeMemory:
    """Free memory in bytes; `vram_bytes` is None without a GPU that llama.cpp can use.

    `others_bytes` are reserved for other kernels, and already subtracted.
    """

    ram_bytes: int
    vram_bytes: int | None = None
    others_bytes: int = 0


def free_memory(
    vram_bytes: int | None = None,
    *,
    needed_bytes: int = 0,
    mount: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> FreeMemory:
    """Return the free memory: of the machine, the container, or this process's limit, the smallest.

    Cached pages of files count as free, because the system can drop them. But `needed_bytes` of
    them are read all the time, so they do not count.
    """
    import psutil

    in_use = [psutil.virtual_memory().available, *_unused_in_cgroups(mount, membership)]
    free = [*(unused - needed_bytes for unused in in_use), *_unused_addresses()]
    return FreeMemory(ram_bytes=max(0, min(free)), vram_bytes=vram_bytes)


def _unused_addresses() -> Iterator[int]:
    """Yield the rest of the limit `ulimit -v`, which includes mapped files."""
    import psutil

    try:
        import resource
    except ImportError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms - _SPARE_ADDRESSES


def _unused_in_cgroups(mount: Path, membership: Path) -> Iterator[int]:
    """Yield the unused memory of each limited control group around us, version 1 or 2."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        is_version_1 = "memory" in controllers.split(",")
        if is_version_1 or not controllers:
            top = mount / "memory" if is_version_1 else mount
            group = top / path.lstrip("/")
            # In a container, the path may be the host's while the mount shows our group as the
            # root.
            for folder in (group, *takewhile(lambda parent: parent != mount.parent, group.parents)):
                yield from _unused_in_cgroup(folder, *(_VERSION_1 if is_version_1 else _VERSION_2))


def _unused_in_cgroup(folder: Path, limit: str, used: str, prefix: str) -> Iterator[int]:
    try:
        limit_bytes = int((folder / limit).read_text(encoding="ascii"))
        used_bytes = int((folder / used).read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # no such group, or its limit is "max"
        return
    fields = dict(line.partition(" ")[::2] for line in statistics)
    # The page cache counts as used, but the system can drop it; most of it is model files.
    cached = sum(int(fields.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    yield limit_bytes - used_bytes + cached
