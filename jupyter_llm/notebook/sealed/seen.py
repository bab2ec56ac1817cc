"""What was seen of code that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["runs", "raises", "refused", "running", "untried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of some code that was tried.

    `text` is it in a few words. Where something was raised, `index` says in which of the sources
    and `lineno` in which of its lines, from 1 or 0 if unknown; `report` tells a model of it.
    `names` are bound anew or to something else, `num_figures` counts the pictures, and `looked` is
    what was asked about the variables afterwards. `is_deadly` says that the copy did not survive
    it, or that the kernel would not.
    """

    outcome: Outcome
    text: str
    error_kind: str = ""
    message: str = ""
    index: int = 0
    lineno: int = 0
    report: str = ""
    printed: str = ""
    result: str = ""
    names: tuple[str, ...] = ()
    num_figures: int = 0
    looked: Any = None
    is_deadly: bool = False

    @property
    def runs(self) -> bool:
        """Whether all of it ran to its end."""
        return self.outcome == "runs"

    @property
    def was_tried(self) -> bool:
        """Whether the outcome says something about the code."""
        return self.outcome in ("runs", "raises", "running")


def untried(reason: str, *, is_deadly: bool = False) -> Seen:
    """What is seen of code that was not run, or not to its end, for a reason."""
    outcome: Outcome = "refused" if reason.startswith("it would ") else "untried"
    return Seen(outcome=outcome, text=f"not tried: {reason}", is_deadly=is_deadly)
