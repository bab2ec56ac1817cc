"""What `/tune` found, as a value that shows as a table with bars."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_llm.common.html_text import paragraph
from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import markdown_table
from jupyter_llm.engine.tuning.figures import NEAR_LOSSLESS, Figure, Tuning, describe

_HEADER = ("", "prefill, tokens/s", "decode, tokens/s", "perplexity", "")


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

    def _row(self, figure: Figure) -> tuple[str, str, str, str, str]:
        return (
            figure.label,
            f"{figure.prefill:.0f}",
            f"{figure.decode:.0f}",
            "" if figure.perplexity is None else f"{figure.perplexity:.2f}",
            self._mark(figure),
        )

    def _mark(self, figure: Figure) -> str:
        if figure == self.after:
            return "in use"
        return "offered" if figure == self.offer else ""

    def __str__(self) -> str:
        return f"{self.text}\n\n{markdown_table(_HEADER, map(self._row, self.tuning.figures))}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return untrusted_markdown(str(self))

    def _repr_html_(self) -> str:
        """The report with a bar for each speed. All is escaped: a model's name may be anything."""
        paragraphs = "".join(f"<p>{paragraph(line)}</p>" for line in self._lines())
        header = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEADER)
        rows = "".join(f"<tr>{''.join(self._cells(figure))}</tr>" for figure in self.tuning.figures)
        table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
        return f"<div>{paragraphs}{table}</div>"

    def _cells(self, figure: Figure) -> Iterator[str]:
        share = {
            1: figure.prefill / max(other.prefill for other in self.tuning.figures),
            2: figure.decode / max(other.decode for other in self.tuning.figures),
        }
        for column, text in enumerate(self._row(figure)):
            bar = f'<meter value="{share[column]:.3f}"></meter> ' if column in share else ""
            yield f"<td>{bar}{html.escape(text)}</td>"


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
