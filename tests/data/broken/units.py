"""What one of the broken notebooks imports."""

from __future__ import annotations


def to_celsius(fahrenheit: float) -> float:
    """Convert degrees."""
    return (fahrenheit - 32) * 5 / 9
