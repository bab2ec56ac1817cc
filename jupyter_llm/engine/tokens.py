"""Tokens with their likelihood, and an answer shown by them: inert HTML, or plain text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.controls import visible
from jupyter_llm.common.html_text import Html, filled, joined
from jupyter_llm.common.tables import count_of, percent
from jupyter_llm.errors import OptionError

NUM_OTHERS = 5
"""Number of likely tokens to show in each place."""

MOST_TOKENS = 4000  # a longer text is cut, to keep notebooks small
_SURE = 0.9
# The least probability of a band, its name, and its style. The line works without colours, which
# are translucent, so the text is legible in a light and in a dark theme.
_BANDS = (
    (_SURE, "from 90 %", "border-bottom: 2px solid transparent"),
    (0.5, "from 50 %", "border-bottom: 2px dotted; background-color: rgba(255, 193, 7, 0.25)"),
    (0.1, "from 10 %", "border-bottom: 2px solid; background-color: rgba(255, 128, 0, 0.3)"),
    (0.0, "less", "border-bottom: 5px double; background-color: rgba(244, 67, 54, 0.35)"),
)

_ROW = "<tr><td>{}</td><td>{}</td></tr>"
_SPAN = '<span style="{}"{}>{}</span>'


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a completion with its natural log-probability before any sampling option.

    `top` are the likeliest tokens in its place, with theirs, the likeliest first.
    """

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class LikelyPiece:
    """A piece of an answer: its probability, and a description (`told`) with the alternatives.

    It is a token, or the tokens of one character.
    """

    text: str
    probability: float
    told: str  # the name in the messages to the page

    @property
    def band(self) -> int:
        """Return the band of its probability, from 0 for the likeliest to 3."""
        return next(n for n, (least, *_) in enumerate(_BANDS) if self.probability >= least)


@dataclass(frozen=True, slots=True, repr=False)
class ShownTokens(Rich):
    """An answer with the probability of each of its tokens, before any sampling option."""

    pieces: tuple[LikelyPiece, ...]

    @classmethod
    def of(cls, text: str, tokens: Iterable[TokenLogprob] | None) -> ShownTokens:
        """Return the pieces of a text; `OptionError` without its log-probabilities."""
        if tokens is None:
            raise OptionError(
                "Of this answer no probabilities are known. Ask for them with it, as in "
                "llm(…, logprobs=5), or let `llm.read_again(…)` read them."
            )
        return cls(tuple(_pieces(text, tokens)))

    @classmethod
    def of_choice(cls, text: str, probabilities: Mapping[str, float]) -> ShownTokens:
        """Return a chosen text as one piece, with the other texts as alternatives."""
        others = sorted(probabilities.items(), key=lambda item: -item[1])
        return cls((_piece(text, probabilities[text], others),))

    @property
    def shown(self) -> tuple[LikelyPiece, ...]:
        """Return the pieces that fit a page."""
        return self.pieces[:MOST_TOKENS]

    @property
    def summary(self) -> str:
        """Return the number of tokens and of uncertain ones, and whether all are shown."""
        num_unsure = sum(piece.band > 0 for piece in self.pieces)
        is_cut = len(self.pieces) > MOST_TOKENS
        more = f"; the first {MOST_TOKENS} are shown" if is_cut else ""
        return f"{count_of(len(self.pieces), 'token')}, {num_unsure} below 90 %{more}."

    def __repr__(self) -> str:
        """Return the text, with the probability after each uncertain token."""
        return "".join(
            visible(piece.text) + (f"⟨{percent(piece.probability)}⟩" if piece.band else "")
            for piece in self.pieces
        )

    def _markup(self) -> Html:
        shown, num_more = self.shown, len(self.pieces) - MOST_TOKENS
        unsure = [piece for piece in shown if piece.band]
        more = filled("<p>… and {}</p>", count_of(num_more, "more token"))
        rows = joined(filled(_ROW, _quoted(piece.text), piece.told) for piece in unsure)
        table = filled(
            "<details><summary>{} below 90 %, as a table</summary>"
            "<table><tr><th>token</th><th>probability</th></tr>{}</table></details>",
            count_of(len(unsure), "token"),
            rows,
        )
        return filled(
            "<div><p><small>How likely each token was: {}</small></p>"
            '<p dir="auto" style="white-space: pre-wrap; line-height: 1.7">{}</p>{}{}</div>',
            joined((filled(_SPAN, look, "", name) for _, name, look in _BANDS), " "),
            joined(map(_span, shown)),
            more if num_more > 0 else "",
            table if unsure else "",
        )


def _span(piece: LikelyPiece) -> Html:
    look, text = _BANDS[piece.band][2], piece.text.replace("\n", "↵\n")
    return filled(_SPAN, look, filled(' title="{}"', piece.told), text)


def _quoted(text: str) -> str:
    """Return a text in quotes, on one line."""
    return visible(json.dumps(text, ensure_ascii=False))


def _pieces(text: str, tokens: Iterable[TokenLogprob]) -> Iterator[LikelyPiece]:
    """Yield the pieces of a text by its tokens; text of tokens outside of it is omitted."""
    at = 0
    torn: float | None = None  # log-probability of tokens with parts of a character
    for token in tokens:
        if at >= len(text):
            return
        if "\ufffd" in token.text:
            torn = (torn or 0.0) + token.logprob
            continue
        begin = at if torn is None else max(at, text.find(token.text, at))
        if begin > at:
            yield _piece(text[at:begin], math.exp(torn or 0.0))
        torn = None
        own = _shared(text, begin, token.text)
        others = [(other, math.exp(logprob)) for other, logprob in token.top]
        yield _piece(own, math.exp(token.logprob), others, token.text)
        at = begin + len(own)
    if at < len(text):
        yield _piece(text[at:], math.exp(torn or 0.0))


def _piece(
    text: str, probability: float, top: Sequence[tuple[str, float]] = (), own: str | None = None
) -> LikelyPiece:
    """Return a piece with the likeliest alternatives."""
    others = [f"{_quoted(one)} {percent(p)}" for one, p in top if one != (own or text)]
    description = "; ".join(filter(None, (percent(probability), ", ".join(others[:NUM_OTHERS]))))
    return LikelyPiece(text, probability, description)


def _shared(text: str, at: int, own: str) -> str:
    """Return a token's part in a text: the first may begin before it, the last may end after it."""
    if own.startswith(text[at:]):
        return text[at:]
    return next(own[n:] for n in range(len(own) + 1) if text.startswith(own[n:], at))
