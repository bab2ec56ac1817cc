"""Puts files where other programs keep their models, in the way they do."""

from __future__ import annotations

import json
import shutil
import struct
from hashlib import sha256
from pathlib import Path

from support.gguf_edit import STRING, Gguf, packed

NUM_FLOATS = 64
HUB = ".cache/huggingface/hub"
LM_STUDIO = ".lmstudio/models"
OLLAMA = ".ollama/models"


def write_small_gguf(source: Path, path: Path, **keys: tuple[int, object]) -> Path:
    """What the header of a model says, with changes, over one tensor of a few numbers."""
    file = Gguf.read(source)
    file.tensors = [packed(STRING, "norm.weight") + struct.pack("<IQIQ", 1, NUM_FLOATS, 0, 0)]
    file.data = bytes(4 * NUM_FLOATS)
    for key, (kind, value) in keys.items():
        file.put(key.replace("__", "."), kind, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    return file.write(path)


def put(source: Path, *targets: Path) -> Path:
    """Copies of a file, of which the first is returned."""
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return targets[0]


def in_hugging_face(hub: Path, repository: str, name: str, source: Path) -> Path:
    """A file in huggingface_hub's cache: a link in a snapshot to a blob."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    blob = put(source, folder / "blobs" / sha256(f"{repository}/{name}".encode()).hexdigest())
    link = folder / "snapshots" / "0123abcd" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../" * len(link.relative_to(folder).parts[1:]) + f"blobs/{blob.name}")
    return link


def in_ollama(store: Path, name: str, source: Path, *kinds: str, blob: str = "") -> Path:
    """A model in Ollama's store under `HOST/NAMESPACE/MODEL/TAG`, and its blob.

    `kinds` are those of more layers.
    """
    digest = blob or sha256(name.encode()).hexdigest()
    image = "application/vnd.ollama.image"
    layers = [
        {
            "mediaType": f"{image}.{kind}",
            "digest": f"sha256:{digest if kind == 'model' else '0' * 64}",
            "size": source.stat().st_size,
        }
        for kind in ("model", "template", *kinds)
    ]
    manifest = store / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return put(source, store / "blobs" / f"sha256-{digest}")
