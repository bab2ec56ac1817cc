"""The result of a command, which each front end shows as well as it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.tokens import ShownTokens
    from jupyter_llm.tasks.proposal import Proposal


@dataclass(frozen=True, slots=True)
class Shown:
    """Untrusted Markdown, and what some front ends show instead.

    `rich`: an object that a notebook displays. `completion`: a model's answer. `proposal`: a
    proposed cell. `tokens`: an answer with its probabilities. `choices`: commands that a panel
    offers next.
    """

    text: str = ""
    rich: object = None
    completion: Completion | None = None
    proposal: Proposal | None = None
    tokens: ShownTokens | None = None
    choices: tuple[Any, ...] = ()

    @classmethod
    def report(cls, report: object) -> Shown:
        """Return an object that a notebook displays, and whose `str` is Markdown."""
        return cls(str(report), rich=report)

    @classmethod
    def answer(cls, completion: Completion) -> Shown:
        """Return a model's answer."""
        return cls(str(completion), completion=completion)

    @classmethod
    def change(cls, proposal: Proposal) -> Shown:
        """Return a proposal."""
        return cls(str(proposal), proposal=proposal, completion=proposal.completion)

    def __str__(self) -> str:
        return self.text
