"""A tree of numbered values, of which one branch is active. Pure data; not for several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")
U = TypeVar("U")

START = 0  # the number of what comes before all values


class Branches(Generic[T]):
    """Values that follow one another; several may follow the same one.

    A value's number is larger than that of its parent, the value before it, and is never used
    twice. The active branch goes from the start to that child which was active last, and on.
    """

    def __init__(self) -> None:
        self._values: dict[int, T] = {}
        self._parents: dict[int, int] = {}
        self._children: dict[int, list[int]] = {START: []}  # the one that was active last is last
        self._last_number = START

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        """Iterate over all numbers, those of other branches too."""
        return iter(self._values)

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def get(self, number: int) -> T | None:
        """The value of a number, or None if there is none."""
        return self._values.get(number)

    def __setitem__(self, number: int, value: T) -> None:
        """Put another value in the place of one."""
        if number not in self._values:
            raise KeyError(number)
        self._values[number] = value

    @property
    def next_number(self) -> int:
        """The number of what is added next."""
        return self._last_number + 1

    def parent(self, number: int) -> int:
        """The number before a number."""
        return self._parents[number]

    def children(self, number: int) -> list[int]:
        """The numbers that follow a number or the start, the oldest first."""
        return sorted(self._children[number])

    def add(self, value: T, parent: int, number: int | None = None) -> int:
        """Add a value after another one or the start, and return its number.

        It becomes active if it is the only one there.
        """
        number = self.next_number if number is None else number
        if number <= self._last_number or (parent != START and parent not in self._values):
            raise KeyError(number if number <= self._last_number else parent)
        self._last_number = number
        self._values[number] = value
        self._parents[number] = parent
        self._children[number] = []
        self._children[parent].insert(0, number)
        return number

    def choose(self, number: int) -> None:
        """Make the branch through a number the active one."""
        while number != START:
            parent = self._parents[number]
            siblings = self._children[parent]
            if siblings[-1] != number:
                siblings.remove(number)
                siblings.append(number)
            number = parent

    def remove(self, number: int) -> int:
        """Take a value out, and return its parent; that is now the parent of what followed it."""
        parent, children = self._parents.pop(number), self._children.pop(number)
        siblings = self._children[parent]
        index = siblings.index(number)
        siblings[index : index + 1] = children
        for child in children:
            self._parents[child] = parent
        del self._values[number]
        return parent

    def clear(self) -> None:
        """Take out all values; numbers go on from where they are."""
        self._values.clear()
        self._parents.clear()
        self._children = {START: []}

    def path(self) -> list[int]:
        """The numbers of the active branch."""
        return self._down(START)

    def path_to(self, number: int) -> list[int]:
        """The numbers from the start up to one of them."""
        path = []
        while number != START:
            path.append(number)
            number = self._parents[number]
        path.reverse()
        return path

    def path_through(self, number: int) -> list[int]:
        """The numbers of the branch that choosing one of them would make active."""
        return [*self.path_to(number), *self._down(number)]

    @property
    def num_others(self) -> int:
        """How many branches there are beside the active one."""
        num_ends = sum(not children for number, children in self._children.items() if number)
        return max(num_ends - 1, 0)

    @property
    def choices(self) -> dict[int, int]:
        """Which child is active wherever that is not the newest one, by parent."""
        return {
            parent: children[-1]
            for parent, children in self._children.items()
            if len(children) > 1 and children[-1] != max(children)
        }

    def restore(self, choices: Mapping[int, int]) -> None:
        """Make the newest children active, but for these; what is not there is passed over."""
        for parent, children in self._children.items():
            chosen = choices.get(parent)
            children.sort(key=lambda child: (child == chosen, child))

    def mapped(self, function: Callable[[int, T], U]) -> Branches[U]:
        """The same branches, of what a function makes of numbers and values."""
        copy: Branches[U] = Branches()
        copy._values = {number: function(number, value) for number, value in self._values.items()}
        copy._parents = dict(self._parents)
        copy._children = {number: list(children) for number, children in self._children.items()}
        copy._last_number = self._last_number
        return copy

    def _down(self, number: int) -> list[int]:
        path = []
        while children := self._children[number]:
            number = children[-1]
            path.append(number)
        return path
