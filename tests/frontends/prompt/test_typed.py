"""What was typed becomes a prompt or a command, in a cell as in a panel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from jupyter_llm.chat.question import ChatQuestion, variables_about
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.errors import EmptyPromptError, InterpolationError, MagicUsageError
from jupyter_llm.frontends.prompt.commands import COMMANDS, Command, Order, Shown
from jupyter_llm.frontends.prompt.options import Options
from jupyter_llm.frontends.prompt.typed import read, read_draft
from jupyter_llm.notebook.cells.events import CellEvent, Output
from jupyter_llm.notebook.cells.timeline import Snapshot

CELLS = (
    CellEvent(number=1, source="x = 1", execution_count=1),
    CellEvent(number=2, source="print(x)", execution_count=3, outputs=(Output("stdout", "1\n"),)),
)


class _Matrix:
    def __matmul__(self, _other: object) -> str:
        return "product"


NAMESPACE: dict[str, Any] = {
    "x": 7,
    "m": _Matrix(),
    "rows": [1, 2],
    "hostile": "{{x}} @x @In[3] @nobody /help -q",
}


def reader(**how: Any) -> Any:
    return partial(
        read,
        **{"commands": COMMANDS, "namespace": NAMESPACE, "snapshot": Snapshot(cells=CELLS), **how},
    )


def typed(
    line: str,
    body: str = "",
    *,
    in_panel: bool = False,
    commands: Mapping[str, Command] = COMMANDS,
    **defaults: Any,
) -> Any:
    options, has_options = Options(**defaults), not in_panel
    return reader(commands=commands, defaults=options, has_options=has_options)(line, body)


@pytest.mark.parametrize("in_panel", [False, True], ids=["cell", "panel"])
@pytest.mark.parametrize(
    ("text", "prompt", "labels"),
    [
        ("What's 2 * {{x}}?", "What's 2 * 7?", []),
        ("See {{hostile}}", f"See {NAMESPACE['hostile']}", []),
        ("{{hostile}}", NAMESPACE["hostile"], []),  # no command, no option: a value
        ("{{(x := 8)}} {{x}}", "8 8", []),
        (r"\{{x}} {x}", "{{x}} {x}", []),
        ("What are @rows and @x?", "What are rows and x?", []),
        ("me@home.org, `@rows`", "me@home.org, `@rows`", []),
        ("Tell @mean_fare[34.65] of @x", "Tell @mean_fare[34.65] of x", []),
        ("Why @In[3]? And @Out [1], @In[3]", "Why In [3]? And In [1], In [3]", ["3", "1"]),
        ('{{ "@x @In[3]" }}, {{m @m}}', "@x @In[3], product", []),
        ("-- /help @x", "/help x", []),
        ("-- -q", "-q", []),
        ("/etc/passwd is what?", "/etc/passwd is what?", []),
    ],
)
def test_a_prompt_is_the_same_wherever_it_is_typed(
    text: str, prompt: str, labels: list[str], *, in_panel: bool
) -> None:
    asked = typed(text, in_panel=in_panel).what
    assert asked.prompt == prompt
    assert [label for label, _ in asked.attachments] == [f"In [{n}]" for n in labels]
    assert NAMESPACE["x"] == 7


def test_a_cell_is_attached_with_what_it_showed() -> None:
    (attached,) = typed("@In[3]").what.attachments
    assert attached[0] == "In [3]"
    assert "print(x)" in attached[1]
    assert attached[1].rstrip().endswith("1")


@pytest.mark.parametrize(
    ("prompt", "choice", "names"),
    [
        ("What are @rows?", "none", ["rows"]),
        ("What are rows?", "auto", ["rows"]),
        ("What are rows?", "none", []),
        ("Hello", "rows", ["rows"]),
        ("{{hostile}}", "none", []),
        ('{{ "@nobody" }}', "none", []),
        ("See `@rows`", "none", []),
    ],
)
def test_variables_go_along_as_they_are_named_in_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, prompt: str, choice: str, names: list[str]
) -> None:
    monkeypatch.setattr("jupyter_llm.chat.question.own_variables", lambda _shell: NAMESPACE)
    asked = typed(prompt, vars=choice).what
    told = variables_about(asked.about, asked.vars, CELLS[:1])
    assert [name for name, _ in told] == names


def test_the_options_of_a_line_are_for_its_prompt() -> None:
    line = "-n {{x}} -s kind --new --no-save -c none x << Fix @rows:"
    read = typed(line, "1 + {{x}}\n", model="m", params=SamplingParams(seed=3), stats=True)
    asked = read.what
    assert asked == ChatQuestion(
        prompt="Fix rows:\n1 + 7",
        model="m",
        system="kind",
        is_new=True,
        named=("rows",),
        context="none",
        about="Fix @rows:\n1 + {{x}}",
        vars="none",
        is_kept=False,
        params=SamplingParams(seed=3, max_tokens=7),
    )
    assert (read.options.assign_to, read.options.vars, read.options.stats) == ("x", "none", True)


def test_in_a_panel_a_prompt_may_begin_with_what_would_be_an_option() -> None:
    for text in ("-t 0 What?", "--no-such", "x << 2?", "-q", "--"):
        assert typed(text, in_panel=True).what.prompt == text


@pytest.mark.parametrize("in_panel", [False, True], ids=["cell", "panel"])
def test_a_command_takes_values_and_no_attachments(*, in_panel: bool) -> None:
    order = typed("/explain {{x}} @In[3] {{hostile}}", in_panel=in_panel).what
    assert isinstance(order, Order)
    assert order.command.name == "explain"
    assert order.argument == f"7 @In[3] {NAMESPACE['hostile']}"
    assert typed("-t 0 /explain").options.params.temperature == 0


@pytest.mark.parametrize("in_panel", [False, True], ids=["cell", "panel"])
@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("  ", EmptyPromptError, "empty"),
        ("-- ", EmptyPromptError, "empty"),
        ("{{''}}", EmptyPromptError, "empty"),
        ("{{1/0}}", InterpolationError, "ZeroDivisionError"),
        ("@In[2]", MagicUsageError, r"no cell \[2\]"),
        ("/statsu", MagicUsageError, "Did you mean /status"),
        ("/reset all of it", MagicUsageError, "/reset takes nothing after it"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    text: str, error: type[Exception], says: str, *, in_panel: bool
) -> None:
    with pytest.raises(error, match=says) as caught:
        typed(text, in_panel=in_panel)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ("What is 2 + 2? -t 0", "`-t 0` is part of the prompt: options come first"),
        ("Add -a to -b. -n 5", "`-n 5` is part of the prompt: options come first"),
        ("What is 2 + 2? --stats", "`--stats` is part of the prompt: options come first"),
        ("-n 5 What is {{ x", "`{{` without `}}` stays as typed"),
        ("What does ls -l do?", ""),
        ("Is it 5 -3", ""),
        ("What is {{x}} in \\frac{{}}{2} and \\{{?", ""),
        ("-- What is 2 + 2? -t 0", ""),
        ("-t 0 Hello", ""),
        ("Tell @mean_fare[34.65] of @x", "`@mean_fare` is no variable and stays as typed"),
    ],
)
def test_what_may_have_been_meant_otherwise_is_told_in_a_line(line: str, remark: str) -> None:
    assert typed(line).remark == remark


@pytest.mark.parametrize("in_panel", [False, True], ids=["cell", "panel"])
@pytest.mark.parametrize("text", ["-h", "--help"])
def test_help_is_there_under_the_names_that_programs_give_it(text: str, *, in_panel: bool) -> None:
    commands = {**COMMANDS, "help": Command("help", "", "", lambda _: Shown())}
    order = typed(text, in_panel=in_panel, commands=commands).what
    assert order.command.name == "help"


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("How many rows", "How many rows"),
        ("How many rows ", "How many rows"),
        ("What is @ro", "What is"),
        ("What is @rows", "What is rows"),
        ("It is {{x}} and more", "It is"),
        ("It is {{x", "It is"),
        (r"It is \{{x}} and {{x}}", "It is {{x}} and"),
        ("A set {1} and", "A set {1} and"),
        ("Why @In[3] and @In[7", "Why In [3] and"),
        ("Why @In[3] and @In[7]", "Why In [3] and"),
        ("/explain x", None),
        ("/no-such", None),
        ("", None),
        ("@ro", None),
        ("{{x}}", None),
    ],
)
def test_a_draft_is_read_as_far_as_no_code_and_no_next_key_counts(
    text: str, prompt: str | None
) -> None:
    for line, body in ((text, ""), ("", text)):
        found = read_draft(reader(defaults=Options(), has_options=False), line, body)
        assert (found[0].prompt if found is not None else None) == prompt
