"""Runs cells in a real InteractiveShell and returns what a reader of the notebook would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell


class RecordingPublisher(DisplayPublisher):
    """Keeps the last state of every display, as a notebook does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.displays: dict[str, dict[str, str]] = {}
        self.earlier: dict[str, dict[str, str]] = {}  # of cells before
        self.seen: list[str] = []  # every state of every display, as plain text

    def publish(
        self,
        data: Any,
        metadata: Any = None,  # noqa: ARG002  the signature is IPython's
        source: Any = None,  # noqa: ARG002
        *,
        transient: Any = None,
        update: Any = False,
        **_kwargs: Any,
    ) -> None:
        display_id = (transient or {}).get("display_id", f"anonymous {len(self.displays)}")
        known = [shown for shown in (self.displays, self.earlier) if display_id in shown]
        assert known if update else display_id not in self.displays
        for shown in known if update else [self.displays]:  # an update is one of all copies
            shown[display_id] = data
        self.seen.append(data.get("text/plain", ""))

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  as IPython's
        if not wait:
            self.displays.clear()


@dataclass(frozen=True)
class Cell:
    """What a cell showed, and the exception that ended it."""

    displays: list[dict[str, str]]
    error: BaseException | None
    seen: list[str]

    @property
    def text(self) -> str:
        return "".join(d.get("text/markdown", d.get("text/plain", "")) for d in self.displays)


def run(
    shell: InteractiveShell,
    code: str,
    *,
    cell_id: str | None = None,
    raises: type[BaseException] | None = None,
    store_history: bool = False,
) -> Cell:
    """Run a cell; an error that is not expected is raised here."""
    publisher = shell.display_pub
    assert isinstance(publisher, RecordingPublisher)
    publisher.earlier |= publisher.displays
    publisher.displays.clear()
    publisher.seen.clear()
    result = shell.run_cell(code, cell_id=cell_id, store_history=store_history)
    error = result.error_before_exec or result.error_in_exec
    if raises is None:
        result.raise_error()
    else:
        assert isinstance(error, raises), error
    return Cell(list(publisher.displays.values()), error, list(publisher.seen))


def cell(shell: InteractiveShell, code: str, cell_id: str | None = None) -> Cell:
    """Run a cell that counts."""
    return run(shell, code, cell_id=cell_id, store_history=True)


def extension(shell: InteractiveShell, verb: str) -> None:
    shell.run_line_magic(f"{verb}_ext", "jupyter_llm")


def run_line(shell: InteractiveShell, code: str) -> None:
    """Run a magic as a call, so that its exception reaches the caller."""
    line, _, body = code.partition("\n")
    if code.startswith("%%"):
        shell.run_cell_magic("llm", line.removeprefix("%%llm").strip(), body)
    else:
        shell.run_line_magic("llm", line.removeprefix("%llm").strip())
