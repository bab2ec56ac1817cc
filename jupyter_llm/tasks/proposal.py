"""Code that is proposed: a cell to change, or a new one. The kernel runs nothing of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import unified_diff

from jupyter_llm.ask.many import varied
from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.html_text import Html, diff_block, filled, joined, paragraph
from jupyter_llm.common.markdown import Markdown, code_block, untrusted_markdown
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import shown_name
from jupyter_llm.notebook.values.redaction import redact_mixed

_SEEDS = 16  # of the drafts of one proposal, at the most
_WISH = "{wish}\n\nAnswer with all of it again, changed like this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Rich):
    """A cell as it might be. Shows as a diff, or as code if it is a new cell.

    `completion` is what a model wrote, None where a rule changed the cell. `cell` is the one to
    change, None for a new cell; `reason` says why that one, and `mend` what is wrong in it, where
    that is known. `verdict` is a sentence about what was seen when it was tried. `unknown_names`
    are used in `source` and defined nowhere. `runs` are the ids of the cells to run, this one among
    them; if nothing changes, that is all. `below` are the sources of new cells below this one, and
    `others` are changes of other cells that belong to it.
    """

    source: str
    completion: Completion | None = field(default=None, repr=False)
    cell: CellEvent | None = None
    reason: str = ""
    mend: str = ""
    verdict: str = ""
    unknown_names: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    others: tuple[Proposal, ...] = ()

    @property
    def diff(self) -> str:
        """The change of the cell, as a unified diff; empty if nothing changes."""
        if self.cell is None:
            return ""
        name = shown_name(self.cell)
        before, after = (_lines(text) for text in (self.cell.source, self.source))
        return "".join(unified_diff(before, after, name, f"{name}, changed"))

    @property
    def only_runs(self) -> bool:
        """Whether cells are to run, and nothing changes."""
        return bool(self.runs) and not self.diff

    def to_markdown(self, *, is_in_cell: bool = False) -> str:
        """The proposal as Markdown, to be taken for untrusted.

        With `is_in_cell` the code of a new cell is left out, since it is to be seen there.
        """
        code = ""
        if self.diff:
            code = code_block(self.diff, "diff")
        elif self.cell is None and not is_in_cell:
            code = "\n\n".join(map(code_block, (self.source, *self.below)))
        others = (other.to_markdown() for other in self.others)
        return "\n\n".join(filter(None, (self._opening, code, *others, self._remark)))

    def to_html(self) -> Html | None:
        """The change as HTML, what comes and goes in colour; None if nothing changes."""
        if not self.diff:
            return None
        around = (self._opening, self._remark)
        above, below = (filled("<p>{}</p>", paragraph(one)) if one else Html() for one in around)
        others = (other.to_html() or Html() for other in self.others)
        return joined([above, diff_block(self.diff), *others, below])

    def _markup(self) -> Markdown | Html:
        return self.to_html() or untrusted_markdown(str(self))

    @property
    def _opening(self) -> str:
        if self.cell is None or self.only_runs:
            return ""
        name = shown_name(self.cell)
        if not self.diff:
            return (
                f"No change to {name}."
                if self.verdict
                else f"The model would leave {name} as it is."
            )
        which = f", which {self.reason}" if self.reason else ""
        return (
            f"A change to {name}{which}: {self.mend}."
            if self.mend
            else f"A change to {name}{which}:"
        )

    @property
    def _remark(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.unknown_names)
        unknown = f"Defined nowhere: {names}." if names else ""
        return " ".join(filter(None, (self.verdict, unknown)))

    def __str__(self) -> str:
        return self.to_markdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The last of `count` proposals for the same request, by its `source`, in a `language`.

    The next proposal follows the `wish`; without a wish it is another draft of the same prompt.
    `has_heeded`: it is another draft of the follow-up.
    """

    source: str = ""
    wish: str = ""
    count: int = 1
    language: str = "python"
    has_heeded: bool = False

    def followed(self, request: Request) -> Request:
        """Return the request for the next proposal, made from the request of this one."""
        if not self.wish.strip():
            return varied(request, _SEEDS * self.count)
        assert isinstance(request.prompt, tuple)
        answer, wish = code_block(self.source, self.language), self.wish.strip()
        turn = Message("assistant", redact_mixed(answer).text)
        asked = Message("user", redact_mixed(_WISH.format(wish=wish)).text)
        followed = replace(request, prompt=(*request.prompt, turn, asked))
        return varied(followed, _SEEDS * self.count) if self.has_heeded else followed

    def allows(self, source: str) -> bool:
        """Whether a proposal that no model wrote may follow: it cannot follow a wish."""
        return not self.wish.strip() and source.split() != self.source.split()


def _lines(text: str) -> list[str]:
    """Lines that all end alike: that a text's last one does not is nothing to change."""
    return [f"{line}\n" for line in text.rstrip("\n").split("\n")]
