"""Who takes part, by name, and how each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.build_peers import peer_paths
from benchmarks.contestant import Contestant
from benchmarks.ours import Ours
from benchmarks.peers import LlamaBinding, LlamaServer

OURS = "ours"
OURS_EXACT = "ours-exact"  # as greedy requests come: in the exact context
OURS_BEFORE = "ours-before"  # another checkout of this package: --before FOLDER
SERVER = "llama-server"
LLAMA = "Llama"
LLAMA_FLASH = "Llama-flash"
EVERYONE = (OURS, SERVER, LLAMA, LLAMA_FLASH)

BENCHES = {"llama-bench": True, "llama-bench-noflash": False}  # name: flash attention

CONTESTANTS = (OURS, OURS_BEFORE, OURS_EXACT, SERVER, LLAMA, LLAMA_FLASH, *BENCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contestant before its start, as it is sent to the process it will live in."""

    name: str
    model: Path
    peers: Path
    cache_folder: Path
    before: Path | None = None

    def start(self) -> Contestant:
        if self.name == OURS_BEFORE:
            sys.path.insert(0, str(self.before))  # in this process nobody has imported us yet
            return Ours(self.model, self.cache_folder, is_exact=False)
        if self.name == OURS:
            return Ours(self.model, self.cache_folder, is_exact=False)
        if self.name == OURS_EXACT:
            return Ours(self.model, self.cache_folder, is_exact=None)
        if self.name == SERVER:
            return LlamaServer(self.model, peer_paths(self.peers)[SERVER])
        return LlamaBinding(self.model, flash_attention=self.name == LLAMA_FLASH)
