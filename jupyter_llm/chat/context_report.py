"""A report of what the next prompt of a chat includes, shown as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from jupyter_llm.chat.budget import ContextMode, budget, includes_code_needs, includes_if_named
from jupyter_llm.chat.context import ALONE, HIDDEN_CELL, IF_ASKED, Context, Part
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.chat.plan import cell_part, included_cells
from jupyter_llm.chat.question import asked_in
from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.clipping import shorten
from jupyter_llm.common.tables import count_of, markdown_table
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.notebook.cells.rendering import secrets_in
from jupyter_llm.notebook.cells.rules import RULES_FILE
from jupyter_llm.notebook.values.redaction import redact_source
from jupyter_llm.notebook.values.secrets import HIDDEN

_MAX_SNIPPET = 50
_SOME_PROMPT = "?"


RowKind = Literal["system", "cell", "variable", "turn"]
"""What a row is about; what was attached to a turn counts as the turn's."""


@dataclass(slots=True)
class ContextRow:
    """A cell, a variable, an attachment or a turn, and whether the prompt includes it.

    `num_tokens`: the tokens of `text` and the `num_more` of an answer; None if no model is loaded,
    since each model counts its own way. `secrets`: the names of secrets that are hidden in it, each
    as often as it is hidden.
    """

    kind: RowKind
    name: str
    text: str
    is_in: bool
    state: str
    num_more: int = 0
    secrets: tuple[str, ...] = ()
    num_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReport(Rich):
    """The parts that the next prompt of a chat includes, and those that it leaves out, with why.

    `num_tokens`: the tokens of the prompt with its chat template. `num_allowed`: the maximum in
    this mode. Both are None while no model is loaded. `is_if_asked`: cells are included only in a
    prompt about them, since long contexts harm a model of `num_parameters`. `is_needed_for_code`: a
    request for code includes what its code may build on, whatever the rows say of other prompts.
    """

    chat: str
    mode: ContextMode
    rows: tuple[ContextRow, ...]
    model: str | None = None
    num_tokens: int | None = None
    num_allowed: int | None = None
    num_parameters: int = 0
    is_if_asked: bool = False
    is_needed_for_code: bool = False

    @property
    def num_cells(self) -> int:
        """The number of cells that the next prompt includes, or does if it is about them."""
        cells = (row for row in self.rows if row.kind == "cell")
        return sum(row.is_in or row.state == IF_ASKED for row in cells)

    def num_tokens_of(self, kind: RowKind) -> int:
        """Return the tokens of the included rows of a kind, without the chat template."""
        return sum(row.num_tokens or 0 for row in self.rows if row.is_in and row.kind == kind)

    def __str__(self) -> str:
        """Everything as a table; texts from the notebook are not made safe."""
        head = "".join(self._head())
        if not self.rows:
            return f"{head}\n\nNo cell has run yet, and there is no turn."
        table = [
            (row.name, "in" if row.is_in else "out", row.state, row.num_tokens or "")
            for row in self.rows
        ]
        return f"{head}\n\n{markdown_table(('', '', 'why', 'tokens'), table)}"

    def _head(self) -> Iterator[str]:
        """Yield what is said above the rows: the budget, what the model's size means, secrets."""
        yield f"The next prompt of chat *{self.chat}* (context {self.mode})"
        if self.model is None:
            yield ". No model is loaded, so there is nobody to count tokens."
        else:
            tokens = f"{self.num_tokens} of {self.num_allowed} tokens"
            yield f", however short, takes **{tokens}** that {self.model} may read."
        size = f"{self.num_parameters / 1e6:.0f}M parameters"
        if self.is_if_asked:
            yield (
                f" Long contexts harm a model of {size}: prompts include cells and variables "
                "only if they name or point at them, or with `-c all`."
            )
        if self.is_needed_for_code:
            yield (
                f" For code (`-f code`) the prompt for a model of {size} includes the cells that "
                "import, define or bind something, the last two, and those that the request "
                "refers to, then the variables. If possible, the prompt is a program that the "
                "model continues. Turns are included if the request points back to them."
            )
        rows = [row for row in self.rows if row.is_in or row.state == IF_ASKED]
        hidden = Counter(name for row in rows for name in row.secrets)
        if hidden:
            names = (f"`{name}`" + f" ({n})" * (n > 1) for name, n in hidden.items())
            verb = "is" if hidden.total() == 1 else "are"
            yield f"\n\n{count_of(hidden.total(), 'secret')} {verb} hidden in it: "
            yield f"{', '.join(names)}. `/show NAME` includes one on purpose."


def context_report(
    chat: Chat, mode: ContextMode, *, continues: bool = False, counts_all: bool = True
) -> ContextReport:
    """Report what the next prompt of a chat includes; loads no model.

    `continues`: the prompt continues the turns of an earlier kernel. Without `counts_all` only the
    included rows are counted, which takes no longer in a long chat than in a short one.
    """
    engine = chat.current.resident
    allowed = budget(engine.info, mode, None) if engine is not None else 0
    # Some chat templates refuse messages that do not end with a prompt.
    context = replace(chat.next_context(allowed, mode, continues=continues), prompt=_SOME_PROMPT)
    is_if_asked = engine is not None and includes_if_named(engine.info, mode)
    if is_if_asked:
        context = context.only()
    if engine is not None:
        context = context.fitted(allowed, engine.count_tokens)
    rows = tuple(_rows(chat, context, allowed))
    report = ContextReport(
        chat=chat.name or "without a name", mode=mode, rows=rows, is_if_asked=is_if_asked
    )
    if engine is None:
        return report
    counted = [row for row in rows if counts_all or row.is_in]
    token_ids = engine.tokenize_texts([row.text for row in counted])
    for row, ids in zip(counted, token_ids, strict=True):
        row.num_tokens = len(ids) + row.num_more
    return replace(
        report,
        model=engine.info.name,
        num_tokens=engine.count_tokens(context.messages),
        num_allowed=allowed,
        num_parameters=engine.info.num_parameters,
        is_needed_for_code=includes_code_needs(engine.info, mode),
    )


def _rows(chat: Chat, context: Context, allowed: int) -> Iterator[ContextRow]:
    """Yield the rows of everything, included or not, in the order of the conversation."""
    notebook, turns = chat.timeline.snapshot(), chat.turns
    turns_in = {turn.number: turn for turn in context.turns}
    turn_parts = (part for turn in context.turns for part in turn.parts)
    cells_in = {part.cell for part in (*context.front, *turn_parts, *context.cells)}

    def of_cell(cell: CellEvent, text: str, where: str, turn: int | None = None) -> ContextRow:
        is_hidden = notebook.is_hidden(cell)
        is_in = cell in cells_in and not is_hidden
        state = f"pinned, {where}" if cell in notebook.pinned else where
        if is_hidden:
            state = HIDDEN_CELL
        elif not is_in:
            state = context.reason(cell if turn is None or cell in context.why_out else turn)
        return _cell_row(cell, text, state, is_in=is_in, is_hidden=is_hidden)

    if (rules := chat.timeline.rules.read()) is not None:
        is_in = context.rules is not None
        state = (rules.remark or "always") if is_in else f"hidden; `/show {RULES_FILE}` includes it"
        secrets = (RULES_FILE,) * rules.sent.count(HIDDEN)
        yield ContextRow("system", _code(RULES_FILE), rules.sent, is_in, state, secrets=secrets)
    if context.system:
        yield ContextRow("system", "system text", context.system, is_in=True, state="always")
    for number, turn in enumerate(turns, 1):
        sent, where = turns_in.get(turn.number), f"included in turn {number}"
        out = context.reason(turn.number) if sent is None else ALONE
        for part in turn.parts:
            if part.cell is not None:
                yield of_cell(part.cell, part.sent, where, turn.number)
            else:
                is_in = sent is not None and part in sent.parts
                yield _part_row(part, where if is_in else out, is_in=is_in)
        usage = turn.completion.usage
        num_answer = usage.completion_tokens - usage.reasoning_tokens
        name, is_in = f"turn {number}: {_code(asked_in(turn.prompt))}", sent is not None
        yield ContextRow("turn", name, turn.prompt, is_in, "" if is_in else out, num_answer)
    included = included_cells(turns)
    for cell in notebook.cells:
        if cell not in included:
            yield of_cell(cell, cell_part(cell, allowed).text, "with the next prompt")


def _cell_row(
    cell: CellEvent, text: str, state: str, *, is_in: bool, is_hidden: bool
) -> ContextRow:
    number = cell.execution_count if cell.execution_count is not None else " "
    source, num_hidden = redact_source(cell.source).text, text.count(HIDDEN)
    secrets: tuple[str, ...] = ()
    if num_hidden:  # seldom, and there may be hundreds of cells
        # Of a cell of an earlier kernel only the marks are left.
        secrets = (*secrets_in(cell), *("a secret",) * num_hidden)[:num_hidden]
    name = f"In [{number}]" + f" {_code(source)}" * (not is_hidden)
    return ContextRow("cell", name, text, is_in, state, secrets=secrets)


def _part_row(part: Part, state: str, *, is_in: bool) -> ContextRow:
    kind: RowKind = "turn" if part.attachment is not None else "variable"
    word = "attached" if part.attachment is not None else "variable"
    name = f"{word} {_code(part.attachment or part.variable)}"
    secrets = (part.variable or "attached",) * part.sent.count(HIDDEN)
    return ContextRow(kind, name, part.sent, is_in, state, secrets=secrets)


def _code(text: str | None) -> str:
    """The beginning of a text as a code span."""
    line = next(iter((text or "").strip().splitlines()), "").replace("`", "'")
    return f"`{shorten(line, _MAX_SNIPPET)}`"
