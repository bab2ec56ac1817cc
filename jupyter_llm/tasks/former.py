"""What was proposed before: another draft is to be unlike it, and a follow-up is told it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyter_llm.ask.drafts import varied
from jupyter_llm.common.markdown import code_block
from jupyter_llm.engine.request import Message
from jupyter_llm.notebook.values.redaction import redact_mixed

if TYPE_CHECKING:
    from jupyter_llm.engine.request import Request

_SEEDS = 16  # of the drafts of one proposal, at the most
_WISH = "{wish}\n\nAnswer with all of it again, changed like this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The last of `count` proposals for the same, by its `source`, in a `language`.

    What is proposed next heeds the `wish`; without one it is another draft of the same prompt. With
    `has_heeded` it is another draft of what heeds the wish.
    """

    source: str = ""
    wish: str = ""
    count: int = 1
    language: str = "python"
    has_heeded: bool = False

    def followed(self, request: Request) -> Request:
        """A request for what is to follow, made of the one that was answered with this."""
        if not self.wish.strip():
            return varied(request, _SEEDS * self.count)
        assert isinstance(request.prompt, tuple)
        answer, wish = code_block(self.source, self.language), self.wish.strip()
        said = Message("assistant", redact_mixed(answer).text)
        asked = Message("user", redact_mixed(_WISH.format(wish=wish)).text)
        followed = replace(request, prompt=(*request.prompt, said, asked))
        return varied(followed, _SEEDS * self.count) if self.has_heeded else followed

    def allows(self, source: str) -> bool:
        """Whether something that no model wrote may follow; it heeds no wish."""
        return not self.wish.strip() and source.split() != self.source.split()
