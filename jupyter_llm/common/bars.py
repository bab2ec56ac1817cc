"""Progress bars: printed, or given to whoever shows them."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

ShowProgress = Callable[[str], None]
"""Shows a line of text about how far something is, in place of the last one."""

_DELAY_S = 0.5  # small models load before a bar could be read


@contextmanager
def loading_bar(
    name: str, size_bytes: int, show: ShowProgress | None = None
) -> Iterator[Callable[[float], None]]:
    """Show how far a model has been loaded; give the function to be told the share, 0 to 1.

    `show` is given the bar as a line of text, each time it changes. Without it the bar is printed
    and wiped away, but on the main thread only: what other threads print lands in whichever cell
    ran last.
    """
    options = {"desc": f"Loading {name}", "unit": "B", "unit_scale": True, "delay": _DELAY_S}
    with _bar(size_bytes, show, **options) as bar:
        yield lambda share: _advance(bar, int(share * size_bytes))


@contextmanager
def tuning_bar(
    name: str, show: ShowProgress | None = None
) -> Iterator[Callable[[float, str], None]]:
    """Show how far a model has been measured; give the function to be told the share and what.

    It appears as `loading_bar` does.
    """
    line = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
    with _bar(100, show, desc=f"Measuring {name}", bar_format=line) as bar:

        def tell(share: float, text: str) -> None:
            if bar is not None:
                bar.n = int(100 * share)
                bar.set_postfix_str(text)

        yield tell


@contextmanager
def replay_bar(
    num_answers: int, show: ShowProgress | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how many answers have been written again; give the function to be told the number.

    It appears as `loading_bar` does.
    """
    line = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} [{elapsed}]"
    options = {"desc": "Writing again", "bar_format": line, "delay": _DELAY_S}
    with _bar(num_answers, show, **options) as bar:
        yield lambda num_done: _advance(bar, num_done)


@contextmanager
def _bar(total: int, show: ShowProgress | None, **options: Any) -> Iterator[Any]:
    """Show a progress bar of tqdm's, or None where nobody would see it."""
    if show is None and threading.current_thread() is not threading.main_thread():
        yield None
        return
    from tqdm import tqdm

    file = _bar_file() if show is None else _ShownFile(show)
    with tqdm(total=total, leave=False, file=file, **options) as bar:
        yield bar


def _bar_file() -> TextIO:
    """Where a bar is printed: a notebook shows stderr in red, a pipeline reads stdout."""
    return sys.stdout if "ipykernel" in sys.modules else sys.stderr


def _advance(bar: Any, position: int) -> None:
    if bar is not None:
        bar.update(position - bar.n)


class _ShownFile(io.TextIOBase):
    """Where tqdm writes its bar, for somebody else to show."""

    def __init__(self, show: ShowProgress) -> None:
        self._show = show

    def write(self, text: str) -> int:
        bar = text.strip()
        if bar:  # tqdm wipes its bar away with spaces
            self._show(bar)
        return len(text)
