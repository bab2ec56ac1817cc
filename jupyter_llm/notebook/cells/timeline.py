"""The runs of cells in this kernel, in order, and the marks to pin or hide cells."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Literal, get_args

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.document import Document
from jupyter_llm.notebook.cells.events import CellEvent, Output, Picture
from jupyter_llm.notebook.cells.rules import ProjectRules
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.values.secrets import conceal_bound

NUMBERED_CELL = re.compile(r"(?:cell\s*|In\s*)?\[?(\d{1,9})\]?", re.IGNORECASE)
"""The name of a cell by its number: `3`, `[3]`, `In [3]` or `cell 3`."""

# A frame of an error, as outputs.py writes it.
_STEP = re.compile(r"(?m)^(  In \[(\d+)\], line \d+), in .*$")

Tag = Literal["llm-pin", "llm-hide"]
"""The cell tags with an effect. `llm-off` is the same as `llm-hide`."""

_TAGS: tuple[Tag, ...] = get_args(Tag)
_SAME = {"llm-off": "llm-hide"}
HIDING_TAGS = ("llm-hide", *_SAME)
"""Tags of hidden cells."""

_NOTHING: Mapping[str, str | None] = {}
_MAX_PICTURES = 32_000_000  # characters of all pictures
_Key = str | int  # a cell's id, or the number of its only run if it has no id


def _key(cell: CellEvent) -> _Key:
    return cell.cell_id if cell.cell_id is not None else cell.number


def find_cell(
    wanted: int | str, cells: Sequence[CellEvent], hidden: Sequence[CellEvent] = ()
) -> CellEvent:
    """Return the latest run that has this number or id.

    Raises
    ------
    MagicUsageError
        There is none, and the hint names the nearest; or the cell is hidden.
    """
    words = str(wanted).strip()
    match = NUMBERED_CELL.fullmatch(words)
    number = int(match[1]) if match is not None else None
    for cell in (*reversed(cells), *hidden):
        if cell.cell_id == words or (number is not None and number in cell.counts):
            check_is_visible(hidden, cell.cell_id, cell.counts[-1])
            return cell
    name = f"cell [{number}]" if number is not None else f"cell {words[:40]!r}"
    counts = sorted({one for cell in cells for one in cell.counts if one is not None})
    if not counts:
        raise MagicUsageError(f"There is no {name}: no cell has run yet.")
    if number is None:
        raise MagicUsageError(f"There is no {name} here.", "Give the number beside a cell.")
    nearest = min(counts, key=lambda one: abs(one - number))
    raise MagicUsageError(f"There is no {name} here.", f"The nearest is [{nearest}].")


def check_is_visible(hidden: Iterable[CellEvent], cell_id: str | None, count: int | None) -> None:
    """Raise `MagicUsageError` for a hidden cell."""
    for cell in hidden:
        if cell.cell_id == cell_id and (cell_id or (count and count in cell.counts)):
            number = cell.counts[-1]
            name = f"Cell [{number}]" if number is not None else "The cell"
            hint = f"`/unhide {number or cell_id}` lets the model see it."
            raise MagicUsageError(f"{name} is hidden from the model.", hint)


def _without(cell: CellEvent, counts: Container[str]) -> CellEvent:
    """Return a run whose error shows no lines of the cells with these counts."""

    def masked(output: Output) -> Output:
        text = _STEP.sub(lambda step: step[1 if step[2] in counts else 0], output.text)
        return replace(output, text=text) if output.kind == "error" else output

    return replace(cell, outputs=tuple(map(masked, cell.outputs))) if cell.has_failed else cell


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The timeline at one moment."""

    cells: tuple[CellEvent, ...] = ()
    pinned: frozenset[CellEvent] = frozenset()
    _hidden: frozenset[_Key] = field(default=frozenset(), repr=False)
    _first_runs: Mapping[_Key, int] = field(default_factory=dict, repr=False)

    def above(self, tick: int) -> Snapshot:
        """Return the snapshot without cells that first ran after `tick`: they are further down."""
        cells = tuple(cell for cell in self.cells if self._first_runs[_key(cell)] < tick)
        return replace(self, cells=cells)

    def is_hidden(self, cell: CellEvent | str) -> bool:
        """Whether prompts exclude a run of a cell, or the cell of an id, run or not."""
        return (cell if isinstance(cell, str) else _key(cell)) in self._hidden

    @property
    def visible(self) -> tuple[CellEvent, ...]:
        """Return the runs that prompts may include."""
        return tuple(cell for cell in self.cells if not self.is_hidden(cell))

    @property
    def hidden(self) -> tuple[CellEvent, ...]:
        """Return the runs of hidden cells."""
        return tuple(cell for cell in self.cells if self.is_hidden(cell))


class Timeline:
    """The runs of cells; any thread may use it.

    A run that changes neither the source nor the outputs of its cell is no new one. So running the
    same cells again gives the same prompts. `running` is the id of the running cell, "" if it has
    none.

    Prompts always include the latest run of a pinned cell, and no run of a hidden one. The cell
    tags `llm-pin` and `llm-hide` have the same effect; the last change counts, of a tag or by a
    method.

    Variables that a hidden cell binds are hidden as by `/hide NAME`, until another cell binds the
    name. `bound` maps the names that a run has bound to an older name of the same object, to "" for
    a new object, or to None if no cell made the object.

    `documents`: the notebook as each page shows it. `find_file` returns the notebook's file.
    `rules`: those of the project. `pictures`: those of the latest runs, by the runs' numbers.
    """

    def __init__(self, find_file: Callable[[], Path | None] = lambda: None) -> None:
        self.documents: dict[object, Document] = {}
        self._find_file = find_file
        self.rules = ProjectRules(find_file)
        self.pictures: dict[int, Sequence[Picture]] = {}
        self._cells: list[CellEvent] = []
        self._latest: dict[_Key, CellEvent] = {}
        self._tags: dict[tuple[_Key, Tag], bool] = {}
        self._marks: dict[tuple[_Key, Tag], bool] = {}  # the same, without changes by methods
        self._first_runs: dict[_Key, int] = {}  # the ticks of the cells' first runs
        self._makers: dict[str, _Key] = {}  # of the existing variables
        # variables in each run's source, with their makers
        self._met: dict[int, set[tuple[str, _Key]]] = {}
        self._ticks = count(1)
        self.running: str | None = None
        self._watchers = Watchers()
        self._lock = threading.Lock()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after cells have run or were marked, until the returned function is called.

        The call comes on any thread and must return at once. Its errors are logged.
        """
        return self._watchers.add(callback)

    def tick(self) -> int:
        """Return a growing number for this moment, to order it among the first runs of cells."""
        return next(self._ticks)

    def latest(self, cell_id: str | None) -> CellEvent | None:
        """Return the latest run of a cell; None if it has no id or has not run."""
        return self._latest.get(cell_id) if cell_id is not None else None

    @property
    def cells(self) -> tuple[CellEvent, ...]:
        """Return the runs so far, the oldest first."""
        with self._lock:
            return tuple(self._cells)

    def document(self) -> Document:
        """Return the notebook as a page shows it, or else as it was saved last."""
        # A console beside the notebook has few cells, and a file has none.
        shown = max(self.documents.values(), key=lambda one: len(one.cells), default=Document())
        path = None if shown.cells else self._find_file()
        return shown if path is None else Document.saved(path, frozenset(HIDING_TAGS))

    def append(
        self,
        source: str,
        *,
        execution_count: int | None = None,
        cell_id: str | None = None,
        outputs: Iterable[Output] = (),
        pictures: Sequence[Picture] = (),
        tags: Iterable[str] | None = None,
        bound: Mapping[str, str | None] = _NOTHING,
    ) -> CellEvent:
        """Append a run of a cell and return it; if nothing changed, return the run before.

        If `tags` is None, a cell that a page has reported as hidden stays hidden.
        """
        with self._lock:
            cell = CellEvent(
                number=len(self._cells) + 1,
                source=source,
                execution_count=execution_count,
                cell_id=cell_id,
                outputs=tuple(outputs),
                tags=frozenset(_SAME.get(tag, tag) for tag in tags or ()),
            )
            for tag in _TAGS:
                if tags is not None or tag != "llm-hide":
                    self._tag(_key(cell), tag, is_set=tag in cell.tags)
            before = self.latest(cell_id)
            if before is not None and (before.source, before.outputs) == (source, cell.outputs):
                again = () if execution_count is None else (execution_count,)
                cell = replace(before, tags=cell.tags, again=(*before.again, *again))
                self._cells[cell.number - 1] = cell
            else:
                self._cells.append(cell)
            self._latest[_key(cell)] = cell
            self.pictures.pop(cell.number, None)  # the new ones are the latest
            if pictures:
                self.pictures[cell.number] = pictures
            while sum(len(d) for one in self.pictures.values() for _, d in one) > _MAX_PICTURES:
                del self.pictures[next(iter(self.pictures))]
            self._first_runs.setdefault(_key(cell), self.tick())
            met = self._makers.keys() & re.findall(r"\w+", source)
            self._met.setdefault(cell.number, set()).update((n, self._makers[n]) for n in met)
        self.bind(_key(cell), bound)
        self._watchers.notify()
        return cell

    def bind(self, key: _Key | None, bound: Mapping[str, str | None]) -> None:
        """Record the names that a cell has bound."""
        with self._lock:
            before = dict(self._makers)
            for name, older in bound.items():
                maker = before.get(older) if older else key
                self._makers.pop(name, None)
                if older is not None and maker is not None:
                    self._makers[name] = maker
            self._hide_bound()

    def show_rules(self, *, is_shown: bool) -> None:
        """Include the rules of the project in prompts, or hide them until they are shown again."""
        self.rules.is_hidden = not is_shown
        self._watchers.notify()

    def pin(self, *cells: int | str) -> list[CellEvent]:
        """Include cells in all prompts, by execution counts or cell ids.

        Return their latest runs.
        """
        return self._set(cells, "llm-pin", is_set=True)

    def unpin(self, *cells: int | str) -> list[CellEvent]:
        """Undo `pin`."""
        return self._set(cells, "llm-pin", is_set=False)

    def hide(self, *cells: int | str) -> list[CellEvent]:
        """Exclude cells from all prompts."""
        return self._set(cells, "llm-hide", is_set=True)

    def unhide(self, *cells: int | str) -> list[CellEvent]:
        """Undo `hide`."""
        return self._set(cells, "llm-hide", is_set=False)

    def see_tags(self, are_hidden: Mapping[str, bool]) -> None:
        """Hide cells by their present tags in a page, by id; they need not have run."""
        with self._lock:
            changes = [self._tag(one, "llm-hide", is_set=on) for one, on in are_hidden.items()]
            if any(changes):  # not at every keystroke
                self._hide_bound()
        if any(changes):
            self._watchers.notify()

    def snapshot(self) -> Snapshot:
        """Return the runs so far and their marks."""
        with self._lock:
            hidden = frozenset(self._tagged("llm-hide"))
            hidden_counts = {
                str(n) for cell in self._cells if _key(cell) in hidden for n in cell.counts
            }
            cells = tuple(
                self._masked(cell, hidden_counts, hidden) if hidden_counts else cell
                for cell in self._cells
            )
            latest = (self._latest[key].number for key in self._tagged("llm-pin"))
            pinned = frozenset(cells[number - 1] for number in latest)
            return Snapshot(cells, pinned, hidden, dict(self._first_runs))

    def _set(self, cells: tuple[int | str, ...], tag: Tag, *, is_set: bool) -> list[CellEvent]:
        with self._lock:
            # All or none.
            latest = [self._latest[_key(find_cell(cell, self._cells))] for cell in cells]
            for cell in latest:
                self._tags[_key(cell), tag] = is_set
            self._hide_bound()
        self._watchers.notify()
        return latest

    def _hide_bound(self) -> None:
        hidden = self._tagged("llm-hide")
        names = [name for name, maker in self._makers.items() if maker in hidden]
        conceal_bound(names, user_namespace())

    def _masked(
        self, cell: CellEvent, counts: Container[str], hidden: Container[_Key]
    ) -> CellEvent:
        names = {name for name, maker in self._met.get(cell.number, ()) if maker in hidden}
        return replace(_without(cell, counts), conceals=tuple(sorted(names)))

    def _tag(self, key: _Key, tag: Tag, *, is_set: bool) -> bool:
        """Apply a tag if it changed, and return whether it did."""
        is_new = self._marks.get((key, tag), False) != is_set
        if is_new:
            self._marks[key, tag] = self._tags[key, tag] = is_set
        return is_new

    def _tagged(self, tag: Tag) -> list[_Key]:
        return [key for (key, one), is_set in self._tags.items() if is_set and one == tag]
