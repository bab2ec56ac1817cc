"""How matplotlib's figures and axes are told: titles, labels, and what is drawn."""

from __future__ import annotations

from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.peek import own_package

_DRAWN: Final = ("lines", "patches", "collections", "images")


def _quoted(text: object) -> str:
    return repr(cut(one_line(clean(str(text)[:400])), 80))


def _figure_head(value: Any, _reading: Reading) -> str:
    width, height = value.get_size_inches()
    title = value.get_suptitle()
    titled = f" {_quoted(title)}" if title else ""
    return f"matplotlib Figure{titled}, {width:g} x {height:g} inches, {len(value.axes)} axes"


def _figure_body(value: Any, reading: Reading) -> str:
    parts = [
        _axes_head(axes, reading) if own_package(axes) == "matplotlib" else type_name(axes)
        for axes in value.axes[:6]
    ]
    return listed(parts, reading.max_chars, len(value.axes) - len(parts), "\n")


def _axes_head(value: Any, _reading: Reading) -> str:
    parts = ["matplotlib Axes"]
    for name, text in (
        ("title", value.get_title()),
        ("x", value.get_xlabel()),
        ("y", value.get_ylabel()),
    ):
        if text:
            parts.append(f"{name} {_quoted(text)}")
    parts += [f"{drawn}: {num}" for drawn in _DRAWN if (num := len(getattr(value, drawn)))]
    return ", ".join(parts)


# Only matplotlib's own classes: a subclass may override what is called.
OWN_FIGURES: Final = {
    ("matplotlib", "Figure"): Kind(_figure_head, _figure_body),
    ("matplotlib", "_AxesBase"): Kind(_axes_head),
}
