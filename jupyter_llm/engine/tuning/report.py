"""What `/tune` found, as a value that shows as a table and a plot."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.tuning.figures import NEAR_LOSSLESS, Figure, Tuning, describe

_CODE = re.compile("`([^`]*)`")
_HEADER = ("", "prefill, tokens/s", "decode, tokens/s", "perplexity", "")
_ROW_HEIGHT, _LABEL_WIDTH, _BAR_WIDTH, _GAP = 22, 230, 170, 60  # pixels
_PANELS: tuple[tuple[str, str, Callable[[Figure], float]], ...] = (
    ("prefill, tokens/s", "#4c78a8", lambda figure: figure.prefill),
    ("decode, tokens/s", "#f58518", lambda figure: figure.decode),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneReport:
    """What was measured of a model and what is used from now on.

    `before` is the file as it is with the default settings, `after` what is used from now on,
    `offer` a copy that would be faster, or None. `asked` is the model as the user named it.
    """

    model: str
    quantization: str
    tuning: Tuning
    before: Figure
    after: Figure
    offer: Figure | None = None
    notes: tuple[str, ...] = ()
    asked: str = ""

    @property
    def offer_is_lossy(self) -> bool:
        """Whether the offered copy loses more than a rounding."""
        return self.offer is not None and self.offer.quantization != NEAR_LOSSLESS

    @property
    def text(self) -> str:
        """What was found, in a few lines of Markdown, without the figures."""
        return "\n\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Measured {self.model} ({self.quantization}) on {self.tuning.machine}."
        yield self._verdict()
        if self.offer is not None:
            flags = ["--copy", *(["--lossy"] if self.offer_is_lossy else [])]
            yield (
                f"A {self.offer.quantization} copy would {_compared(self.before, self.offer)}. "
                f"Type {self._command(*flags)} to make it and use it from then on."
            )
        elif self.after.quantization is None:
            yield from self._refused_copies()
        yield from self.notes

    def _refused_copies(self) -> Iterator[str]:
        for figure in self.tuning.figures:
            if figure.quantization is not None and not figure.settings:
                yield (
                    f"A {figure.quantization} copy is not worth it here: it would "
                    f"{_compared(self.before, figure)}."
                )

    def _verdict(self) -> str:
        words = describe(self.after.settings)
        if self.tuning.copy is not None:
            words.insert(0, f"a {self.after.quantization} copy, kept in {self.tuning.copy.parent}")
        if not words:
            return "The default settings are the best here: no other was 5 % faster."
        return (
            f"From now on {self.model} runs with {' and '.join(words)}: it will "
            f"{_compared(self.before, self.after)}. {self._command('--forget')} undoes it."
        )

    def _command(self, *flags: str) -> str:
        return f"`{' '.join(filter(None, ('%llm /tune', self.asked, *flags)))}`"

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                figure.label,
                f"{figure.prefill:.0f}",
                f"{figure.decode:.0f}",
                "" if figure.perplexity is None else f"{figure.perplexity:.2f}",
                self._mark(figure),
            )
            for figure in self.tuning.figures
        ]

    def _mark(self, figure: Figure) -> str:
        if figure == self.after:
            return "in use"
        return "offered" if figure == self.offer else ""

    def __str__(self) -> str:
        return f"{self.text}\n\n{markdown_table(_HEADER, self._rows())}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(str(self))

    def _repr_html_(self) -> str:
        """The report with a plot. All texts are escaped: a model's name may be anything."""
        paragraphs = "".join(f"<p>{_paragraph(line)}</p>" for line in self._lines())
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in self._rows()
        )
        header = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEADER)
        table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
        return f"<div>{paragraphs}{self._plot()}{table}</div>"

    def _plot(self) -> str:
        """An SVG bar chart: prefill on the left, decode on the right, a row a figure."""
        figures = self.tuning.figures
        width = _LABEL_WIDTH + len(_PANELS) * (_BAR_WIDTH + _GAP)
        height = _ROW_HEIGHT * (len(figures) + 1)
        parts = [
            _svg_text(0, row, figure.label, is_bold=bool(self._mark(figure)))
            for row, figure in enumerate(figures, 1)
        ]
        for number, (title, colour, value_of) in enumerate(_PANELS):
            left = _LABEL_WIDTH + number * (_BAR_WIDTH + _GAP)
            highest = max(map(value_of, figures), default=1.0)
            parts.append(_svg_text(left, 0, title))
            for row, figure in enumerate(figures, 1):
                value = value_of(figure)
                length = max(1.0, _BAR_WIDTH * value / highest)
                parts.append(
                    f'<rect x="{left}" y="{row * _ROW_HEIGHT + 3}" width="{length:.1f}" '
                    f'height="{_ROW_HEIGHT - 6}" fill="{colour}"/>'
                )
                parts.append(_svg_text(left + length + 4, row, f"{value:.0f}"))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" '
            f'height="{height}" font-family="sans-serif" font-size="12" fill="currentColor">'
            f"<title>Speed by setting</title>{''.join(parts)}</svg>"
        )


def _paragraph(line: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(line))


def _svg_text(left: float, row: int, text: str, *, is_bold: bool = False) -> str:
    weight = ' font-weight="bold"' if is_bold else ""
    y = row * _ROW_HEIGHT + 15
    return f'<text x="{left:.1f}" y="{y}"{weight}>{html.escape(text)}</text>'


def _compared(before: Figure, after: Figure) -> str:
    """How much faster one is than the other, and what it loses, as the end of a sentence."""
    prefill, decode = after.prefill / before.prefill, after.decode / before.decode
    text = (
        f"read prompts at {prefill:.2f} times the speed ({before.prefill:.0f} → "
        f"{after.prefill:.0f} tokens/s) and write at {decode:.2f} times ({before.decode:.0f} → "
        f"{after.decode:.0f} tokens/s)"
    )
    if after.quantization is None or before.perplexity is None or after.perplexity is None:
        return text
    loss = 100 * (after.perplexity / before.perplexity - 1)
    return (
        f"{text}; the perplexity of our fixed text goes from {before.perplexity:.2f} to "
        f"{after.perplexity:.2f} ({loss:+.1f} %)"
    )
