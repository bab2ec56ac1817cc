"""The C library of this process, whose functions llama.cpp and we call directly."""

from __future__ import annotations

import ctypes


def c_library() -> ctypes.CDLL:
    """Return the C library, as an object of its own: its functions get no types from others."""
    try:
        return ctypes.CDLL(None)
    except TypeError:  # Windows opens no library without a name
        return ctypes.cdll.msvcrt
