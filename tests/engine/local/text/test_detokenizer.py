"""Text comes out at whole characters, and no stop string is ever part of it."""

from __future__ import annotations

import codecs
from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_llm.engine.local.text.detokenizer import Detokenizer

TEXTS = st.text(st.sampled_from("abcé€😀👩‍🚀\u200d\n ")) | st.text()
STOPS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3).map(tuple)
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=8)


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into tokens of these sizes, over and over."""
    pieces: list[bytes] = []
    for size in cycle(sizes):
        if not data:
            return pieces
        pieces.append(data[:size])
        data = data[size:]
    raise AssertionError("no sizes")


def read(pieces: list[bytes], stop: tuple[str, ...] = ()) -> str:
    detokenizer = Detokenizer(stop)
    return "".join([*map(detokenizer.feed, pieces), detokenizer.flush()])


def whole_characters(data: bytes) -> str:
    """Decode as a whole; half a character at the very end is left out."""
    return codecs.utf_8_decode(data, "replace", False)[0]  # noqa: FBT003


@given(
    st.binary() | TEXTS.map(str.encode) | st.text().map(lambda text: text.encode("utf-16")), SIZES
)
@example(b"a\xffb", [1])  # no start byte
@example(b"\xc0\xaf", [1])  # overlong
@example(b"\xe2\x82b", [1])  # broken off by a letter
@example(b"\xed\xa0\x80!", [1])  # a surrogate
@example(b"hi \xf0\x9f\x98", [3])  # half a character at the very end
def test_any_split_of_any_bytes_reads_like_the_whole(data: bytes, sizes: list[int]) -> None:
    assert read(split(data, sizes)) == whole_characters(data)


@pytest.mark.parametrize("sizes", [[1], [2], [3]], ids=str)
def test_of_stop_strings_that_overlap_the_first_to_be_complete_wins(sizes: list[int]) -> None:
    assert read(split(b"aba", sizes), ("aba", "b")) == "a"


@given(st.text("ab", max_size=12), SIZES, STOPS)
@example("aba", [1], ("aba", "b"))
def test_streaming_gives_what_one_piece_gives(
    text: str, sizes: list[int], stop: tuple[str, ...]
) -> None:
    assert read(split(text.encode(), sizes), stop) == read([text.encode()], stop)


@given(st.text("ab", max_size=12), SIZES, STOPS)
def test_no_stop_string_is_in_the_text_and_nothing_before_it_is_lost(
    text: str, sizes: list[int], stop: tuple[str, ...]
) -> None:
    result = read(split(text.encode(), sizes), stop)
    assert text.startswith(result)
    assert not any(string in result for string in stop)
    if result != text:
        assert any(text.startswith(string, len(result)) for string in stop)
