"""A prompt for each row: a template whose `{{column}}`s are the row's values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from jupyter_llm.common.expressions import shield
from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import OptionError
from jupyter_llm.structured.tables import Rows

_MARK = re.compile(r"\x00\d+\x00")


@dataclass(frozen=True, slots=True)
class Template:
    r"""A text with a mark for each field; `columns` are whose values stand there, in that order.

    What a value holds is never expanded. `\{{` stands for braces. With `names` it goes before the
    whole row: all values that there are, each after its name.
    """

    text: str
    columns: tuple[str, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, template: str, rows: Rows) -> Self:
        """Read a template; one without a field is followed by the whole row.

        Raises `OptionError` where a field is no column.
        """
        text, sources = shield(check_text(template))
        columns = []
        for number, source in enumerate(sources):
            if source.endswith("}}"):
                columns.append(_column(source[2:-2].strip(), rows))
            else:
                text = text.replace(f"\x00{number}\x00", "{{")
        return cls(text, tuple(columns)) if columns else cls.whole(rows, f"{text}\n\n")

    @classmethod
    def whole(cls, rows: Rows, before: str = "") -> Self:
        """All columns, one below the other with their names, or the only one as it is."""
        columns = rows.columns[:1] if rows.is_single else rows.columns
        names = ("",) if rows.is_single else tuple(f"{column}: " for column in columns)
        return cls(before, columns, names)

    def prompt(self, values: Sequence[object]) -> str | None:
        """The prompt for the values of the columns; None where what it needs is missing."""
        if self.names:
            named = zip(self.names, values, strict=True)
            lines = [f"{name}{value}" for name, value in named if value is not None]
            return self.text + "\n".join(lines) if lines else None
        if any(value is None for value in values):
            return None
        left = iter(values)
        return _MARK.sub(lambda _mark: str(next(left)), self.text)


def _column(name: str, rows: Rows) -> str:
    if name not in rows.columns and rows.columns:
        known = list(rows.columns)
        hint = nearest(name, known, f"There are: {', '.join(known[:20])}.")
        raise OptionError(f"{{{{{name}}}}} in the template is no column. {hint}")
    return name
