"""Actions on cells whose outcome a test decides, over the extension's real comm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from jupyter_llm.common.bars import Step
from jupyter_llm.frontends.comm.calls import call
from jupyter_llm.frontends.comm.line import Part
from jupyter_llm.frontends.comm.messages import (
    CellProposal,
    ErrorMessage,
    OpenProposal,
    ProgressMessage,
    Reply,
    TargetCellData,
)
from jupyter_llm.frontends.lab import target
from jupyter_llm.frontends.lab.actions import Actions
from jupyter_llm.tasks.proposal import Former

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.frontends.lab.session import Session


class ScriptedActions(Part):
    """Takes what a page asks for, and answers the latest of it when it is told to."""

    asked: ClassVar[list[SimpleNamespace]] = []  # by all pages

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._take_over()
        self.proposals = session.proposals
        self.cancelled: list[object] = []

    def _take_over(self) -> None:
        global actions  # noqa: PLW0603  the page that came or asked last is the one of the test
        actions = self

    def stop(self, target: int | str | None) -> None:
        self.cancelled.append(target)

    @call("later")
    def act(
        self,
        request: str,
        /,
        action: str,
        cell: TargetCellData,
        selection: list[int] | None,
        instruction: str | None,
        task: str,
        former: Former | None = None,
    ) -> None:
        self._take_over()
        asked = {"action": action, "cell": cell, "selection": selection, "former": former}
        asked["task"] = task
        self.asked.append(SimpleNamespace(id=request, instruction=instruction, **asked))

    def write(
        self, text: str, share: float | None = None, *, said: str = "Writing", is_new: bool = True
    ) -> None:
        """Say how far it is, and a text, or more of it."""
        self._put(ProgressMessage(Step(said, share), self.asked[-1].id, text=text, is_new=is_new))

    def answer(self, markdown: str) -> None:
        """Answer in words."""
        self._put(Reply(self.asked[-1].id, markdown))

    def fail(self, text: str) -> None:
        """Say that nothing came of it."""
        self._put(ErrorMessage(id=self.asked[-1].id, text=text))

    def propose(
        self,
        source: str,
        *,
        index: int = -1,
        markdown: str = "",
        others: Sequence[dict[str, Any]] = (),
        **changes: Any,
    ) -> None:
        """Propose other code for the cell as it was asked about, and changes of others with it."""
        act = self.asked[index]
        known = {"cell": act.cell.id, "before": act.cell.source, "unknown_names": [], "runs": []}
        metadata = {"jupyter_llm": {"record": 7}}
        known |= {"metadata": metadata, "markdown": markdown}
        waiting, *rest = (
            OpenProposal(act.action, act.cell.id, act.instruction, CellProposal(**known | change))
            for change in ({"source": source, **changes}, *others)
        )
        self.proposals.keep(act.task, waiting, self._line)
        self.proposals.keep_others(act.task, rest)
        self._put(Reply(act.id, waiting.proposal))


actions: ScriptedActions


def script() -> None:
    """Have pages that connect from now on be answered so."""
    kept = (part for part in target.PARTS if part not in (Actions, ScriptedActions))
    target.PARTS = (*kept, ScriptedActions)
