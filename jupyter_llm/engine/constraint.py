"""What an answer must look like, as checked values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_llm.errors import OptionError


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """The answer begins with one of these texts, whichever the model likes best, and is then free.

    Where one text begins another the answer may be free after the shorter one.
    """

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no answer could begin with."""
        texts: Any = self.texts
        is_several = isinstance(texts, tuple | list) and len(texts) > 0
        if not is_several or not all(isinstance(text, str) and text for text in texts):
            raise OptionError(
                f"An answer begins with one of at least one non-empty text, not {texts!r}."
            )
        object.__setattr__(self, "texts", tuple(texts))

    def free_part(self, answer: str) -> str:
        """What the model wrote freely, after the text it had to begin with."""
        sizes = (len(text) for text in self.texts if answer.startswith(text))
        return answer[min(sizes, default=len(answer)) :]


Constraint = BeginsWith
"""What is asked of an answer's text; the engine draws no token that breaks it."""
