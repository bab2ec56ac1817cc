"""Changes a cell as somebody asks for in words, or goes on with it, there or in a new cell."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from difflib import SequenceMatcher
from textwrap import indent

from jupyter_llm.common.markdown import code_block
from jupyter_llm.engine.completion import Completion
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.names import unknown_names
from jupyter_llm.notebook.code.syntax import parse_cell, syntax_error
from jupyter_llm.notebook.values.redaction import redact_mixed, redact_source
from jupyter_llm.tasks.hidden import restored, without_hidden
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import ShownCell, cells_before, variables_text
from jupyter_llm.tasks.task import Task

_EDIT = (
    "Change {title} like this: {instruction}\n\nAnswer with the whole changed cell as one "
    "{language} block, in which everything else stays as it is."
)
_WRITE = "Write the code of the next cell of this notebook, which does this: {instruction}"
_WRITE_TEXT = "Write the text of the next cell of this notebook, in Markdown: {instruction}"
# A line of no statement's inside, which neither closes a bracket nor belongs to the one before.
_NEXT_STATEMENT = re.compile(r"(?!(?:else|elif|except|finally)\b)[^\s)\]}#]")
# A block of code, or else a bare fence that opens none: it was to end ours.
_BLOCK = re.compile(r"(?ms)^`{3,}[^\n]*\n.*?^`{3,} *$|^(`{3,}) *$")
_GO_ON = (
    "Write the next cell of this notebook in full. Its beginning is given; go on from there with "
    "the next useful step."
)
_NEXT = "Write the next cell of this notebook: the next useful step after {title} and its results."


def edit(task: Task, cell: ShownCell, instruction: str) -> Proposal:
    """Propose a change as it is asked for; of selected lines nothing but these.

    In an empty cell it is what to write there. If the model leaves nothing of a cell, the source of
    the proposal is empty: the cell is to be deleted. `MagicUsageError`: nothing is asked for, no
    code is in the answer, or it changes nothing.
    """
    if not cell.is_text:
        cell.check_is_python()
    if not instruction.strip():
        raise MagicUsageError("There is no instruction.", "Say what is to be changed.")
    before, rows = cell.source, None
    if before.strip():
        subject = cell.subject(task.cells)
        rows = subject.rows
        parts = [subject.text, variables_text(subject.source, task)]
        language = "Markdown" if cell.is_text else "Python code"
        asked = {"title": subject.title, "instruction": instruction.strip()}
        request = _EDIT.format(language=language, **asked)
    else:
        parts = [cells_before(cell, task), variables_text(instruction, task)]
        request = _WRITE_TEXT if cell.is_text else _WRITE
        request = request.format(instruction=instruction.strip())
    prompt = "\n\n".join(filter(None, (*parts, request)))
    if cell.is_text:
        completion = write_text(task, cell, prompt)
        source = completion.text
    else:
        answer = task.code(prompt, may_be_empty=bool(before.strip()), unlike=before)
        source, completion = answer.source, answer.completion
        cell.check_is_whole(completion)
    source = restored(source, before, redact_mixed if cell.is_text else redact_source)
    if rows is not None:
        source = (_merged if cell.is_text else _confined)(before, source, rows)
    return _proposal(task, cell, source, completion)


def write_text(task: Task, cell: ShownCell, prompt: str, begin: str = "") -> Completion:
    """Have text written for a cell of Markdown, in a fence so that nothing else can come.

    It is longer than those of code in the text; small models end it with a short one, though.
    """
    fence = code_block(f"```\n{cell.source}", "").partition("\n")[0]
    (answer,) = task.draft(prompt, begin=f"{fence}markdown\n{begin}", stop=(f"\n{fence}",))
    cell.check_is_whole(answer)
    text = begin + answer.text
    ends = (one.start() for one in _BLOCK.finditer(text) if one[1] and one.start() >= len(begin))
    return replace(answer, text=text[len(begin) : next(ends, None)].rstrip(), token_ids=None)


def _proposal(task: Task, cell: ShownCell, source: str, completion: Completion) -> Proposal:
    source = cell.changed(source)
    unknown = () if cell.is_text else unknown_names(source, task.tries)
    event = cell.event(task.cells)
    return Proposal(source=source, completion=completion, cell=event, unknown_names=unknown)


def _confined(before: str, after: str, rows: range) -> str:
    """Code in which only some lines are changed, to what they are in other code.

    That may be all of it, or nothing but these lines.
    """
    first = next(line for line in before.split("\n")[rows.start : rows.stop] if line.strip())
    space = first[: len(first) - len(first.lstrip())]
    found = [_merged(before, text, rows) for text in (after, indent(after, space))]
    return next((text for text in found if syntax_error(text) is None), found[0])


def _merged(before: str, after: str, rows: range) -> str:
    old, new = before.split("\n"), after.split("\n")
    lines: list[str] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        first, last = max(i1, rows.start), min(i2, rows.stop)
        if kind == "equal" or first > last:
            lines += old[i1:i2]
            continue
        theirs = new[j1:j2]
        if i2 - i1 == j2 - j1:  # line by line, also where the change goes on beyond these
            theirs = theirs[first - i1 : last - i1]
        lines += [*old[i1:first], *theirs, *old[last:i2]]
    return "\n".join(lines)


def go_on(task: Task, cell: ShownCell) -> Proposal:
    """Propose code below the statement in which the cursor is, or at the end of the cell.

    Text goes on behind the line. What is there already stays as it is. `MagicUsageError`: the model
    has nothing to add.
    """
    cell.check_is_written()
    if not cell.is_text:
        cell.check_is_python()
    place = _end_of_statement(cell)
    begin, rest = cell.source[:place].rstrip(), cell.source[place:]
    parts = (cells_before(cell, task), variables_text(cell.source, task), _GO_ON)
    prompt = "\n\n".join(filter(None, parts))
    if cell.is_text:
        completion = write_text(task, cell, prompt, redact_mixed(begin).text)
        return _proposal(task, cell, f"{begin}{completion.text}{rest}", completion)
    # Of what is only begun, the line goes on; no secret is told.
    line_end = "\n" if syntax_error(begin) is None else ""
    begin_sent = f"{redact_source(begin).text}{line_end}"
    answer = task.code(prompt, begin=begin_sent)
    written = "\n\n".join(answer.sources)
    if not written.startswith(begin_sent.rstrip()):
        raise MagicUsageError("The model cannot go on without changing the cell.", "Try again.")
    new, _ = without_hidden(written[len(begin_sent.rstrip()) :].rstrip(), task.namespace)
    if not line_end:
        new = _of_one_statement(new)
    return _proposal(task, cell, _fitting(begin, new, rest), answer.completion)


def write_next(task: Task, cell: ShownCell) -> Proposal:
    """Propose a new cell that follows this one and uses its results."""
    cell.check_is_python()
    subject = cell.subject(task.cells)
    request = subject.prompt(_NEXT.format(title=subject.title))
    parts = (cells_before(cell, task), variables_text(subject.source, task), request)
    answer = task.code("\n\n".join(filter(None, parts)), unlike=cell.source)
    source, _ = without_hidden(answer.source, task.namespace)
    unknown = unknown_names(source, task.tries)
    return Proposal(source=source, completion=answer.completion, unknown_names=unknown)


def _end_of_statement(cell: ShownCell) -> int:
    """The end of the innermost statement the cursor is in, or of the cell if it is in none.

    Of text it is the end of the line.
    """
    if cell.is_text:
        return (cell.source + "\n").find("\n", cell.end)
    tree = parse_cell(cell.source)
    row = cell.source.count("\n", 0, cell.end) + 1
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)] if tree else []
    around = [node for node in nodes if node.lineno <= row <= (node.end_lineno or 0)]
    if not around or not cell.source[cell.end :].strip():
        return len(cell.source)
    end = min(node.end_lineno or row for node in around)
    return len("\n".join(cell.lines[:end]))


def _of_one_statement(new: str) -> str:
    """The end of a statement that was begun, without what a model likes to write after it."""
    first, *rest = new.split("\n")
    end = next((n for n, line in enumerate(rest) if _NEXT_STATEMENT.match(line)), len(rest))
    return "\n".join([first.rstrip(), *rest[:end]]).rstrip()


def _fitting(begin: str, new: str, rest: str) -> str:
    """As much of new code as fits between what is there."""
    lines = new.split("\n")
    for count in range(len(lines), 0, -1):
        source = f"{begin}{chr(10).join(lines[:count]).rstrip()}{rest}"
        if syntax_error(source) is None:
            return source
    return begin + rest
