"""An option, declared once, with the dataclass field that holds its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints

_EXPECTED = {float: "a number", int: "a whole number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a line, a shell, `%config` and a project's file.

    `spelling`: the names with blanks between them, the long one last. `metavar`: the placeholder of
    the value in the help; a switch has none, and sets `value`. `negative`: the help of the switch
    `--no-…`. `convert`: makes the value from a text, and raises ValueError for a wrong one;
    `expects` describes a right one. `words`: values that Tab offers; without `convert`, no others
    are allowed. `low`, `high`: the range of a number. `is_setting`: whether `%config` and a
    project's file have it; `unset`: what None does there.
    """

    spelling: str = ""
    metavar: str = ""
    help: str = ""
    value: bool = True
    negative: str = ""
    convert: Callable[[str], Any] | None = None
    expects: str = ""
    words: tuple[str, ...] = ()
    is_list: bool = False
    low: float | None = None
    high: float | None = None
    is_setting: bool = False
    unset: str = ""
    # of the field
    key: str = ""
    kind: Any = str
    default: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """The spellings that a line may have, the long name last."""
        return tuple(self.spelling.split())

    def read(self, text: str) -> Any:
        """Return the value that a text spells; ValueError if it spells none."""
        if self.convert is None and self.words and text not in self.words:
            raise ValueError(text)
        return (self.convert or (self.kind if self.kind in _EXPECTED else str))(text)

    @property
    def expected(self) -> str:
        """The kind of value, in words."""
        words = f"{', '.join(self.words[:-1])} or {self.words[-1]}" if self.words else "a text"
        return self.expects or _EXPECTED.get(self.kind, words)


def option(
    spelling: str = "",
    metavar: str = "",
    help: str = "",  # noqa: A002  argparse's word
    *,
    default: Any = None,
    **more: Any,
) -> Any:
    """Declare a field of a dataclass as an option; `more` are fields of `Option`."""
    declared = Option(spelling=spelling, metavar=metavar, help=help, **more)
    return field(default=default, metadata={"option": declared})


def switch(spelling: str, help: str, **more: Any) -> Any:  # noqa: A002  argparse's word
    """Declare a field that is False unless the switch is given."""
    return option(spelling, help=help, default=False, **more)


@cache
def options_of(holder: type) -> tuple[Option, ...]:
    """Return the options that a dataclass declares, in the order of its fields."""
    declarations: list[Option] = []
    kinds = get_type_hints(holder)
    for one in fields(holder):
        if (declared := one.metadata.get("option")) is None:
            declarations += options_of(kinds[one.name]) if is_dataclass(kinds[one.name]) else ()
            continue
        kind = next((k for k in get_args(kinds[one.name]) if k is not NoneType), kinds[one.name])
        declared = replace(declared, key=one.name, kind=kind, default=one.default)
        declarations.append(declared)
        if declared.negative:
            switch = {"spelling": f"--no-{one.name}", "help": declared.negative, "value": False}
            declarations.append(replace(declared, **switch, is_setting=False))
    return tuple(declarations)
