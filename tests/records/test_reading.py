"""An answer is read again for its log-probabilities, which are those it was written with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.errors import OptionError
from jupyter_llm.models.fingerprint import file_sha256


@pytest.fixture
def real(smollm2: Path, fresh_llm: None, machine_is_tested: None) -> None:
    file_sha256(smollm2)
    llm.use(smollm2, n_ctx=1024, checkpoints=False)


def test_the_log_probabilities_are_those_of_the_answer(real: None) -> None:
    prompt = "Write the word 'hello', then a number. 😀"
    written = llm(prompt, temperature=1.5, seed=3, max_tokens=24, logprobs=5)
    asked = llm(prompt, temperature=1.5, seed=3, max_tokens=24)
    assert (asked.text, asked.logprobs) == (written.text, None)
    read = llm.read_again(asked)
    assert replace(read, logprobs=None) == asked
    pieces, expected = read.show_tokens().pieces, written.show_tokens().pieces
    assert "".join(one.text for one in pieces) == asked.text
    assert [one.text for one in pieces] == [one.text for one in expected]
    likely = [one.probability for one in expected]
    assert [one.probability for one in pieces] == pytest.approx(likely, rel=1e-3)
    tops = [[text for text, _ in (one.logprobs or ())[0].top] for one in (read, written)]
    assert tops[0] == tops[1]


def test_what_cannot_be_read_again_is_said_and_why(real: None) -> None:
    answer = llm("Name a prime.", max_tokens=4)
    for changed, why in (
        (replace(answer, text=""), "it is empty"),
        (replace(answer, provenance=None), "it is empty"),
        (replace(answer, reasoning="hm"), "the model thought first"),
    ):
        with pytest.raises(OptionError, match=why):
            llm.read_again(changed)
    assert answer.provenance is not None
    llm.answers.forget({answer.provenance.prompt_sha256})
    with pytest.raises(OptionError, match="not stored"):
        llm.read_again(answer)
