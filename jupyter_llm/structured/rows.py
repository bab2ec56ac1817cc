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

_MARK = re.compile(r"\x00(\d+)\x00")


@dataclass(frozen=True, slots=True)
class Template:
    r"""Texts with a field between each two of them; `columns` are whose values stand there.

    What a value holds is never expanded. `\{{` stands for braces.
    """

    texts: tuple[str, ...]
    columns: tuple[str, ...]
    is_whole: bool = False

    @classmethod
    def of(cls, template: str, rows: Rows) -> Self:
        """Read a template; one without a field is followed by the whole row.

        Raises `OptionError` where a field is no column.
        """
        shielded, sources = shield(check_text(template))
        pieces = _MARK.split(shielded)
        texts, columns = [""], []
        for number, piece in enumerate(pieces):
            source = sources[int(piece)] if number % 2 else None
            if source is None or not source.endswith("}}"):
                texts[-1] += piece if source is None else "{{"
                continue
            columns.append(_column(source[2:-2].strip(), rows))
            texts.append("")
        if columns:
            return cls(tuple(texts), tuple(columns))
        return cls.whole(rows, f"{texts[0]}\n\n")

    @classmethod
    def whole(cls, rows: Rows, before: str = "") -> Self:
        """All columns, one below the other with their names, or the only one as it is."""
        columns = rows.columns[:1] if rows.is_single else rows.columns
        names = [""] if rows.is_single else [f"{column}: " for column in columns]
        return cls((before, *names), columns, is_whole=True)

    def prompt(self, values: Sequence[object]) -> str | None:
        """The prompt for the values of the columns; None where what it needs is missing."""
        if self.is_whole:
            named = zip(self.texts[1:], values, strict=True)
            lines = [f"{name}{value}" for name, value in named if value is not None]
            return self.texts[0] + "\n".join(lines) if lines else None
        if any(value is None for value in values):
            return None
        parts = zip(self.texts[1:], map(str, values), strict=True)
        return self.texts[0] + "".join(value + text for text, value in parts)


def _column(name: str, rows: Rows) -> str:
    if name not in rows.columns and rows.columns:
        known = list(rows.columns)
        hint = nearest(name, known, f"There are: {', '.join(known[:20])}.")
        raise OptionError(f"{{{{{name}}}}} in the template is no column. {hint}")
    return name
