"""Values that follow one another, of which one branch is active."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_llm.chat.branches import START, Branches


def line(count: int) -> Branches[str]:
    branches: Branches[str] = Branches()
    for number in range(count):
        branches.add(f"value {number + 1}", number)
    return branches


def test_a_branch_goes_on_as_it_did_when_it_was_active_last() -> None:
    branches = line(3)
    branches.choose(branches.add("other", 2))
    branches.choose(branches.add("first again", START))
    assert branches.path() == [5]
    branches.choose(1)
    assert branches.path() == branches.path_through(2) == [1, 2, 4]
    assert branches.path_through(3) == branches.path_to(3) == [1, 2, 3]


def test_what_followed_a_value_that_is_taken_out_follows_its_parent() -> None:
    branches = line(4)
    branches.choose(branches.add("again", 2))
    assert branches.remove(2) == 1
    assert branches.children(1) == [3, 5]
    assert branches.path() == [1, 5]
    branches.remove(5)
    assert branches.path() == [1, 3, 4]  # the branch that was active before


def test_a_number_is_never_used_twice() -> None:
    branches = line(2)
    branches.remove(2)
    assert branches.next_number == 3
    branches.clear()
    assert (len(branches), branches.path(), branches.next_number) == (0, [], 3)


@pytest.mark.parametrize(("parent", "number"), [(7, None), (START, 2), (START, 0)])
def test_what_has_no_place_is_refused(parent: int, number: int | None) -> None:
    with pytest.raises(KeyError):
        line(2).add("x", parent, number)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add and choose", "choose", "remove"]), st.integers(0, 30)),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_any_walk_keeps_branches_whole(steps: list[tuple[str, int]]) -> None:
    branches: Branches[int] = Branches()
    parents: dict[int, int] = {}
    for step, pick in steps:
        numbers = [START, *branches]
        number = numbers[pick % len(numbers)]
        before = branches.path()
        if step.startswith("add"):
            new = branches.add(pick, number)
            parents[new] = number
            if step == "add and choose":
                branches.choose(new)
                assert branches.path() == branches.path_to(new)
            else:
                assert branches.path()[: len(before)] == before
        elif number == START:
            continue
        elif step == "choose":
            through = branches.path_through(number)
            branches.choose(number)
            assert branches.path() == through
        else:
            parent = parents.pop(number)
            parents.update({child: parent for child, old in parents.items() if old == number})
            assert branches.remove(number) == parent
            rest = [other for other in before if other != number]
            assert branches.path()[: len(rest)] == rest
        path = branches.path()
        assert path == sorted(path)
        assert {number: branches.parent(number) for number in branches} == parents
        ends = set(parents) - set(parents.values())
        assert branches.num_others == max(len(ends) - 1, 0)
        assert not path or path[-1] in ends
        assert all(branches.children(n) == sorted(c for c in parents if parents[c] == n)
                   for n in [START, *parents])  # fmt: skip


@settings(max_examples=150)
@given(STEPS)
def test_choices_are_all_that_it_takes_to_restore_the_active_branches(
    steps: list[tuple[str, int]],
) -> None:
    branches: Branches[int] = Branches()
    for step, pick in steps:
        numbers = [START, *branches]
        number = numbers[pick % len(numbers)]
        if step.startswith("add"):
            number = branches.add(pick, number)
        if step != "add":
            branches.choose(number)
    anew: Branches[int] = Branches()
    for number in sorted(branches):
        anew.add(branches[number], branches.parent(number), number)
    anew.restore(branches.choices)
    for number in [START, *branches]:
        assert anew.path_through(number) == branches.path_through(number)
    assert anew.mapped(lambda _, value: value).path() == branches.path()
