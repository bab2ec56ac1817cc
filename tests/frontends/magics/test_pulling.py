"""`%llm /pull` in a real shell, from a hub on this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.hub import Hub, Repo
from support.shell import run

from jupyter_llm.errors import DownloadError, LicenceError
from jupyter_llm.frontends.magics.completion import words_at

NAME = "ada/elsewhere-GGUF"
FILE = "elsewhere-Q8_0.gguf"


@pytest.fixture
def repo(hub: Hub, tiny_base_gguf: Path) -> Repo:
    repo = hub.repos[NAME] = Repo({FILE: tiny_base_gguf.read_bytes()})
    return repo


def test_what_was_pulled_is_used_by_the_name_that_is_told(
    shell: InteractiveShell, repo: Repo
) -> None:
    told = run(shell, f"%llm /pull {NAME}").text
    assert "**elsewhere-q8_0** is downloaded" in told
    assert "`%llm /use elsewhere-q8_0` loads it" in told
    assert "Using **elsewhere-q8_0**" in run(shell, "%llm /use elsewhere-q8_0").text


def test_a_licence_is_shown_before_anything_is_downloaded(
    shell: InteractiveShell, hub: Hub, repo: Repo
) -> None:
    repo.card = {"license": "ada-1.0"}
    assert "ada-1.0" in str(run(shell, f"%llm /pull {NAME}", raises=LicenceError).error)
    repo.texts["LICENSE.md"] = "Be kind."
    told = run(shell, f"%llm /pull {NAME}").text
    assert "Be kind." in told
    assert f"`%llm /pull {NAME} --accept-licence`" in told
    assert hub.fetched == []
    assert "is downloaded" in run(shell, f"%llm /pull {NAME} --accept-licence").text


def test_alone_it_lists_what_suits_this_machine(shell: InteractiveShell) -> None:
    told = run(shell, "%llm /pull").text
    assert "| model " in told
    assert "free; " in told
    assert "`%llm /pull NAME` downloads one" in told


def test_nothing_but_a_pull_uses_the_network(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def refuse(*arguments: object, **_options: object) -> None:
        asked.append(arguments)
        raise OSError("There is no network.")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for line in ("-n 2 hello", "/models", "/pull", "/status", "/help"):
        run(shell, f"%llm {line}")
    assert asked == []
    run(shell, f"%llm /pull {NAME}", raises=DownloadError)
    assert asked


def test_names_complete(shell: InteractiveShell) -> None:
    fragment, words = words_at(" /pull qwen3-4", ())
    assert fragment == "qwen3-4"
    assert "qwen3-4b" in words
