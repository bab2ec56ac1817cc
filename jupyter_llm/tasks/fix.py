"""`/fix`: proposes a change to the cell that the last error came from."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.controls import plain
from jupyter_llm.errors import MagicUsageError, ModelNotFoundError
from jupyter_llm.notebook.cells.rendering import cell_name, shown_name, source_block
from jupyter_llm.notebook.cells.timeline import find_cell
from jupyter_llm.notebook.cells.unrun import undefined_name
from jupyter_llm.notebook.code.fresh import keys_in, only_new, without_statements
from jupyter_llm.notebook.code.syntax import parse_cell, syntax_error
from jupyter_llm.notebook.failures.causes import Cause, causing_cells, failed_cell, is_over
from jupyter_llm.notebook.failures.failure import reported_failure
from jupyter_llm.notebook.failures.report import failure_text
from jupyter_llm.notebook.values.redaction import redact_source
from jupyter_llm.notebook.values.variables import lasting
from jupyter_llm.tasks.hidden import restored
from jupyter_llm.tasks.mending import is_alike
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.rerun import Rerun, as_it_is_now, is_same, loses
from jupyter_llm.tasks.target import headline_of, variables_text

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from jupyter_llm.notebook.cells.events import CellEvent
    from jupyter_llm.notebook.failures.failure import Failure
    from jupyter_llm.notebook.sealed.seen import Seen
    from jupyter_llm.tasks.mending import Mended
    from jupyter_llm.tasks.target import ShownCell
    from jupyter_llm.tasks.task import Task

_MAX_HINTS = 2
_MAX_OTHERS_CHARS = 4000  # of the cells shown beside the one to change
_REQUEST = (
    "Correct {name} so that the error does not come again. Answer with all of {name}, corrected, "
    "as one Python code block. Change as little as possible and repeat no other cell."
)


def fix(task: Task, argument: str = "") -> Proposal:
    """Propose a change to the cell the last error came from, or to the one that was named.

    What rules know of comes first, tried, without a model. `MagicUsageError`: no cell has failed,
    there is no such cell, or no code in the answer.
    """
    failure = task.failure()
    if failure is None:
        raise MagicUsageError("No cell has failed, so there is nothing to fix.")
    if not argument.strip() and is_over(failure, task.cells):
        raise MagicUsageError(
            f"The last error, {failure.kind}, is over: its cell has run since without one.",
            "Name a cell to change it all the same, as in /fix 3.",
        )
    return _fixed(task, failure, argument)


def fix_shown(task: Task, cell: ShownCell) -> Proposal:
    """Propose what `fix` does for the error that a cell of a page shows, or has unread.

    The change is in the cell that caused it, which need not be that one. `MagicUsageError`: the
    cell shows no error, or there is nothing to propose.
    """
    cell.check_is_python()
    cell.check_is_written()
    event, failure = cell.event(task.cells), failure_shown(cell, task)
    if failure is None:
        raise MagicUsageError("The cell shows no error.", "Run it first, or let it be reviewed.")
    task = replace(task, cells=[event if one.number == event.number else one for one in task.cells])
    proposal = _fixed(task, failure)
    changed = proposal.cell
    assert changed is not None
    error = f"failed with `{failure.headline.replace('`', chr(39))[:200]}`"
    if proposal.only_runs:
        return replace(proposal, reason=error)
    if proposal.completion is not None:
        cell.check_is_whole(proposal.completion)
    if proposal.verdict and not proposal.diff:
        raise MagicUsageError(proposal.verdict, "Try again, or ask about it in the chat.")
    reason = error if is_same(changed, event) else f"{proposal.reason}; {shown_name(event)} {error}"
    source = replace(cell, source=changed.source).changed(proposal.source)
    return replace(proposal, source=source, reason=reason)


def _fixed(task: Task, failure: Failure, argument: str = "") -> Proposal:
    """The change that is proposed for a failure, in cells as they are now."""
    causes = causing_cells(failure, task.cells)
    target = choose_target(causes, argument, task)
    others = [replace(one, cell=as_it_is_now(one.cell, task.cells)) for one in causes[1:]]
    failed = failed_cell(failure, task.cells)
    now = as_it_is_now(failed, task.cells) if failed is not None else None
    if now is not None and (first := _run_first(task, failure, now)) is not None:
        return first
    rerun = Rerun(task=task, failure=failure, failed=now, causes=causes)
    targets = [target] if argument.strip() else [target, *others]
    has_variables = any(frame.variables for frame in failure.frames)
    variables = "" if has_variables else variables_text(target.cell.source, task)
    return _changed(rerun, targets, fix_prompt(failure, causes, target, variables))


def _run_first(task: Task, failure: Failure, failed: CellEvent) -> Proposal | None:
    """Propose to run the cells that bind a missing name and have not run; None if none does."""
    name, unrun = undefined_name(failure.headline), task.tries.unrun
    needed = unrun.needed(name, failed.cell_id, failed.source, task.namespace)
    if not needed or name in task.namespace or task.former is not None:
        return None
    *others, last = (str(at + 1) for at in needed)
    cells = f"cells {', '.join(others)} and {last}" if others else f"cell {last}"
    ids = [unrun.document.cells[at].cell_id for at in needed]
    return Proposal(
        source=failed.source,
        cell=failed,
        verdict=f"{unrun.words(name, needed)}. Run {cells}, then {shown_name(failed)} again.",
        runs=tuple(filter(None, (*ids, failed.cell_id))),
    )


def _changed(rerun: Rerun, targets: Sequence[Cause], prompt: str) -> Proposal:
    """The change that rules know of, the best they have seen, or else a model's to the first."""
    former, all_found = rerun.task.former, rerun.mended(targets)
    found = [one for one in all_found if former is None or former.allows(one[1].sources[0])]
    good = [(cause, one) for cause, one in found if one.is_good]
    best = next((pair for pair in good if pair[1].is_settled), good[0] if good else None)
    if best is not None:
        return _mended(rerun, *best)
    return _written(rerun, targets[0], prompt, found)


def _mended(rerun: Rerun, cause: Cause, found: Mended) -> Proposal:
    """A cell as rules have mended it, and the failed cell, if rules have mended that, too."""
    count = [mend.source for mend in found.mends].index(found.sources[0]) + 1
    proposal = Proposal(
        source=found.sources[0],
        cell=cause.cell,
        reason=cause.reason,
        mend=replace(found, mends=found.mends[:count]).reason,
        verdict=_verdict(found.seen, is_past=found.is_past),
    )
    return _with_failed(rerun, proposal, replace(found, mends=found.mends[count:]))


def _with_failed(rerun: Rerun, proposal: Proposal, found: Mended) -> Proposal:
    """The change of a cell with that of the failed cell, or with the cells to run again."""
    cell, failed, seen = proposal.cell, rerun.failed, found.seen
    assert cell is not None
    if not found.mends or failed is None or rerun.is_failed(cell):
        return replace(proposal, runs=rerun.runs(cell, seen))
    reason = f"would fail once {shown_name(cell)} is changed"
    other = Proposal(source=found.sources[1], cell=failed, reason=reason, mend=found.reason)
    verdict = _verdict(seen, is_past=found.is_past).replace("this change", "both changes")
    return replace(proposal, verdict=verdict, others=(other,))


def _written(
    rerun: Rerun, target: Cause, prompt: str, found: Sequence[tuple[Cause, Mended]]
) -> Proposal:
    """A cell as a model mends it; where that comes to nothing, as a rule may have mended it."""
    task, before = rerun.task, target.cell.source
    likeliest = next((one for one in found if one[1].is_sure), found[0] if found else None)
    hints = list(dict.fromkeys(one.reason for _, one in found))[:_MAX_HINTS]
    if hints:
        prompt = f"{prompt}\n\nIt may be that {'; or '.join(hints)}."

    def check(*sources: str, **how: Any) -> Seen:
        return rerun.seen(target.cell, rerun.sources(target.cell, _own(sources)), **how)

    def _own(sources: Sequence[str]) -> str:
        names = lasting(task.namespace)
        return without_others("\n\n".join(sources), target.cell, task.cells, names)

    try:
        answer = task.code(prompt, unlike=before, check=check)
    except ModelNotFoundError:
        if likeliest is None:
            raise
        return _mended(rerun, *likeliest)
    source = restored(_own(answer.landing), before, redact_source)
    proposal = Proposal(
        source=source,
        completion=answer.completion,
        cell=target.cell,
        reason=target.reason,
        unknown_names=answer.unknown_names,
    )
    if source.split() == before.split():
        return _mended(rerun, *likeliest) if likeliest is not None else proposal
    seen = rerun.seen(target.cell, rerun.sources(target.cell, source))
    is_past = rerun.is_past(target.cell, source, seen)
    is_there = seen.outcome == "raises" and not is_past
    still = "" if loses(seen) else "still " if is_alike(seen, rerun.failure) else None
    why_not = f"What the model wrote {still}{seen.text}." if is_there and still is not None else ""
    if likeliest is not None and (why_not or is_there):
        return _mended(rerun, *likeliest)
    if why_not:
        return replace(proposal, source=before, verdict=why_not, unknown_names=())
    proposal = replace(proposal, verdict=_verdict(seen, is_past=is_past))
    behind = rerun.mended_behind(target.cell, source, seen) if is_past else None
    if behind is None:
        return replace(proposal, runs=rerun.runs(target.cell, seen))
    return _with_failed(rerun, proposal, behind)


def _verdict(seen: Seen, *, is_past: bool) -> str:
    """Return the result of trying a change as a sentence; "" if nothing was to be tried."""
    match seen.outcome:
        case "runs":
            return f"With this change the cell {seen.text}."
        case "raises":
            where = f"line {seen.lineno} " if seen.lineno and not seen.index else "it "
            return f"With this change {'the error is gone; then ' * is_past}{where}{seen.text}."
        case "running":
            return f"With this change the cell is {seen.text}."
    return f"{seen.text[:1].upper()}{seen.text[1:]}."


def without_others(
    source: str, cell: CellEvent, cells: Sequence[CellEvent], names: Container[str]
) -> str:
    """A changed cell without what a model has put into it of other cells.

    What stands since they ran goes, and at the end what runs behind the cell all the same.
    """
    place = cell.counts[-1] or math.inf
    ran, behind = [], set()
    others = (one for one in cells if not is_same(one, cell))
    for one in sorted(others, key=lambda one: one.counts[-1] or 0):
        is_behind = (one.counts[-1] or 0) > place
        ran.append((one.source, not (one.has_failed or is_behind)))
        behind |= keys_in(one.source) if is_behind else set()
    source = only_new(source, ran, names, own=cell.source).source
    tree = parse_cell(source)
    body = list(tree.body) if tree is not None else []
    old = []
    while len(body) > 1 and keys_in(ast.unparse(body[-1])) <= behind - keys_in(cell.source):
        old.append(body.pop())
    return (without_statements(source, old) if old else None) or source


def failure_shown(cell: ShownCell, task: Task) -> Failure | None:
    """The failure that a cell shows, or has since it cannot be read; None if there is none.

    Of an error that this kernel has not met there is no more than the text.
    """
    failure = task.failure(cell.cell_id)
    text, unread = plain(cell.error or ""), syntax_error(cell.source)
    kind, _, message = headline_of(text).partition(":")
    kind, message = kind.rpartition(".")[2].strip(), message.strip()
    if failure is not None and (kind == failure.kind if kind else not is_over(failure, task.cells)):
        return failure
    lines = re.findall(r"(?m)^-+>\s*(\d+)", text) or re.findall(r"(?i:line) (\d+)", text)
    line = int(lines[0]) if lines else 0
    if not kind and unread is not None:
        kind, message, line = "SyntaxError", unread.msg, unread.lineno or 1
    return reported_failure(kind, message, cell.source, line, cell.cell_id) if kind else None


def choose_target(causes: Sequence[Cause], argument: str, task: Task) -> Cause:
    """The cell to change: the likeliest cause, unless another was named."""
    if argument.strip():
        cell = find_cell(argument, task.cells, task.hidden)
        known = next((cause for cause in causes if cause.cell == cell), None)
        return known or Cause(cell, "", 0)
    if not causes:
        raise MagicUsageError(
            "The last error came from no cell of this notebook.",
            "Name one to change, as in /fix 3.",
        )
    cause = causes[0]
    return replace(cause, cell=as_it_is_now(cause.cell, task.cells))


def fix_prompt(
    failure: Failure, causes: Sequence[Cause], target: Cause, variables: str = ""
) -> str:
    """The prompt that asks for a corrected cell.

    Cells stand in the order they ran, the raising one among them; what there is no room for are
    the unlikeliest.
    """
    shown = [target]
    room = _MAX_OTHERS_CHARS
    for cause in sorted(causes, key=lambda cause: not cause.has_raised):
        is_new = not any(is_same(cause.cell, one.cell) for one in shown)
        if is_new and len(cause.cell.source) <= room:
            shown.append(cause)
            room -= len(cause.cell.source)
    shown.sort(key=lambda cause: cause.cell.number)
    parts = [
        "A cell of a Jupyter notebook failed. The cells that matter, in the order they ran:",
        *(_cell_text(cause) for cause in shown),
        f"The error:\n{failure_text(failure)}",
        *filter(None, [variables]),
        _REQUEST.format(name=cell_name(target.cell)),
    ]
    return "\n\n".join(parts)


def _cell_text(cause: Cause) -> str:
    name = cell_name(cause.cell)
    why = f" ({cause.reason})" if cause.reason else ""
    return f"{name[0].upper()}{name[1:]}{why}:\n{source_block(cause.cell.source)}"
