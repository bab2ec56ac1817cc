"""A prompt for a chat: its text, its context, and the form of its answer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.question import take_shape
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
    """Return a prompt that asks for code only."""
    return f"{prompt.rstrip()}\n\n{_INSTRUCTION}"


def asked_in(prompt: str) -> str:
    """Return the request of a `code_prompt`."""
    return prompt.removesuffix(_INSTRUCTION).rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked prompt for a chat.

    `system`: the system text of the chat from here on. `is_new`: forget the turns first. `origin`:
    the cell of the prompt; a turn of the same cell is replaced, and its branch becomes the active
    one, but later turns stay. The new prompt includes the cells that the old one included, and the
    cells above it that changed. `after`: the number of the turn that the prompt follows, 0 for the
    start; turns that followed that turn stay on another branch.

    `attachments`: names and texts that this prompt includes. `named`: variables that it names.
    `about`: the prompt as it was typed, in which variables are looked for, so an `@` in an inserted
    value does not count. `vars`: a choice of variables, as of `--vars`. A prompt does not repeat a
    variable that a turn included. `is_kept`: whether the turn may be written to the disk.
    `continues`: include the turns of an earlier kernel. `is_code`: the answer is code for the next
    cell. `by`: the person who asks, if there may be several. `shape`: the form of the answer.
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
    continues: bool = False
    params: SamplingParams = field(default_factory=SamplingParams)
    is_code: bool = False
    by: str = ""
    shape: Shape[Any] | None = None

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of the answer, if the prompt is `bound`."""
        return self.shape.constraint if self.shape is not None else None

    @property
    def instruction(self) -> str:
        """The instruction that tells the model about the shape of its answer."""
        return self.shape.instruction_with(self.params) if self.shape is not None else ""

    def bound(self) -> Asked:
        """Return the prompt with a shape whose quotes are passages of it."""
        if self.shape is None:
            return self
        return replace(self, shape=self.shape.for_prompt(self.prompt))

    def for_code(self) -> Asked:
        """Return the same prompt as a request for the code of a cell."""
        return replace(self, prompt=code_prompt(self.prompt), is_code=True)

    def referenced_cells(self, cells: Sequence[CellEvent]) -> frozenset[CellEvent]:
        """Return the cells that the prompt is about; none, if it has attachments."""
        from jupyter_llm.notebook.cells.pointing import referenced_cells  # compiles long patterns

        return frozenset() if self.attachments else referenced_cells(self.prompt, cells, self.named)

    def asked_again(self, cells: Sequence[CellEvent], names: frozenset[str]) -> Asked:
        """Return the prompt with the variables of the moment when it was first asked."""
        if self.about is None:
            return self
        variables = own_variables(current_shell())
        known = {*at_names(self.about, variables), *self.vars.split(","), *names}
        if not known.issuperset(self.named):
            known |= {name for cell in cells for name in used(cell.source, variables)}
        return replace(self, named=tuple(name for name in self.named if name in known))

    def __post_init__(self) -> None:
        """Refuse an invalid prompt, with the value in the message."""
        check_text(self.prompt)
        check_mode(self.context)
        if self.shape is not None:
            self.shape.instruction_with(self.params)  # refuses options that the shape forbids
        for attachment in self.attachments:
            match attachment:
                case (str(), str()):
                    pass
                case _:
                    raise OptionError(
                        f"An attachment is a name and a text, not {attachment!r:.60}."
                    )
        if self.after is not None and (self.is_new or self.origin is not None):
            raise OptionError("`after` cannot be used with `is_new` or `origin`.")


def asked_with(prompt: str, options: dict[str, Any]) -> Asked:
    """Return a prompt with options as people write them: of `Asked`, sampling, and of a shape."""
    named = plainly_mentioned(check_text(prompt), own_variables(current_shell()))
    names = {one.name for one in fields(Asked)} - {"shape"}  # people write `schema=` and others
    given = {name: options.pop(name) for name in names & options.keys()}
    given["shape"] = take_shape(options)
    return Asked(prompt=prompt, **{"named": named, "params": sampling_params(options), **given})


def variables_about(
    prompt: str,
    choice: str,
    cells: Sequence[CellEvent],
    *,
    names: frozenset[str] | None = None,
    deadline_s: float = _ASK_S,
) -> list[Summary]:
    """Return summaries of the variables that matter to a prompt and the cells before it.

    With `names`, other variables count only if the cells use them, or after an `@`.
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
