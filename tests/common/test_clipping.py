"""Long texts keep their head and tail and say what is gone."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.common.clipping import Scroll, clip

NOTE = re.compile(r"\[… ([\d,]+) characters left out …\]")


def num_left_out(text: str) -> int:
    (number,) = NOTE.findall(text)
    return int(number.replace(",", ""))


def written(*pieces: str, max_chars: int = 60) -> str:
    scroll = Scroll(max_chars)
    for piece in pieces:
        scroll.write(piece)
    return str(scroll)


def test_whole_lines_are_kept_at_both_ends() -> None:
    lines = [f"line {number}" for number in range(100)]
    shown = clip("\n".join(lines), 90).splitlines()
    assert shown[0] == "line 0"
    assert shown[-1] == "line 99"
    assert all(line in lines or NOTE.fullmatch(line) for line in shown)


@given(
    st.lists(st.text("ab\n", max_size=300), max_size=20), st.integers(min_value=10, max_value=90)
)
def test_a_scroll_keeps_the_head_and_the_tail_of_all_that_was_written(
    pieces: list[str], max_chars: int
) -> None:
    whole = "".join(pieces)
    shown = written(*pieces, max_chars=max_chars)
    if len(whole) <= max_chars:
        assert shown == whole
    elif shown != whole:
        head, tail = NOTE.split(shown)[::2]
        assert whole.startswith(head.rstrip("\n"))
        assert whole.endswith(tail.lstrip("\n"))
        assert len(head) + len(tail) <= max_chars + 2


def test_a_gigabyte_takes_no_room() -> None:
    scroll = Scroll(3000)
    piece = "y" * 1_000_000
    for _ in range(1000):
        scroll.write(piece)
    assert len(str(scroll)) < 3100
    assert num_left_out(str(scroll)) == 1_000_000_000 - 3000


def test_of_a_progress_bar_the_last_state_stays() -> None:
    bar = [f"\r{percent}%" for percent in range(101)]
    assert written("begin\n", *bar, "\n", "end\n") == "begin\n100%\nend\n"
    assert written(*(f"{percent}%\r" for percent in range(101)), "done\n") == "done\n"
    assert written("50%\r", "\n", "x") == "50%\nx"
    assert written("a\r\nb\r", "\n") == "a\nb\n"
    assert written("1%\r2%\r3%\nx\ry") == "3%\ny"
