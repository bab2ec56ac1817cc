"""`/review` and `/explain error`: what is said without the model, and with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from support.scripted import ScriptedEngine
from support.watch import Watch

from jupyter_llm.engine.base import Engine
from jupyter_llm.engine.completion import Completion, PromptInterrupted, Score, Usage
from jupyter_llm.engine.info import FimTokens
from jupyter_llm.engine.request import Prompt, raw_text
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.variants import variants
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.review import Review, review
from jupyter_llm.tasks.suspects import find_suspects

COUNTS = (
    "def counts(words):\n"
    "    found = {}\n"
    "    for word in words:\n"
    "        if word in found:\n"
    "            found[word] += 1\n"
    "        else:\n"
    "            found[word] = 0\n"
    "    return found"
)
FIM = FimTokens(prefix="<P>", suffix="<S>", middle="<M>")


class Expecting(ScriptedEngine):
    """An engine that expects one line in the place of another, and all else as it stands."""

    def __init__(self, line: str = "", meant: str = "", *, fim: FimTokens | None = FIM) -> None:
        super().__init__(fim=fim)
        self.line = line
        self.meant = meant
        self.read: list[str] = []

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        assert not isinstance(prompt, tuple)
        self.read.append(raw_text(prompt))
        return [Score(text, self._logprobs(text)) for text in continuations]

    def _logprobs(self, text: str) -> tuple[float, ...]:
        """One for each token, which the script takes to be a byte."""
        logprobs = [-0.001] * len(text.encode())
        if self.line and self.line in text:
            pairs = enumerate(zip(self.line, self.meant, strict=False))
            logprobs[text.index(self.line) + next(n for n, (a, b) in pairs if a != b)] = -8.0
        elif self.line and self.meant not in text:
            logprobs[0] = -4.0
        return tuple(logprobs)


def reviewed(watch: Watch, engine: ScriptedEngine, argument: str = "") -> Review:
    return review(replace(watch.task(), engine=lambda: engine), argument)


def test_a_review_names_line_code_reason_and_how_sure_it_is(watch: Watch) -> None:
    watch.run("def last(xs):\n    return xs[len(xs)]")
    assert str(review(watch.task(), "last")) == (
        "The function `last`, 1 thing to look at:\n\n"
        "- **line 2** `return xs[len(xs)]`: `xs[len(xs)]` is one behind the end; the last is at "
        "`len(…) - 1` (certain)\n\n"
        "Looked at the rules of pyflakes and our own; nothing was run."
    )


def test_a_review_that_finds_nothing_says_where_it_looked(watch: Watch) -> None:
    watch.run("x = 1")
    found = reviewed(watch, Expecting())
    assert str(found) == (
        "Nothing found in cell [1].\n\n"
        "Looked at the rules of pyflakes and our own and what the model expects of each line; "
        "nothing was run."
    )


def test_variables_of_the_notebook_are_defined_names(watch: Watch) -> None:
    watch.run("prices = [1]")
    watch.run("total = sum(prices)")
    assert review(watch.task()).findings == ()


def test_a_line_that_the_model_would_rather_see_otherwise_is_found(watch: Watch) -> None:
    watch.run(COUNTS)
    (finding,) = reviewed(watch, Expecting("found[word] = 0", "found[word] = 1"), "counts").findings
    assert (finding.line, finding.source) == (7, "found[word] = 0")
    assert finding.what == "the model expects `found[word] = 1`"


def test_what_a_rule_has_found_is_not_said_again(watch: Watch) -> None:
    watch.run("def f(xs):\n    return sum(xs) // len(xs)")
    (finding,) = reviewed(watch, Expecting("sum(xs) // len(xs)", "sum(xs) / len(xs)"), "f").findings
    assert "cuts off the fraction" in finding.what


def test_the_model_sees_what_stands_around_a_line(watch: Watch) -> None:
    watch.run(COUNTS)
    engine = Expecting("found[word] = 0", "found[word] = 1")
    reviewed(watch, engine, "counts")
    above, below = COUNTS.split("            found[word] = 0\n")
    assert engine.read[-1] == f"<P>{above}<S>{below}<M>"


def test_a_model_that_cannot_fill_in_reads_on(watch: Watch) -> None:
    engine = Expecting("found[word] = 0", "found[word] = 1", fim=None)
    (suspect,) = find_suspects(COUNTS, engine)
    assert suspect.expected == "found[word] = 1"
    assert engine.read[-1] == COUNTS.split("            found[word] = 0", maxsplit=1)[0]


def test_lines_that_do_not_surprise_the_model_are_not_looked_at() -> None:
    engine = Expecting()
    assert find_suspects(COUNTS, engine) == ()
    assert len(engine.read) == 1


def test_secrets_are_not_told() -> None:
    engine = Expecting("return key + 1", "return key - 1")
    find_suspects('def f(key):\n    token = "sk-1234567890abcdef1234"\n    return key + 1', engine)
    assert "sk-123" not in "".join(engine.read)


def test_a_small_model_is_asked_for_no_words(watch: Watch) -> None:
    watch.run(COUNTS)
    engine = Expecting()
    assert reviewed(watch, engine, "counts").words == ()
    assert watch.prompts == []


def test_a_large_model_is_asked_one_question_at_a_time(watch: Watch) -> None:
    watch.run(COUNTS)
    engine = Expecting()
    engine.info = replace(engine.info, num_parameters=7_000_000_000)
    task = replace(watch.task("For usual input it is right."), engine=lambda: engine)
    found = review(task, "counts")
    assert len(found.words) == len(watch.prompts) == 2
    assert all(COUNTS in prompt for prompt in watch.prompts)
    assert "which nobody has checked:\n\nFor usual input it is right." in str(found)


def test_only_python_is_reviewed(watch: Watch) -> None:
    watch.run("%%html\n<b>x</b>")
    with pytest.raises(MagicUsageError, match="begins with %%html"):
        review(watch.task())


def test_what_has_no_source_is_not_reviewed(watch: Watch) -> None:
    watch.run("rows = []")
    with pytest.raises(MagicUsageError, match="no source of `rows` to review"):
        review(watch.task(), "rows")


def test_a_review_shows_in_every_form(watch: Watch) -> None:
    watch.run("print(`x`)")
    found = review(watch.task())
    assert found._repr_markdown_()
    assert "Python cannot read it" in str(found)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("    while low < high:", "    while low <= high:"),
        ("    total = price", "    total += price"),
        ("    return (a[i] + a[i + 1]) / 2", "    return (a[i] + a[i - 1]) / 2"),
        ("    if x in seen:", "    if x not in seen:"),
        ("    return sum(xs) / len(xs) - 1", "    return sum(xs) / (len(xs) - 1)"),
        ("        return total", "    return total"),
        ("    return low", "    return high"),
        ("        low = mid", "        low = mid + 1"),
        ("    return np.sqrt(np.mean(e) ** 2)", "    return np.sqrt(np.mean(e ** 2))"),
        ("    for i in range(len(xs) - n):", "    for i in range(len(xs) - n + 1):"),
        ("    df.dropna()", "    df = df.dropna()"),
    ],
)
def test_a_variant_is_one_slip_away(line: str, meant: str) -> None:
    assert meant in variants(line, ("low", "high"))


def test_keywords_and_texts_have_no_variants() -> None:
    assert variants("print(a, end='a + b')") == []


def test_an_interrupt_keeps_what_the_rules_found(watch: Watch) -> None:
    watch.run("def f(items=[]):\n    items.append(1)")

    def engine() -> Engine:
        raise PromptInterrupted(said="stopped before all texts were read.")

    with pytest.raises(PromptInterrupted, match="before all texts") as caught:
        review(replace(watch.task(), engine=engine))
    assert "line 1" in str(caught.value.best)
    assert "Looked at the rules of pyflakes and our own; nothing was run" in str(caught.value.best)


@pytest.fixture
def known(watch: Watch) -> Callable[[], str]:
    """What is shown of the last error before the model's words."""

    def known() -> str:
        shown: list[str] = []

        def ask(_prompt: str, *, begin: str, known: str) -> Completion:
            shown.extend([known, begin])
            return Completion(text="", finish_reason="stop", usage=Usage(), model="script")

        explain(replace(watch.task(), ask=ask), "error")
        return "".join(shown)

    return known


def test_an_explained_error_begins_with_what_is_known(
    watch: Watch, known: Callable[[], str]
) -> None:
    watch.run("row = {'city': 'Oslo', 'price': 3}")
    watch.run("x = 1\nprint(row['citi'])")
    assert known() == (
        "```text\nKeyError: 'citi'\n```\n\n"
        "It came from cell [2], line 2:\n\n"
        "```python\nprint(row['citi'])\n```\n\n"
        "There is no key 'citi'; near it is 'city'.\n\n"
        "```text\nrow: dict, 2 items, keys: str; values: 1 str, 1 int\n"
        "{'city': 'Oslo', 'price': 3}\n```\n\n"
        "The error comes from"
    )


def test_a_cell_that_cannot_be_read_is_shown_where_python_stopped(
    watch: Watch, known: Callable[[], str]
) -> None:
    watch.run("x = 1\nprint(x")
    assert "Python stopped reading cell [1] at line 2:\n\n```python\nprint(x\n" in known()
