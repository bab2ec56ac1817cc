"""Finds the cells and turns to which a prompt refers in English words: "this", "do it again".

Names of variables are found by `notebook.values.variables`, in whatever language the prompt is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from jupyter_llm.notebook.cells.events import CellEvent

_THING: Final = (
    r"(?:cell|notebook|output|result|error|exception|traceback|warning|plot|figure|chart"
    r"|graph|table|frame|data(?:\s?frame|set)?|column|row|variable|function|class|code|loop|import)s?\b"
)
# Things that belong to the notebook only without a complement: "the plot", but not "the plot of
# Hamlet".
_NOT_OF_A_NOTEBOOK: Final = (
    r"(?!\s+(?:of|for|when|if|to\s+(?:the|an?)|from|between|that|which|rate)\b)"
)
# "this year", "this sentence": not a cell.
_NOT_A_CELL: Final = (
    r"(?!\s+(?:year|month|week(?:end)?|day|morning|afternoon|evening|time|century|season|world"
    r"|planet|country|sentence|word|phrase|text|question|riddle|sequence|poem|story|sum|equation"
    r"|joke|name)s?\b)"
)

# These always refer to the notebook.
_ALWAYS: Final = re.compile(
    rf"""(?ix)
    \b(?:In|Out)\s*\[\s*\d+\s*\] | \bcells?\s+\[?\d+
    | \b(?:last|latest|previous|preceding|next|current|my|our)\s+(?:\w+\s+)?
      {_THING}{_NOT_OF_A_NOTEBOOK}
    | \b(?:cells?|code|outputs?|results?|errors?|plot|figure|table|lines?|import(?:s|ed)?)\s+above\b
    | \babove\s+(?:cells?|code|outputs?|results?|errors?|plot|figure|table|lines?)\b
    | \bthe\s+above\b
    | \b(?:did|have)\s+I\b | \bI\s+(?:just|already|defined|imported|computed|plotted|printed)\b
    | \bso\s+far\b | \bwent\s+wrong\b | \bwhat(?:'s|\s+is)\s+wrong\s*(?:$|[?.!]|here|above)
    | \bwhat\s+(?:was|is|got)\s+(?:printed|shown|displayed|plotted)\b
    """
)
# These do so if the prompt itself has nothing that they could refer to.
_ALONE: Final = re.compile(
    rf"""(?ix)
    \b(?:this|these)\b{_NOT_A_CELL}
    | \babove\s*(?:$|[.?!,;])
    | (?<!of\s)(?<!in\s)\bthe\s+cells?\b{_NOT_OF_A_NOTEBOOK}
    | \b(?:the|that|those)\s+(?!cells?\b){_THING}{_NOT_OF_A_NOTEBOOK}
    | \b(?:which|what|how\s+many)\s+(?:variables?|columns?|rows?|imports?|data\s?frames?)\b
    | \b(?:it|that|cell|code)\s+(?:fails?|failed|crash(?:es|ed)?|breaks?|broke|stop(?:s|ped)?)\b
    | \b(?:do|does|did)\s+(?:it|that)\s+(?:do|show|print|return|compute|plot)\b
    | \b(?:it|that|cell|code)\s+(?:does|did)(?:n't|\s+not)\s+work\b
    """
)
# "Translate this: good morning", or code: the prompt includes its object.
_BRINGS_ITS_OWN: Final = re.compile(r":\s*\S|```|\n[ ]{4}\S")
# These refer to all cells; the next to the last cell, or to the last that failed.
_WHOLE: Final = re.compile(
    r"(?i)\b(?:notebook|cells|variables?|functions|import\w*|librar\w*|data\w*|columns?|rows?"
    r"|so far)\b"
    r"|\b(?:did|have)\s+I\b"
)
_LAST: Final = re.compile(
    r"(?i)\b(?:this|these|it|that|above|last|latest|previous|preceding|current|outputs?|results?"
    r"|printed|shown|displayed|plot\w*|figure|chart|warning|cell)\b"
)
_FAILURE: Final = re.compile(
    r"(?i)\b(?:errors?|exception|traceback|wrong|fail\w*|crash\w*|broke)\b"
)
_NUMBER: Final = re.compile(r"(?i)\b(?:(?:In|Out)\s*\[\s*|cells?\s+\[?)(\d+)")
# These refer to earlier turns: beginnings and ends of a prompt, or its object.
_BACK: Final = re.compile(
    rf"""(?ix)
    ^(?:\w+[,.!]\s*)?(?:now|also|again|instead|but|and|or|no|not|then|same|more|another)\b
    | \b(?:again|instead|too|also|as\s+well|(?:as|like)\s+before|above)\s*(?:$|[.?!,;])
    | \b(?:your|the\s+(?:last|previous|earlier|first|second|other))\s+
      (?:answer|attempt|draft|version|reply|script|snippet|code|function|plot|chart|figure)\b
    | \bthe\s+same\s*(?:$|[.?!,;]|(?:thing|but|again|for|with)\b)
    | \b(?:this|these|those)\b{_NOT_A_CELL}
      (?!\s+(?:cell|notebook|output|error|table|\w*frame|data\w*|column|row|variable)s?\b)
    | \bthat\s*(?:$|[.?!,;]|(?:as|by|for|from|in|into|on|to|with|without)\b|{_THING})
    | ^(?:\W*(?!(?:and|or|if|for|that|then|when|where|while|so|with|of|by)\b)[\w']+[ ])
      {{0,4}}(?:it|its|them|their|they|the\s+(?:code|plot|chart|figure)\b{_NOT_OF_A_NOTEBOOK})\b
    """
)
# "Now sum xs": no reference, if a complete request about a variable follows.
_NOW: Final = re.compile(r"(?i)^(?:now|also|and|but|then)\b,?\s+(?=(\w+)\s+(.*))", re.DOTALL)
_PREPOSITION: Final = re.compile(r"(?i)(?:as|at|by|for|from|in|of|on|the|to|with|without)\b")
_IN_LIST: Final = re.compile(r"(?i)\b(?:first|second|third|last|other)\s+(?:one|two|way|idea)s?\b")
# A proper name inside a sentence, as of an error, a town or a person: "the temperature of Oslo".
_NAME: Final = re.compile(r"(?<=[\w,;] )[A-Z]\w{2,}")
_COMMON_NAMES: Final = frozenset({"Python", "Jupyter"})


def points_at_cells(prompt: str) -> bool:
    """Whether a prompt refers to some cells, even if it does not name them."""
    if _ALWAYS.search(prompt):
        return True
    return not _BRINGS_ITS_OWN.search(prompt) and _ALONE.search(prompt) is not None


def points_back(prompt: str, variables: Container[str] = ()) -> bool:
    """Whether a prompt's words continue earlier turns."""
    now = _NOW.match(prompt)
    if now and now[1] not in variables and not _PREPOSITION.match(now[1]):
        names = re.findall(r"\w+", now[2])
        prompt = prompt[now.end() :] if any(name in variables for name in names) else prompt
    return not _BRINGS_ITS_OWN.search(prompt) and _BACK.search(prompt) is not None


def counts_in_list(prompt: str) -> bool:
    """Whether a prompt refers to one of several listed things."""
    return _IN_LIST.search(prompt) is not None


def referenced_cells(
    prompt: str, cells: Sequence[CellEvent], named: Iterable[str] = ()
) -> frozenset[CellEvent]:
    """Return the cells to which a prompt refers: by number, by a name in them, or else by words.

    `named` are the variables that the prompt names.
    """
    counts = {int(count) for count in _NUMBER.findall(prompt)}
    numbered = {count: cell for cell in cells for count in cell.counts if count in counts}
    referenced = {*numbered.values(), *_cells_with(named, cells)}
    if not _BRINGS_ITS_OWN.search(prompt):
        names = set(_NAME.findall(prompt)) - _COMMON_NAMES
        referenced.update(_cells_with(names, cells, with_outputs=True))
    if referenced or not cells or not points_at_cells(prompt):
        return frozenset(referenced)
    # A run that changed nothing keeps its earlier place, but the user saw it last.
    cells = sorted(cells, key=lambda cell: cell.counts[-1] or 0)
    failed = [cell for cell in cells if cell.has_failed]
    if _WHOLE.search(prompt):
        return frozenset(cells)
    if _FAILURE.search(prompt) and failed:
        return frozenset(failed[-1:])
    return frozenset(cells[-1:] if _LAST.search(prompt) else cells)


def _cells_with(
    names: Iterable[str], cells: Sequence[CellEvent], *, with_outputs: bool = False
) -> Iterator[CellEvent]:
    """Yield the cells that contain one of the names as a word."""
    words = "|".join(map(re.escape, names))
    if not words:
        return
    is_named = re.compile(rf"\b(?:{words})\b").search
    for cell in cells:
        shown = (output.text for output in cell.outputs) if with_outputs else ()
        if any(map(is_named, (cell.source, *shown))):
            yield cell
