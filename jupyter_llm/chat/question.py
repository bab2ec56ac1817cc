"""A question in a chat: its place among the turns, and the parts of the notebook it includes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from jupyter_llm.ask.asking import Origin
from jupyter_llm.ask.question import Question
from jupyter_llm.chat.budget import ContextMode, check_mode
from jupyter_llm.engine.options import SamplingOptions, SamplingParams
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.values.summaries import Summary
from jupyter_llm.notebook.values.variables import at_names, describe, plainly_mentioned, used

About = Callable[..., list[Summary]]
"""Describes variables, as `variables_about` does."""

_ASK_S = 0.4  # the most that the user's own `repr`s may take when a prompt is sent
_NUM_RECENT_CELLS = 2  # whose variables are included unasked
_MAX_VARIABLE_CHARS = 1600  # of all summaries that a prompt includes: about 500 tokens
_OPTIONS = (  # that users may give, besides those of sampling and of a shape
    *("model", "system", "params", "is_kept", "is_new", "cell", "after", "continues", "by"),
    *("context", "vars", "named", "about", "attachments", "raw", "before", "retries"),
    *("tools", "confirm"),
)
_INSTRUCTION = "Answer with Python code only, in one code block, without explanations."


class WriteOptions(SamplingOptions, total=False):
    """The options of code that is written without a memory of other prompts."""

    model: str | None
    into: str | None
    context: ContextMode
    try_drafts: bool | None
    params: SamplingParams | None
    is_kept: bool


def code_prompt(prompt: str) -> str:
    """Return a prompt that asks for code only."""
    return f"{prompt.rstrip()}\n\n{_INSTRUCTION}"


def asked_in(prompt: str) -> str:
    """Return a `code_prompt` without the instruction for code."""
    return prompt.removesuffix(_INSTRUCTION).rstrip()


@dataclass(frozen=True, kw_only=True)
class ChatQuestion(Question[Any]):
    """A question in a chat, with its place there, and with the parts of the notebook it includes.

    `system`: the system text of the chat from here on. `is_new`: forget the turns first. `cell`:
    the cell that asks; its earlier turn is replaced and that branch becomes the active one, but
    later turns are kept. The new prompt includes the cells that the old one included, and the
    cells above it that changed. `after`: the number of the turn that the prompt follows, 0 for the
    start; the turns after that one are kept on another branch. `continues`: include the turns of
    an earlier kernel. `by`: the person who asks, if there may be several.

    `attachments`: names and texts that this prompt includes. `named`: variables that it names.
    `about`: the prompt as it was typed. Variables are searched in it, so an `@` in an inserted
    value does not count. `context`: which cells the prompt includes. `vars`: a choice of
    variables, as of `--vars`. A prompt does not repeat a variable that a turn included.
    `is_code`: the answer is code for the next cell.
    """

    prompt: str
    origin: Origin = "chat"
    is_new: bool = False
    cell: Hashable = None
    after: int | None = None
    continues: bool = False
    by: str = ""
    context: ContextMode = "none"
    vars: str = "auto"
    named: Sequence[str] = ()
    about: str | None = None
    attachments: Sequence[tuple[str, str]] = ()
    is_code: bool = False

    @classmethod
    def written(cls, prompt: str, options: Mapping[str, Any]) -> Self:
        """Return a question with a user's options of a chat, of sampling and of a shape."""
        named = plainly_mentioned(check_text(prompt), own_variables(current_shell()))
        return cls.of(prompt, {"named": named, **options}, _OPTIONS)

    def for_code(self) -> ChatQuestion:
        """Return the same prompt as a request for the code of a cell."""
        self.check_without_tools()
        return replace(self, prompt=code_prompt(self.prompt), is_code=True)

    def referenced_cells(self, cells: Sequence[CellEvent]) -> frozenset[CellEvent]:
        """Return the cells that the prompt refers to; none if it has attachments."""
        from jupyter_llm.notebook.cells.pointing import referenced_cells  # compiles long patterns

        return frozenset() if self.attachments else referenced_cells(self.prompt, cells, self.named)

    def asked_again(self, cells: Sequence[CellEvent], names: frozenset[str]) -> ChatQuestion:
        """Return the question with those named variables that existed when it was first asked.

        `names`: the variables of that time that the turn included.
        """
        if self.about is None:
            return self
        variables = own_variables(current_shell())
        known = {*at_names(self.about, variables), *self.vars.split(","), *names}
        if not known.issuperset(self.named):
            known |= {name for cell in cells for name in used(cell.source, variables)}
        return replace(self, named=tuple(name for name in self.named if name in known))

    def __post_init__(self) -> None:
        """Refuse an invalid prompt, with the value in the message."""
        if self.raw or self.before or self.retries:
            raise OptionError(
                "A chat takes no raw=, before= or retries=: each prompt and answer is a turn of it."
            )
        super().__post_init__()
        check_mode(self.context)
        for attachment in self.attachments:
            match attachment:
                case (str(), str()):
                    pass
                case _:
                    raise OptionError(
                        f"An attachment is a name and a text, not {attachment!r:.60}."
                    )
        if self.after is not None and (self.is_new or self.cell is not None):
            raise OptionError("`after` cannot be combined with `is_new` or `cell`.")


def variables_about(
    prompt: str,
    choice: str,
    cells: Sequence[CellEvent],
    *,
    names: frozenset[str] | None = None,
    deadline_s: float = _ASK_S,
) -> list[Summary]:
    """Return summaries of the variables that matter to a prompt and the cells before it.

    If `names` is given, other variables count only if the cells use them, or after an `@`.
    """
    sources = [cell.source for cell in cells]
    variables = own_variables(current_shell())
    if names is not None:
        names |= {name for source in sources for name in used(source, variables)}
    return describe(
        prompt,
        sources[-_NUM_RECENT_CELLS:],
        variables,
        choice=choice,
        unasked=names,
        max_chars=_MAX_VARIABLE_CHARS,
        deadline_s=deadline_s,
    )
