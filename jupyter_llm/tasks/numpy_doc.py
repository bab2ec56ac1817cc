"""`/doc`: docstrings in NumPy style. The code gives the structure, a model writes the sentences."""

from __future__ import annotations

import ast
import re
from copy import copy
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import segment
from jupyter_llm.tasks.docstring_parts import definition_of, structure_of, with_docstring
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import definitions_of, find_subject, listed, with_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.notebook.code.bindings import Definition
    from jupyter_llm.tasks.docstring_parts import Entry, Section
    from jupyter_llm.tasks.target import Subject
    from jupyter_llm.tasks.task import Task

_REQUEST = "Write the docstring of `{name}` in NumPy style: short sentences in plain words."
_QUOTES = '"""'
_INDENTATION = "    "
_MAX_TOKENS = 48  # a sentence has fewer
_MAX_TYPE_TOKENS = 12
_MARKS = " \t\n\"'`*#-:.,;"
_END = re.compile(r"[.!?](?=\s+[A-Z`]|\s*$)")
_LEAD = re.compile(r"(?:This|The) (?:function|method|class) (?=[a-z]+s\b)", re.IGNORECASE)
_CODE = re.compile(r"^(?:[\w.]+ = |def |class |import |from \w+ import |return\b(?! [a-z]+ )|>>>)")
_NOTHING = ("none", "todo", "null", "n/a", "parameters", "returns", "description", "args")
_TYPE = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w., |\[\]]+\])?(?: (?:of|or) [\w. ]+| \| [\w.]+)*")
_MAX_TYPE = 40  # characters
# What a verb ends with where somebody does it, and what it ends with in an order.
_BASES = (("ies$", "y"), ("(ss|sh|ch|x|z)es$", r"\1"), ("(?<![siua])s$", ""))


def document(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose docstrings for a function, a class, or for those in a cell that have none.

    Nothing else changes: they are put into the code as it was. `MagicUsageError`: there is nothing
    to describe, or the model wrote no sentence. An interrupt keeps the docstrings that were whole.
    """
    subject = with_source(find_subject(argument, task), "document")
    source = subject.cell.source if subject.cell is not None else subject.source
    wanted = {subject.name: subject.source} if subject.name else _undescribed(subject, source)
    completion: Completion | None = None
    is_asked = False
    reason = f"defines {listed(wanted)}"

    def proposal() -> Proposal:
        return Proposal(source=source, completion=completion, cell=subject.cell, reason=reason)

    for name, definition in wanted.items():
        node = definition_of(definition, name)
        if node is None:
            continue
        writer = _Writer(task, subject.prompt(_REQUEST.format(name=name)), node)
        try:
            docstring = writer.docstring()
        except KeyboardInterrupt:
            if completion is None:
                raise
            raise PromptInterrupted(completion, best=proposal()) from None
        if docstring:
            source = with_docstring(source, name, docstring, like=definition)
        completion, is_asked = completion or writer.first, is_asked or writer.is_asked
    if not is_asked:
        raise MagicUsageError(
            f"Nothing is missing in the docstring of {listed(wanted)}.",
            "Delete it to have another one.",
        )
    if completion is None:
        raise MagicUsageError("The model wrote no docstring.", "Try again, or another model.")
    return proposal()


def _undescribed(subject: Subject, source: str) -> dict[str, str]:
    """The definitions that are meant and have no docstring, or all if all have one, by name."""
    nodes = definitions_of(subject, source)
    if not nodes:
        raise MagicUsageError(
            f"{subject.title.capitalize()} defines no function and no class.",
            "Only these have docstrings.",
        )
    bare = [node for node in nodes if ast.get_docstring(node, clean=False) is None]
    return {node.name: segment(source, node) for node in bare or nodes}


class _Writer:
    """Writes one docstring, sentence by sentence, each with all that stands before it in sight.

    `first` is the first answer that is a sentence, or None. `is_asked` once the model is.
    """

    def __init__(self, task: Task, prompt: str, node: Definition) -> None:
        self.first: Completion | None = None
        self.is_asked = False
        self._task = task
        self._prompt = prompt
        self._node = node
        self._header = f"```python\n{_header(node)}\n{_INDENTATION}{_QUOTES}"

    def docstring(self) -> str:
        """The docstring; "" where the model wrote no sentence for it."""
        docstring = structure_of(self._node, self._task.namespace)
        has_one = bool(docstring.summary)
        docstring.summary = docstring.summary or self._summary()
        text = docstring.text(self._fill)
        return text if has_one or self.first is not None else ""

    def _summary(self) -> str:
        name = self._node.name
        said = sentence(self._ask("\n\n", []), name)
        if not isinstance(self._node, ast.ClassDef):
            said = imperative(said)
        return said or f"{in_words(name).capitalize()}."

    def _fill(self, above: Sequence[str], section: Section, entry: Entry) -> None:
        """Have written what an entry lacks: what kind of value it is, and the sentence."""
        if not entry.kind:
            named = f"{entry.name} :" if entry.name else ""
            entry.kind = type_name(self._ask("\n", [*above, named], max_tokens=_MAX_TYPE_TOKENS))
        if not entry.kind and not entry.name:
            entry.kind = "object"  # a line is needed above the sentence
        if not entry.about:
            said = self._ask("\n", [*above, entry.head, f"{_INDENTATION}{section.begins}"])
            fallback = entry.fallback or f"The {in_words(entry.name)}."
            entry.about = sentence(f"{section.begins}{said}", entry.name) or fallback

    def _ask(self, end: str, lines: Sequence[str], max_tokens: int = _MAX_TOKENS) -> str:
        """Have the docstring gone on with behind some lines."""
        self.is_asked = True
        text = "\n".join(lines).replace("\n", f"\n{_INDENTATION}")
        if lines and not lines[-1].strip():
            text = text[:-1]  # the space before a word is part of it, for those who read tokens
        (completion,) = self._task.draft(
            self._prompt, begin=self._header + text, stop=(end, _QUOTES), max_tokens=max_tokens
        )
        if completion.finish_reason == "length" and is_torn(completion.text):
            return ""
        if self.first is None and sentence(completion.text, self._node.name):
            self.first = completion
        return completion.text


def _header(node: Definition) -> str:
    """A definition's first lines, to the colon; decorators are none of them."""
    bare = copy(node)
    bare.decorator_list = []
    bare.body = [ast.Pass()]
    return ast.unparse(bare).removesuffix(f"\n{_INDENTATION}pass")


def sentence(said: str, name: str = "") -> str:
    """The first sentence of what was said about a name; "" where it says nothing."""
    paragraphs = said.partition("```")[0].split("\n\n")
    line = next((" ".join(text.split()) for text in paragraphs if text.strip(_MARKS)), "")
    if _CODE.match(line):
        return ""
    line = re.sub(r"^[-*#:]+\s+", "", line)
    line = re.sub(rf"^[`*]*{re.escape(name)}[`*]*(?: \([^)]*\))?\s*(?:[:-]|\s-)\s*", "", line)
    line = line.strip("\"'").lstrip(_MARKS.replace("`", ""))
    end = _END.search(line)
    text = (line[: end.start()] if end else line).rstrip(" \t.:,;")
    words = re.findall(r"\w+", text.casefold())
    if not any(map(str.isalpha, text)) or text.casefold() in _NOTHING:
        return ""
    if "".join(words) in ("".join(re.findall(r"\w+", name.casefold())), ""):
        return ""
    return f"{text[0].upper()}{text[1:]}."


def is_torn(said: str) -> bool:
    """Whether what was cut off has no whole sentence."""
    return "\n" not in said.strip() and _END.search(said) is None


def imperative(text: str) -> str:
    """A sentence about a function that says what to do: "Return …", not "Returns …"."""
    first, _, rest = _LEAD.sub("", text, count=1).partition(" ")
    lower = first.lower()
    if not rest or not lower.isalpha():
        return text
    for ending, base in _BASES:
        verb, is_one = re.subn(ending, base, lower)
        if is_one:
            return f"{verb.capitalize()} {rest}"
    return f"{first[0].upper()}{first[1:]} {rest}"


def type_name(said: str) -> str:
    """What was said of a kind of value, where it can be one; "" otherwise."""
    text = said.strip().split("\n")[0].removesuffix(", optional").strip("`'\" ").rstrip(".:,")
    is_one = len(text) <= _MAX_TYPE and _TYPE.fullmatch(text) is not None
    return text if is_one and text.casefold() not in _NOTHING else ""


def in_words(name: str) -> str:
    """A name as words."""
    return " ".join(name.strip("_*").split("_"))
