"""Panels that need no kernel and no browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.front_end import FrontEnd, MakeFront, RecordingComm
from support.scripted import ScriptedEngine

from jupyter_llm import ChatPanel
from jupyter_llm.frontends.comm import sync as kernel_side
from jupyter_llm.frontends.panel import panel as panel_module

PAUSE_S = 0.2


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what a panel does now and then come sooner."""
    monkeypatch.setattr(panel_module, "TRANSCRIPT_S", PAUSE_S)
    monkeypatch.setattr(kernel_side, "GAUGE_S", PAUSE_S)


@pytest.fixture
def panel_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of the panel that no browser will read."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "chat_panel.js").write_text("export default {};\n")
    (folder / "chat_panel.css").write_text("\n")
    monkeypatch.setattr(panel_module, "STATIC", folder)
    return folder


@pytest.fixture
def make_front(scripted: ScriptedEngine, make_live_front: MakeFront) -> MakeFront:
    """Make panels with a view each that has said hello, and a model that answers from a script."""
    return make_live_front


@pytest.fixture
def make_live_front(
    shell: InteractiveShell, panel_files: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeFront]:
    """Make panels with a view each that has said hello, and a real model, a tiny one."""
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    panels: list[ChatPanel] = []

    def make(*args: Any, can_write_cells: bool = False, **options: Any) -> FrontEnd:
        panels.append(ChatPanel(*args, **options))
        front = FrontEnd(panels[-1])
        front.hello(can_write_cells=can_write_cells)
        return front

    yield make
    for panel in panels:
        panel.close()


@pytest.fixture
def front(make_front: MakeFront) -> FrontEnd:
    """A view of the panel of the chat "default"."""
    return make_front()
