"""The size of the context of a prompt: tokens for a prompt, characters for a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from jupyter_llm.engine.info import ModelInfo

ContextMode = Literal["auto", "none", "all"] | int
"""Which cells go along with a prompt; a number means the last so many."""

MODES = ("auto", "none", "all")

# Bytes of a model file, and the most tokens that a model of that size is told by itself. The small
# ones lose the thread: what stands in the middle of a long prompt is no longer found.
_TIERS = ((700_000_000, 4096), (3_000_000_000, 8192), (10_000_000_000, 16_384))
_MOST = 32_768
_COPYING = 2_000_000_000  # parameters
_CHARS_A_TOKEN = 3  # of source and outputs, at the least
# The longest source of a cell takes an eighth of the budget, and its outputs half as much: they
# are the first to be long, and seldom what a question is about.
_SOURCE_SHARE, _OUTPUT_SHARE = 8, 16
_MIN_CHARS, _MAX_CHARS = 400, 8000


def check_mode(mode: object) -> ContextMode:
    """Check that a mode is `auto`, `none`, `all` or a number of cells; else raise `OptionError`."""
    if mode in MODES or (isinstance(mode, int) and not isinstance(mode, bool) and mode >= 0):
        return mode  # type: ignore[return-value]
    raise OptionError(f"context must be auto, none, all or a number of cells, not {mode!r}.")


def budget(info: ModelInfo, mode: ContextMode, max_tokens: int | None) -> int:
    """Return the maximum of tokens that a prompt may have.

    With `auto`, or a number of cells, that is half the context window, and at most 4096 tokens for
    models of up to 700 MB, 8192 up to 3 GB, 16384 up to 10 GB and 32768 beyond. With `all`, and
    with `none`, which adds nothing to the turns, it is the window without the room for the answer:
    `max_tokens`, but at most a quarter.
    """
    window = info.n_ctx - min(max_tokens or info.n_ctx, info.n_ctx // 4)
    known = info.size_bytes or info.num_parameters  # of a server's model often neither
    is_known = known > 0 or not info.host
    most = next((most for size, most in _TIERS if is_known and known <= size), _MOST)
    by_itself = min(info.n_ctx // 2, most)
    return window if mode in ("all", "none") else min(window, by_itself)


def num_chars(num_tokens: int) -> int:
    """Return a number of characters that almost surely fit into a budget."""
    return num_tokens * _CHARS_A_TOKEN


def source_chars(num_tokens: int) -> int:
    """Return the maximum of characters of the source of a cell."""
    return _bounded(num_chars(num_tokens) // _SOURCE_SHARE)


def output_chars(num_tokens: int) -> int:
    """Return the maximum of characters of all outputs of a cell."""
    return _bounded(num_chars(num_tokens) // _OUTPUT_SHARE)


def attachment_chars(num_tokens: int, num_attachments: int) -> int:
    """Return the maximum of characters of each attachment: half of the budget for all."""
    return max(_MIN_CHARS, num_chars(num_tokens) // 2 // max(1, num_attachments))


def includes_if_named(info: ModelInfo, mode: ContextMode) -> bool:
    """Whether prompts include cells and variables only if they are about them.

    This is the default for models below 1B parameters: they repeat their context, whatever the
    question is.
    """
    return mode == "auto" and info.sampling.is_small


def includes_code_needs(info: ModelInfo, mode: ContextMode) -> bool:
    """Whether a request for code includes only what the code may build on.

    This is the default for models below 2B parameters: they copy their context.
    """
    return mode == "auto" and 0 < info.num_parameters < _COPYING


def _bounded(chars: int) -> int:
    return max(_MIN_CHARS, min(chars, _MAX_CHARS))
