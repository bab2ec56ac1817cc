"""What a chat is asked: a prompt, what goes along with it, and how it is to be answered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.question import check_ends
from jupyter_llm.chat.budget import ContextMode, check_mode
from jupyter_llm.engine.constraint import Constraint
from jupyter_llm.engine.options import SamplingParams, sampling_params
from jupyter_llm.engine.request import check_text
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.cells.shell import current_shell, own_variables
from jupyter_llm.notebook.values.variables import at_names, describe, plainly_mentioned, used

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.ask.shape import Shape
    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.values.summaries import Summary

    About = Callable[..., list[Summary]]
    """Tells of variables, as `variables_about`."""

_ASK_S = 0.4  # that the user's own `repr`s may take when a prompt is sent
_NUM_RECENT_CELLS = 2  # whose variables go along unasked
_MAX_VARIABLE_CHARS = 1600  # of all summaries that go along with a prompt: about 500 tokens
_INSTRUCTION = "Answer with Python code only, in one code block, without explanations."


def code_prompt(prompt: str) -> str:
    """A prompt that asks for code and nothing else."""
    return f"{prompt.rstrip()}\n\n{_INSTRUCTION}"


def asked_in(prompt: str) -> str:
    """What was asked for with a `code_prompt`."""
    return prompt.removesuffix(_INSTRUCTION).rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt for a chat, checked.

    `system` is the chat's system text from here on, and `is_new` forgets the turns first. If a turn
    of the same `origin` exists, the new one takes its place and is answered from what came before
    it; later turns stay, and its branch becomes the active one. It tells the cells that the old one
    told, and what has changed of those that stood above it then. With `after` the number of a turn
    is given that the prompt follows, or 0 for the start: what followed that turn stays, as another
    branch.

    `attachments` are names and texts that go along with this prompt, `named` the variables that it
    names. Those go along that matter to what it is `about`, the prompt as it was typed: an `@` in a
    value that is put in means nothing. `vars` chooses among them, as `--vars` does. One that a turn
    has told already is not told again. With `is_kept=False`
    nothing of it is written to the disk. With `goes_on` it follows what an earlier kernel kept of
    the chat; else that is not told. With `is_code` the answer is to be code for the next cell.
    `by` is who asks, where several people may. A `constraint` holds for the answer, of which the
    `instruction` tells the model.
    """

    prompt: str
    model: str | None = None
    system: str | None = None
    is_new: bool = False
    origin: Hashable = None
    after: int | None = None
    attachments: Sequence[tuple[str, str]] = ()
    named: Sequence[str] = ()
    context: ContextMode = "none"
    about: str | None = None
    vars: str = "auto"
    is_kept: bool = True
    goes_on: bool = False
    params: SamplingParams = field(default_factory=SamplingParams)
    is_code: bool = False
    by: str = ""
    constraint: Constraint | None = None
    instruction: str = ""

    def shaped(self, shape: Shape[Any]) -> Asked:
        """Return the prompt for an answer of a shape; later prompts include the answer's text."""
        check_ends(self.params)
        return replace(
            self,
            constraint=shape.for_prompt(self.prompt).constraint,
            instruction=shape.told(has_reasons=self.params.reason > 0),
        )

    def for_code(self) -> Asked:
        """The same as a request for the code of a cell."""
        return replace(self, prompt=code_prompt(self.prompt), is_code=True)

    def referenced_cells(self, cells: Sequence[CellEvent]) -> frozenset[CellEvent]:
        """Which of some cells it is about, if it brings along none of them."""
        from jupyter_llm.notebook.cells.pointing import referenced_cells  # compiles long patterns

        return frozenset() if self.attachments else referenced_cells(self.prompt, cells, self.named)

    def asked_again(self, cells: Sequence[CellEvent], names: frozenset[str]) -> Asked:
        """A prompt that knows the variables of when it was first asked, below those cells."""
        if self.about is None:
            return self
        variables = own_variables(current_shell())
        known = {*at_names(self.about, variables), *self.vars.split(","), *names}
        if not known.issuperset(self.named):
            known |= {name for cell in cells for name in used(cell.source, variables)}
        return replace(self, named=tuple(name for name in self.named if name in known))

    def __post_init__(self) -> None:
        """Refuse what cannot be asked, with the value in hand."""
        check_text(self.prompt)
        check_mode(self.context)
        for attachment in self.attachments:
            match attachment:
                case (str(), str()):
                    pass
                case _:
                    raise OptionError(
                        f"An attachment is a name and a text, not {attachment!r:.60}."
                    )
        if self.after is not None and (self.is_new or self.origin is not None):
            raise OptionError("`after` says where a prompt stands; `is_new` and `origin` do too.")


def asked_with(prompt: str, options: dict[str, Any]) -> Asked:
    """A prompt with options as people write them: those of `Asked`, and the sampling options."""
    named = plainly_mentioned(check_text(prompt), own_variables(current_shell()))
    given = {one.name: options.pop(one.name) for one in fields(Asked) if one.name in options}
    return Asked(prompt=prompt, **{"named": named, "params": sampling_params(options), **given})


def variables_about(
    prompt: str,
    choice: str,
    cells: Sequence[CellEvent],
    *,
    names: frozenset[str] | None = None,
    deadline_s: float = _ASK_S,
) -> list[Summary]:
    """The summaries of the variables that matter to a prompt and the cells before it.

    Where `names` are given, others count only if the cells use them, or by their `@`.
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
