"""How likely each token was, shown: text and numbers as they are, and nothing that acts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.engines import ask, load
from support.html_reader import HtmlReader

from jupyter_llm.engine.completion import Completion, Usage
from jupyter_llm.engine.tokens import TokenLogprob
from jupyter_llm.errors import OptionError


def completion(text: str, *tokens: tuple[str, float] | TokenLogprob) -> Completion:
    logprobs = tuple(
        token if isinstance(token, TokenLogprob) else TokenLogprob(0, token[0], math.log(token[1]))
        for token in tokens
    )
    return Completion(text=text, finish_reason="stop", usage=Usage(), model="m", logprobs=logprobs)


def test_each_token_has_its_number_in_words_and_in_a_table_without_colours() -> None:
    top = (("red", math.log(0.45)), (" blue\n", math.log(0.4)), ("x", math.log(0.0004)))
    unsure = TokenLogprob(1, " blue\n", math.log(0.4), top)
    shown = completion("sky is blue\n", ("sky is", 0.97), unsure).show_tokens()
    page = HtmlReader(shown._repr_mimebundle_()[0]["text/html"])
    assert page.titles == ["97 %", '40 %; "red" 45 %, "x" <0.1 %']
    assert "1 token below 90 %" in page.text
    assert '" blue\\n"' in page.text
    assert repr(shown) == "sky is blue\n⟨40 %⟩"


def test_tokens_that_hold_parts_of_characters_come_together() -> None:
    half = [("\ufffd", 0.5), ("\ufffd", 0.5)]
    for text, tokens, expected in (
        ("a😀b", [("a", 1.0), *half, ("b", 1.0)], [("a", 1.0), ("😀", 0.25), ("b", 1.0)]),
        ("😀", half, [("😀", 0.25)]),
        # The first token may begin in the thoughts before, the last end behind a stop text.
        ("so it", [("> so", 0.5), (" it.\n", 0.9)], [("so", 0.5), (" it", 0.9)]),
    ):
        pieces = completion(text, *tokens).show_tokens().pieces
        assert [(one.text, round(one.probability, 3)) for one in pieces] == expected


def test_what_is_shown_of_real_answers_is_their_text(smollm2: Path) -> None:
    engine = load(smollm2, n_ctx=512, checkpoints=False)
    answer = ask(
        engine, "😀🎉 is a smiley. 🦄", 24, temperature=2.0, seed=4, logprobs=5, exact=False
    )
    pieces = answer.show_tokens().pieces
    assert "".join(piece.text for piece in pieces) == answer.text
    assert any("; " in piece.told for piece in pieces)


def test_without_log_probabilities_it_is_said_how_to_ask_for_them() -> None:
    answer = Completion(text="x", finish_reason="stop", usage=Usage(), model="m")
    with pytest.raises(OptionError, match=r"logprobs=5.*read_again"):
        answer.show_tokens()
