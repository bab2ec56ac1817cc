"""Pulling from a hub on this machine, with the real huggingface_hub: whole, or gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors
from support.hub import COMMIT, Hub, Repo, sha256, some_bytes
from support.interrupts import interrupt_main

from jupyter_llm import llm
from jupyter_llm.common.bars import Step
from jupyter_llm.errors import DownloadError, DownloadInterrupted, LicenceError
from jupyter_llm.models.catalog import catalog
from jupyter_llm.models.fingerprint import stored_sha256
from jupyter_llm.models.hub import explained
from jupyter_llm.models.pull import _ACCEPTED, Meter, pull

SIZE = 300_000
NAME = "ada/tiny-GGUF"


@pytest.fixture(autouse=True)
def repository(hub: Hub) -> None:
    hub.repos[NAME] = Repo({"tiny-Q4_K_M.gguf": some_bytes(SIZE)})


def data_of(hub: Hub, file: str = "tiny-Q4_K_M.gguf") -> bytes:
    return hub.repos[NAME].files[file]


def blobs(home: Path) -> dict[str, int]:
    folder = home / ".cache" / "huggingface" / "hub" / "models--ada--tiny-GGUF" / "blobs"
    return {path.name: path.stat().st_size for path in folder.glob("*")}


def test_a_pull_brings_what_the_hub_states_once_and_says_its_name(hub: Hub) -> None:
    pulled = llm.pull(NAME)
    assert pull(NAME) == pulled
    assert len(hub.fetched) == 1
    assert pulled.path.read_bytes() == data_of(hub)
    assert stored_sha256(pulled.path) == sha256(data_of(hub))
    assert pulled.path.parts[-3:] == ("snapshots", COMMIT, "tiny-Q4_K_M.gguf")
    assert "`%llm /use tiny-q4_k_m`" in str(pulled)
    assert "apache-2.0" in str(pulled)


def test_huggingface_hub_finds_it_in_its_own_cache(hub: Hub, home: Path) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    path = pull(NAME).path
    cache = home / ".cache" / "huggingface" / "hub"
    assert try_to_load_from_cache(NAME, "tiny-Q4_K_M.gguf", cache_dir=cache) == str(path)
    seen = scan_cache_dir(cache)
    (revision,) = next(iter(seen.repos)).revisions
    assert set(revision.refs) == {"main"}
    assert (seen.size_on_disk, len(seen.warnings)) == (SIZE, 0)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: Hub) -> None:
    hub.cuts = [100_000, 50_000]
    assert pull(NAME).path.read_bytes() == data_of(hub)
    ranges = [one.headers.get("range") for one in hub.fetched]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_hub_that_never_sends_more_is_given_up_and_what_came_is_kept(
    hub: Hub, home: Path
) -> None:
    hub.cuts = [100_000] + [0] * 9
    with pytest.raises(DownloadError, match=r"(?i)pull again"):
        pull(NAME)
    assert list(blobs(home).values()) == [100_000]
    hub.cuts = []
    assert pull(NAME).path.read_bytes() == data_of(hub)
    assert hub.fetched[-1].headers["range"] == "bytes=100000-"


def test_what_is_not_as_promised_is_deleted_and_said(hub: Hub, home: Path) -> None:
    data = data_of(hub)
    hub.lies[sha256(data)] = some_bytes(SIZE)
    with pytest.raises(DownloadError, match="is deleted"):
        pull(NAME)
    assert blobs(home) == {}
    hub.lies.clear()
    assert pull(NAME).path.read_bytes() == data


@pytest.mark.parametrize(
    ("size", "kind"), [(SIZE - 9, ""), (SIZE + 9, ""), (999, "text/html; charset=utf-8")]
)
def test_what_is_plainly_something_else_is_given_up_at_once(
    hub: Hub, home: Path, size: int, kind: str
) -> None:
    hub.lies[sha256(data_of(hub))] = some_bytes(size)
    hub.kind = kind
    with pytest.raises(DownloadError, match="is not that file: it is"):
        pull(NAME)
    assert len(hub.fetched) == 1
    assert list(blobs(home).values()) == [0]


def test_a_hub_that_leads_in_a_circle_is_given_up_after_one_round(hub: Hub) -> None:
    hub.headers = {"Location": f"{hub.address}/{NAME}/resolve/main/tiny-Q4_K_M.gguf"}
    with pytest.raises(DownloadError, match=r"redirects the request for .* without end"):
        pull(NAME)
    assert len([one for one in hub.asked if "/resolve/" in one.path]) < 50


@pytest.mark.parametrize(
    "plant", [lambda path, mine: path.symlink_to(mine), lambda path, _: os.mkfifo(path)]
)
def test_a_pull_writes_through_nothing_that_somebody_planted(
    hub: Hub, home: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("kept", encoding="utf-8")
    folder = home / ".cache" / "huggingface" / "hub" / "models--ada--tiny-GGUF"
    incomplete = folder / "blobs" / f"{sha256(data_of(hub))}.incomplete"
    for path in (incomplete, folder / "refs" / "main"):
        path.parent.mkdir(parents=True)
        plant(path, mine)
    assert pull(NAME).path.read_bytes() == data_of(hub)
    assert (folder / "refs" / "main").read_text(encoding="ascii") == COMMIT
    assert mine.read_text(encoding="utf-8") == "kept"


def test_a_pull_locks_through_no_link_that_somebody_planted(
    hub: Hub, home: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("kept", encoding="utf-8")
    locks = home / ".cache" / "huggingface" / "hub" / ".locks" / "models--ada--tiny-GGUF"
    locks.mkdir(parents=True)
    (locks / f"{sha256(data_of(hub))}.lock").symlink_to(mine)
    with pytest.raises(DownloadError, match="cannot be written to"):
        pull(NAME)
    assert mine.read_text(encoding="utf-8") == "kept"


def test_a_file_that_was_damaged_here_is_fetched_again(hub: Hub, home: Path) -> None:
    path = pull(NAME).path
    path.resolve().write_bytes(b"x" * SIZE)
    assert pull(NAME).path.read_bytes() == data_of(hub)


def test_a_busy_hub_is_asked_again(hub: Hub) -> None:
    hub.statuses = [503, 429]
    assert pull(NAME).path.read_bytes() == data_of(hub)


@pytest.mark.parametrize(
    ("repo", "token", "asked", "told"),
    [
        (Repo(), "", "ada/none-GGUF", "no repository ada/none-GGUF on the hub, or it is private"),
        (Repo(key="right"), "", "ada/repo", "or it is private"),
        (Repo(key="right"), "wrong", "ada/repo", "or it is private"),
        (Repo(), "stale", "ada/repo", "rejects your token"),
        (Repo({"a.gguf": b"a"}, key="right", gated=True), "", "ada/repo", "accept its terms"),
        (Repo({"a.gguf": b"a"}, key="right", gated=True), "wrong", "ada/repo", "of your token"),
        (Repo(texts={"README.md": "words"}), "", "ada/repo", "no GGUF files"),
        (Repo({"a-Q8_0.gguf": b"a"}), "", "ada/repo:Q4_K_M", "no Q4_K_M.*There are Q8_0"),
        (Repo({"a-1-of-2.gguf": b"a", "b.gguf": b"b"}), "", "ada/repo", "Name one"),
        (Repo({"a-00001-of-00002.gguf": b"a"}), "", "ada/repo", "has 1 of the 2 parts"),
        (Repo({"a-Q4_0.gguf": b"a", "b-Q4_0.gguf": b"b"}), "", "ada/repo", "several .*:a-Q4_0"),
        (Repo(), "", "ada", "'ada' is neither a name in the catalogue"),
        (Repo(), "", "https://example.org/ada/repo", "is not the Hugging Face hub"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, repo: Repo, token: str, asked: str, told: str
) -> None:
    hub.repos["ada/repo"] = repo
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DownloadError, match=told) as caught:
        pull(asked)
    assert "\n" not in str(caught.value)


def test_a_file_that_went_meanwhile_is_told_as_gone() -> None:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=404)
    with pytest.raises(DownloadError, match="no longer has that file"), explained(NAME):
        raise errors.RemoteEntryNotFoundError("gone", response=response)


def test_the_token_opens_what_is_private_and_is_told_to_nobody_else(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[NAME].key = "right"
    monkeypatch.setenv("HF_TOKEN", "right")
    pull(NAME)
    assert [one for one in hub.fetched if "authorization" in one.headers] == []


def test_nothing_but_the_model_is_asked_for(hub: Hub) -> None:
    pull(NAME)
    paths = {one.path.partition("?")[0] for one in hub.asked}
    digest = sha256(data_of(hub))
    assert paths == {
        f"/api/models/{NAME}/revision/main",
        f"/{NAME}/resolve/{COMMIT}/tiny-Q4_K_M.gguf",
        f"/store/{digest}",
    }
    assert not any("torch" in one.headers.get("user-agent", "") for one in hub.asked)


def stated(monkeypatch: pytest.MonkeyPatch, sha: str, **files: str) -> None:
    """Let the hub describe a repository so: a commit, and SHA-256s of files."""
    siblings = [
        SimpleNamespace(rfilename=f"{name}.gguf", lfs=SimpleNamespace(size=9, sha256=digest))
        for name, digest in files.items()
    ]
    info = SimpleNamespace(id=NAME, sha=sha, siblings=siblings, card_data={"license": "mit"})
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)


@pytest.mark.parametrize("name", ["a", "/a", "../a", "b/../../a"])
def test_no_hash_or_name_that_the_hub_states_leads_out_of_the_cache(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("kept", encoding="utf-8")
    stated(monkeypatch, COMMIT, **{name: str(mine) if name == "a" else "0" * 64})
    with pytest.raises(DownloadError, match="no GGUF files"):
        pull(NAME)
    assert mine.exists()


def test_no_tag_in_an_answer_leads_out_of_the_cache(hub: Hub, home: Path) -> None:
    hub.headers = {"X_Linked_ETag": '"../../../mine"', "X_Repo_Commit": "../../x"}
    path = pull(NAME).path
    assert path.read_bytes() == data_of(hub)
    assert path.samefile(next(iter((path.parents[2] / "blobs").iterdir())))
    assert [file.name for file in home.rglob("*") if file.name in ("mine", "x")] == []


GOOD: dict[str, Any] = {"id": NAME, "sha": COMMIT, "siblings": [], "cardData": {"license": "mit"}}
SIBLING: dict[str, Any] = {"rfilename": "a.gguf", "size": 9}
LFS: dict[str, Any] = {"sha256": "0" * 64, "size": 9, "pointerSize": 1}
OTHER_SHAPES: list[bytes | dict[str, Any]] = [
    *(b"<html>", b"", b"null", b"[]", b"3", b"{}", b"\xff", b"[" * 100_000),
    *({**GOOD, "siblings": 3}, {**GOOD, "siblings": {"a": 1}}),
    *({**GOOD, "siblings": [3]}, {**GOOD, "siblings": [{}]}),
    *({**GOOD, "id": name} for name in (3, None, "../../x", "a/b/c", "a/b:c")),
    *({**GOOD, "cardData": card} for card in (3, [1])),
    *({**GOOD, "siblings": [{**SIBLING, "lfs": lfs}]} for lfs in (3, [1])),
    *({**GOOD, "siblings": [{"rfilename": name, "lfs": LFS}]} for name in (3, None)),
    {**GOOD, "createdAt": "yesterday"},
]


@pytest.mark.parametrize("answer", OTHER_SHAPES, ids=lambda answer: f"{answer}"[-50:])
def test_an_answer_of_another_shape_is_told_in_one_line(
    hub: Hub, answer: bytes | dict[str, Any]
) -> None:
    hub.description = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    with pytest.raises(DownloadError, match="does not answer as the Hugging Face hub") as caught:
        pull(NAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", ["big", None, -5, 9.5, True, 1 << 60])
def test_a_file_whose_size_is_none_is_no_model(hub: Hub, size: object) -> None:
    siblings = [{**SIBLING, "lfs": {**LFS, "size": size}}]
    hub.description = json.dumps({**GOOD, "siblings": siblings}).encode()
    with pytest.raises(DownloadError, match="no GGUF files"):
        pull(NAME)


@pytest.mark.parametrize("kind", [ValueError, ImportError, OSError, NotImplementedError])
def test_what_nobody_foresaw_is_told_in_one_line_too(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(_wanted: object) -> None:
        raise kind("one\ntwo")

    monkeypatch.setattr("jupyter_llm.models.pull.look_up", fail)
    with pytest.raises(DownloadError, match=f"cannot be pulled.*{kind.__name__}: one two"):
        pull(NAME)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HF_ENDPOINT"])
def test_an_address_that_is_none_is_told_without_its_password(
    name: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    monkeypatch.setenv(name, "http://user:secret#ss@proxy:8080")
    close_session()  # it reads the proxies when it begins
    with pytest.raises(DownloadError, match=f"{name}.* is not valid") as told:
        pull(NAME)
    assert "secret" not in str(told.value)


def test_a_hub_that_is_not_there_or_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9 does not answer"):
        pull(NAME)
    monkeypatch.setattr("jupyter_llm.models.hub.TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(DownloadError, match=r"does not answer.*\(ReadTimeout\)"):
            pull(NAME)


def test_offline_mode_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"Offline mode \(HF_HUB_OFFLINE\) is on"):
        pull(NAME)
    assert hub.asked == []


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DownloadError, match=r"300.0 kB.*only 1.0 kB are free.*HF_HOME"):
        pull(NAME)
    assert hub.fetched == []


def test_a_disk_that_fills_up_is_told_and_what_came_is_kept(hub: Hub, home: Path) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from jupyter_llm.models.pull import pull\n"
        "import huggingface_hub, jupyter_llm.common.database as database\n"
        "database.store()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"try: pull({NAME!r})\n"
        "except OSError as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "cannot be written to" in told
    assert "Free space" in told
    assert list(blobs(home).values()) == [100_000]
    assert pull(NAME).path.read_bytes() == data_of(hub)


def test_all_parts_of_a_model_are_fetched(hub: Hub) -> None:
    parts = {f"Q4_K_M/big-Q4_K_M-0000{n}-of-00003.gguf": some_bytes(50_000) for n in (1, 2, 3)}
    others = {"big-Q8_0.gguf": b"", "big-Q8_0-00001-of-00001.gguf": b"", "mmproj-F16.gguf": b""}
    hub.repos[NAME] = Repo({**parts, **others})
    pulled = pull(f"{NAME}:q4_k_m")
    assert pulled.path.name == "big-Q4_K_M-00001-of-00003.gguf"
    assert pulled.name == "big-q4_k_m"
    assert {path.name: path.read_bytes() for path in pulled.path.parent.iterdir()} == {
        name.rpartition("/")[2]: data for name, data in parts.items()
    }
    assert pulled.size_bytes == 150_000
    asked = f"https://huggingface.co/{NAME}/blob/main/Q4_K_M/big-Q4_K_M-00002-of-00003.gguf"
    assert pull(asked).path == pulled.path


@pytest.mark.parametrize(
    "asked",
    [
        NAME,
        f"{NAME}:q4_k_m",
        f"{NAME}:tiny-Q4_K_M.gguf",
        f"hf.co/{NAME}",
        f"https://huggingface.co/{NAME}",
        f"https://huggingface.co/{NAME}/tree/main",
        f"https://huggingface.co/{NAME}/blob/main/tiny-Q4_K_M.gguf",
        f"https://huggingface.co/{NAME}/resolve/{COMMIT}/tiny-Q4_K_M.gguf?download=true",
    ],
)
def test_a_model_is_asked_for_in_many_ways(hub: Hub, asked: str) -> None:
    for other in ("tiny-Q8_0.gguf", "tiny-UD-Q4_K_M.gguf"):
        hub.repos[NAME].files[other] = some_bytes(9)
    assert pull(asked).path.name == "tiny-Q4_K_M.gguf"


def test_a_licence_with_conditions_is_shown_and_accepted_once(hub: Hub) -> None:
    hub.repos[NAME].card = {"license": "other", "license_name": "ada", "license_link": "there"}
    hub.repos[NAME].texts["LICENSE"] = "Be kind."
    with pytest.raises(LicenceError, match=r"Nothing was downloaded.*--accept-licence") as caught:
        pull(NAME)
    assert (caught.value.licence, caught.value.text) == ("ada", "Be kind.")
    assert hub.fetched == []
    pull(NAME, accept_licence=True)
    pull(NAME)
    (record,) = _ACCEPTED.all().items()
    assert record[0] == f"{NAME} ada {sha256(b'Be kind.')}"
    assert record[1].startswith("20")
    hub.repos[NAME].texts["LICENSE"] = "Be rich."
    with pytest.raises(LicenceError):
        pull(NAME)


@pytest.mark.parametrize(
    ("card", "known"),
    [
        ({"license": "other", "license_name": "MIT"}, ""),
        ({"license_name": "mit"}, "mit"),
        ({"license": ["mit", "other"]}, ""),
        ({"license": "mit"}, "gemma"),
        ({}, "gemma"),
        ({}, ""),
    ],
)
def test_no_name_makes_a_licence_open(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, card: dict[str, object], known: str
) -> None:
    hub.repos[NAME].card = card
    entry = replace(catalog()[0], name="tiny", repository=NAME.upper(), licence=known)
    monkeypatch.setattr("jupyter_llm.models.catalog.catalog", lambda: (entry,) if known else ())
    with pytest.raises(LicenceError):
        pull(NAME)
    assert hub.fetched == []


def test_what_happens_is_shown_with_speed_and_time_left() -> None:
    told: list[tuple[float, str]] = []
    times = iter([0.0, 2.0, 4.0, 6.0])
    meter = Meter(lambda: next(times))
    meter.num_bytes = 4_000_000
    meter.report_to = lambda share, what: told.append((share, what))
    for num_bytes in (0, 1_000_000, 2_000_000):
        meter.report(num_bytes, "")
    meter.report(2_000_000, "the connection broke")
    assert [what for _, what in told] == [
        "0 B of 4.0 MB, just begun",
        "1.0 MB of 4.0 MB, 500.0 kB/s, 6 s left",
        "2.0 MB of 4.0 MB, 500.0 kB/s, 4 s left",
        "2.0 MB of 4.0 MB, the connection broke",
    ]
    assert told[-1][0] == 0.5


def test_progress_is_ours_and_nothing_else_is_printed(
    hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[Step] = []
    llm.pull(NAME, show_progress=steps.append)
    assert steps[-1].share == 1
    assert "300.0 kB of 300.0 kB" in steps[-1].text
    assert capfd.readouterr() == ("", "")


def interrupt_when(is_time: threading.Event) -> None:
    """Interrupt the main thread once it waits for what does not come."""

    def run() -> None:
        is_time.wait()
        interrupt_main()

    threading.Thread(target=run).start()


def test_an_interrupt_leaves_something_to_go_on_with(hub: Hub, home: Path) -> None:
    hub.gate.clear()
    hub.gate_after = 150_000
    interrupt_when(hub.has_begun)
    with pytest.raises(DownloadInterrupted, match="Pull again to resume"):
        pull(NAME)
    hub.gate.set()
    (came,) = blobs(home).values()
    assert 130_000 < came < SIZE
    assert pull(NAME).path.read_bytes() == data_of(hub)
    assert hub.fetched[-1].headers["range"] == f"bytes={came}-"


@contextlib.contextmanager
def kernel(code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that waits long for the hub, and is killed in the end."""
    patient = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "300"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=patient
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_kernels_pull_the_same_file_once(hub: Hub, home: Path) -> None:
    hub.gate.clear()
    hub.gate_after = 100_000
    code = f"from jupyter_llm.models.pull import pull; print(pull({NAME!r}).path)"
    told: list[str] = []

    def show(step: Step) -> None:
        told.append(step.text)
        if "another program" in step.text:
            hub.gate.set()

    with kernel(code) as other:
        assert hub.has_begun.wait(60)
        path = pull(NAME, show=show).path
        hub.gate.set()
        assert other.communicate(timeout=60)[0].strip() == str(path)
    assert path.read_bytes() == data_of(hub)
    assert any("another program downloads it" in text for text in told)
    assert len(hub.fetched) == 1


def test_what_a_killed_kernel_began_is_gone_on_with(hub: Hub, home: Path) -> None:
    hub.gate.clear()
    hub.gate_after = 200_000
    code = f"from jupyter_llm.models.pull import pull; pull({NAME!r})"
    with kernel(code):
        assert hub.has_begun.wait(60)
    hub.gate.set()
    assert pull(NAME).path.read_bytes() == data_of(hub)
