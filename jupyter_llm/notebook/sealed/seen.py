"""What was seen of code that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

Outcome = Literal["runs", "raises", "refused", "running", "untried"]
# What a copy says of itself is as true as the code in it, but it is no longer than this.
_Words = Annotated[str, Meta(max_length=600)]
_Text = Annotated[str, Meta(max_length=12_000)]
_Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of some code that was tried.

    `text` is it in a few words. Where something was raised, `index` says in which of the sources
    and `lineno` in which of its lines, from 1 or 0 if unknown; `report` tells a model of it.
    `names` are bound anew or to something else, `num_figures` counts the pictures, and `looked` is
    what was asked about the variables. `num_lost` counts the losses that may speak against the
    code. `is_deadly` says that the copy did not survive it, or that the kernel would not.
    """

    outcome: Outcome
    text: _Words
    error_kind: _Words = ""
    message: _Words = ""
    index: _Count = 0
    lineno: _Count = 0
    report: _Text = ""
    printed: _Text = ""
    result: _Text = ""
    names: Annotated[tuple[_Words, ...], Meta(max_length=200)] = ()
    num_figures: _Count = 0
    looked: Any = None
    num_lost: _Count = 0
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
