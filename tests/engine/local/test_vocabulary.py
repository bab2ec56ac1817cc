"""Which tokens may come where only certain texts may, against a look at each token."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_llm.engine.local.vocabulary import Vocabulary

BYTES = [bytes([byte]) for byte in range(256)]
# Few letters, and the bytes of "é" and "😀", so that much begins alike.
letters = st.sampled_from([0, *b"ab ", 0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80, 0xFF])
pieces_of_some = st.lists(st.binary(max_size=3) | st.lists(letters, max_size=6).map(bytes))


def vocabulary(pieces: list[bytes]) -> Vocabulary:
    def longest_first(text: str) -> list[int]:
        data, token_ids = text.encode(), []
        while data:
            fits = (token for token, piece in enumerate(pieces) if piece and data.startswith(piece))
            token_ids.append(max(fits, key=lambda token: len(pieces[token])))
            data = data[len(pieces[token_ids[-1]]) :]
        return token_ids

    return Vocabulary(pieces, longest_first)


@given(pieces_of_some, st.lists(st.lists(letters, min_size=1).map(bytes), min_size=1))
def test_those_fit_that_begin_a_text_and_those_that_go_on_after_one(
    more: list[bytes], texts: list[bytes]
) -> None:
    texts = sorted(set(texts))
    texts = [one for one in texts if not any(one != o and one.startswith(o) for o in texts)]
    pieces = [*more, *BYTES, *more]
    expected = {
        token
        for token, piece in enumerate(pieces)
        if piece and any(text.startswith(piece) or piece.startswith(text) for text in texts)
    }
    assert set(vocabulary(pieces).fitting(texts)) == expected


@given(pieces_of_some, st.lists(letters, min_size=1).map(bytes), st.text("ab é😀", max_size=4))
def test_certain_tokens_begin_the_text_and_none_could_be_one_with_what_follows(
    more: list[bytes], start: bytes, more_text: str
) -> None:
    assume(start.decode("utf-8", "ignore").encode() == start)
    known = vocabulary([*BYTES, *more])
    certain = known.certain(start)
    written = b"".join(known.pieces[token] for token in certain)
    assert start.startswith(written)
    assert known._tokenize(start.decode() + more_text)[: len(certain)] == certain
