"""The result of trying code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

_T = TypeVar("_T")

Outcome = Literal["runs", "raises", "refused", "running", "untried"]
# A copy's report is as trustworthy as its code; its length is bounded.
_Words = Annotated[str, Meta(max_length=600)]
_Text = Annotated[str, Meta(max_length=12_000)]
_Names = Annotated[tuple[_Words, ...], Meta(max_length=200)]
_Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The result of trying code.

    `text` is a summary. After an exception, `index` is the number of the failing source, `lineno`
    its line (from 1; 0 if unknown), and `report` the failure for the model. `names` are bound or
    rebound, and `kinds` are the types of their values. `num_figures` counts figures, and `looked`
    is the answer of `look`. `num_lost` counts losses that may count against the code.
    `is_deadly`: the copy died, or the kernel would.

    `kind` is the type of the value that the last source shows, `size` its number of rows or items,
    and `labels` are its columns and names. `value` is the text of what the code shows or prints, or
    else of the value that it binds or changes last. `changed` are the user's data that the code
    rebinds or changes. `leaves_threads`: threads run on in a chain.
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
    names: _Names = ()
    kinds: _Names = ()
    num_figures: _Count = 0
    looked: Any = None
    num_lost: _Count = 0
    kind: _Words = ""
    size: _Count = 0
    labels: _Names = ()
    value: _Text = ""
    changed: _Names = ()
    is_deadly: bool = False
    leaves_threads: bool = False

    @property
    def runs(self) -> bool:
        """Whether all code ran to its end."""
        return self.outcome == "runs"

    def told(self, key: str, kind: type[_T]) -> _T:
        """Return one entry of `looked`; an empty value if it is missing or has another type."""
        part = self.looked.get(key) if isinstance(self.looked, dict) else None
        return part if isinstance(part, kind) else kind()

    @property
    def was_tried(self) -> bool:
        """Whether the outcome allows a judgement of the code."""
        return self.outcome in ("runs", "raises", "running")


def untried(reason: str, *, is_deadly: bool = False) -> Seen:
    """Return the result for code that did not run to its end for a reason outside of it."""
    outcome: Outcome = "refused" if reason.startswith("it would ") else "untried"
    return Seen(outcome=outcome, text=f"not tried: {reason}", is_deadly=is_deadly)
