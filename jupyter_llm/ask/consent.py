"""Asks the user before a model's wish comes true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import NotAllowedError

if TYPE_CHECKING:
    from collections.abc import Hashable


class Consent:
    """Answers of the user to one kind of question, by keys.

    "always" and "never" hold as long as the process lives; if `kind` is given, "always" is stored
    for later processes, and then the keys are texts.
    """

    def __init__(self, kind: str = "") -> None:
        self._answers: dict[Hashable, bool] = {}
        self._stored = Remembered(kind) if kind else None

    def known(self, key: Hashable) -> bool | None:
        """Return an answer that holds, None if the user has to be asked."""
        is_stored = self._stored is not None and self._stored.get(str(key)) is not None
        return True if is_stored else self._answers.get(key)

    def allows(self, key: Hashable, question: str, otherwise: str = "") -> bool:
        """Return the answer that holds, or ask the user.

        `NotAllowedError`: nobody can be asked. The message ends with `otherwise`.
        """
        if (known := self.known(key)) is not None:
            return known
        try:
            answer = input(f"{question} yes, always, no or never: ").strip().lower()
        except (EOFError, OSError, NotImplementedError):
            message = f"Nobody can be asked: {question}".replace("\n", " ")
            raise NotAllowedError(f"{message} {otherwise}".rstrip()) from None
        if answer in ("always", "never"):
            self._answers[key] = answer == "always"
            if answer == "always" and self._stored is not None:
                self._stored.put(str(key), "")
        return answer in ("y", "yes", "once", "always")
