"""`/doc`: docstrings in NumPy style. The code gives the structure, a model writes the sentences."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import (
    DEFINITIONS,
    Definition,
    first_line_of,
    own_nodes,
    parameters_of,
    segment,
)
from jupyter_llm.notebook.code.layout import space_of
from jupyter_llm.notebook.code.syntax import cell_python, parse_cell
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import definitions_of, find_subject, listed, with_source

if TYPE_CHECKING:
    from jupyter_llm.engine.completion import Completion
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

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WIDTH = 75  # of the text, indentation aside
_MAX_DEFAULT = 30  # characters
_TITLE = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ \t]*$", re.MULTILINE)
_ITERATORS = frozenset({"Iterator", "Iterable", "Generator", "AsyncIterator", "AsyncGenerator"})
# What a value is, by the kind of expression that makes it.
_KINDS: dict[type, str] = {
    **dict.fromkeys((ast.List, ast.ListComp), "list"),
    **dict.fromkeys((ast.Dict, ast.DictComp), "dict"),
    **dict.fromkeys((ast.Set, ast.SetComp), "set"),
    ast.Tuple: "tuple",
    ast.JoinedStr: "str",
    ast.Compare: "bool",
}
_CALLS = frozenset({"bool", "dict", "float", "int", "len", "list", "set", "sorted", "str", "tuple"})
_NAMED = {"len": "int", "sorted": "list"}


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
        summary = sentence(self._ask("\n\n", []), name)
        if not isinstance(self._node, ast.ClassDef):
            summary = imperative(summary)
        return summary or f"{in_words(name).capitalize()}."

    def _fill(self, above: Sequence[str], section: Section, entry: Entry) -> None:
        """Have written what an entry lacks: what kind of value it is, and the sentence."""
        if not entry.kind:
            named = f"{entry.name} :" if entry.name else ""
            entry.kind = type_name(self._ask("\n", [*above, named], max_tokens=_MAX_TYPE_TOKENS))
        if not entry.kind and not entry.name:
            entry.kind = "object"  # a line is needed above the sentence
        if not entry.about:
            written = self._ask("\n", [*above, entry.head, f"{_INDENTATION}{section.begins}"])
            fallback = entry.fallback or f"The {in_words(entry.name)}."
            entry.about = sentence(f"{section.begins}{written}", entry.name) or fallback

    def _ask(self, end: str, lines: Sequence[str], max_tokens: int = _MAX_TOKENS) -> str:
        """Have the docstring gone on with behind some lines."""
        self.is_asked = True
        text = "\n".join(lines).replace("\n", f"\n{_INDENTATION}")
        if lines and not lines[-1].strip():
            text = text[:-1]  # the space before a word is part of it, for those who read tokens
        (completion,) = self._task.draft(
            self._prompt, begin=self._header + text, stop=(end, _QUOTES), max_tokens=max_tokens
        )
        written = completion.text
        has_sentence = "\n" in written.strip() or _END.search(written)
        if completion.finish_reason == "length" and not has_sentence:
            return ""
        if self.first is None and sentence(written, self._node.name):
            self.first = completion
        return written


def _header(node: Definition) -> str:
    """A definition's first lines, to the colon; decorators are none of them."""
    bare = copy(node)
    bare.decorator_list = []
    bare.body = [ast.Pass()]
    return ast.unparse(bare).removesuffix(f"\n{_INDENTATION}pass")


def sentence(text: str, name: str = "") -> str:
    """Return the first sentence about a name; "" if it adds nothing to the name."""
    paragraphs = text.partition("```")[0].split("\n\n")
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


def type_name(written: str) -> str:
    """Return the type that a text names; "" if it names none."""
    text = written.strip().split("\n")[0].removesuffix(", optional").strip("`'\" ").rstrip(".:,")
    is_one = len(text) <= _MAX_TYPE and _TYPE.fullmatch(text) is not None
    return text if is_one and text.casefold() not in _NOTHING else ""


def in_words(name: str) -> str:
    """A name as words."""
    return " ".join(name.strip("_*").split("_"))


@dataclass(slots=True)
class Entry:
    """A parameter, an attribute or a value: what it is called, what it is, and what it is for.

    `default` is what follows the kind. `fallback` is used if the model wrote no sentence.
    """

    name: str = ""
    kind: str = ""
    default: str = ""
    about: str = ""
    fallback: str = ""

    @property
    def head(self) -> str:
        """The line above the sentence."""
        kind = ", ".join(filter(None, (self.kind, self.default)))
        return " : ".join(filter(None, (self.name, kind)))

    @property
    def lines(self) -> list[str]:
        """The entry as it stands in a docstring."""
        text = textwrap.wrap(self.about, _WIDTH - 4)
        return [self.head, *(f"    {line}" for line in text)]


@dataclass(slots=True)
class Section:
    """A section of a docstring: its text `before`, and the entries that it lacks."""

    title: str
    entries: list[Entry]
    begins: str = ""  # each sentence in it
    before: str = ""


@dataclass(slots=True)
class Docstring:
    """A docstring by its parts."""

    summary: str = ""
    more: str = ""  # paragraphs below the summary
    sections: list[Section] = field(default_factory=list)

    def text(self, fill: Callable[[Sequence[str], Section, Entry], None] | None = None) -> str:
        """All of it, without indentation; `fill` adds to each entry, with the lines above it."""
        lines = [self.summary, *(["", *self.more.split("\n")] if self.more else [])]
        for section in self.sections:
            lines += ["", section.title, "-" * len(section.title)]
            lines += section.before.split("\n") if section.before else []
            for entry in section.entries:
                if fill is not None:
                    fill(lines, section, entry)
                lines += entry.lines
        return "\n".join(lines)


def structure_of(node: Definition, namespace: Mapping[str, object]) -> Docstring:
    """The docstring that a definition calls for: what it has already, and what is to be filled in.

    Of the namespace only the types of values are looked at.
    """
    if isinstance(node, ast.ClassDef):
        sections = _of_class(node, namespace)
    else:
        sections = _of_function(node, namespace)
    docstring = Docstring(sections=[section for section in sections if section.entries])
    _keep(docstring, ast.get_docstring(node) or "")
    return docstring


def _of_function(node: _Function, namespace: Mapping[str, object]) -> Iterator[Section]:
    yield Section("Parameters", list(_parameters(node, namespace)))
    own = list(own_nodes(node.body))
    given = [one.value for one in own if isinstance(one, ast.Return)]
    values = [v for v in given if v and not (isinstance(v, ast.Constant) and v.value is None)]
    annotation = _annotation(node.returns)
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in own):
        yield Section("Yields", [Entry(kind=_item_of(node.returns), fallback="The next value.")])
    elif values and annotation != "None":
        kinds = {annotation or _kind_of(value, {}) for value in values}
        kind = kinds.pop() if len(kinds) == 1 else ""
        yield Section("Returns", [Entry(kind=kind, fallback="The result.")])
    yield Section("Raises", list(_raised(own)), begins="If")


def _of_class(node: ast.ClassDef, namespace: Mapping[str, object]) -> Iterator[Section]:
    makers = [one for one in node.body if isinstance(one, _FUNCTIONS) and one.name == "__init__"]
    parameters = list(_parameters(makers[-1], namespace)) if makers else []
    yield Section("Parameters", parameters)
    known = {entry.name for entry in parameters}
    held = {entry.name: entry for entry in _attributes(node, makers) if entry.name[0] != "_"}
    yield Section("Attributes", [one for name, one in held.items() if name not in known])


def _parameters(node: _Function, namespace: Mapping[str, object]) -> Iterator[Entry]:
    args = node.args
    pairs = parameters_of(args)
    entries = [_parameter(arg, default, namespace) for arg, default in pairs]
    if args.vararg:
        starred = Entry(f"*{args.vararg.arg}", _annotation(args.vararg.annotation))
        entries.insert(len(pairs) - len(args.kwonlyargs), starred)
    if pairs and pairs[0][0].arg in ("self", "cls"):
        entries = entries[1:]
    if args.kwarg:
        entries.append(Entry(f"**{args.kwarg.arg}", _annotation(args.kwarg.annotation)))
    yield from entries


def _parameter(arg: ast.arg, default: ast.expr | None, namespace: Mapping[str, object]) -> Entry:
    entry = Entry(arg.arg, _annotation(arg.annotation))
    if default is not None:
        text = ast.unparse(default)
        is_shown = len(text) <= _MAX_DEFAULT and text != "None"
        entry.default = f"default {text}" if is_shown else "optional"
        entry.kind = entry.kind or _kind_of(default, namespace)
    return entry


def _attributes(node: ast.ClassDef, makers: list[_Function]) -> Iterator[Entry]:
    """Yield what a class says that its objects hold."""
    for one in node.body:
        match one:
            case ast.AnnAssign(ast.Name(name), kind, value):
                text = "" if value is None else ast.unparse(value)
                is_shown = 0 < len(text) <= _MAX_DEFAULT and "(" not in text
                yield Entry(name, _annotation(kind), f"default {text}" if is_shown else "")
    for part in (part for maker in makers for part in ast.walk(maker)):
        match part:
            case ast.Assign([ast.Attribute(ast.Name("self"), name)], value):
                yield Entry(name, _kind_of(value, {}))
            case ast.AnnAssign(ast.Attribute(ast.Name("self"), name), kind):
                yield Entry(name, _annotation(kind))


def _raised(own: list[ast.AST]) -> Iterator[Entry]:
    """Yield the exceptions that a function raises by name, each once."""
    seen = set()
    for one in own:
        if not isinstance(one, ast.Raise) or one.exc is None:
            continue
        made = one.exc.func if isinstance(one.exc, ast.Call) else one.exc
        kind = ast.unparse(made)
        if kind in seen or not kind.rpartition(".")[2][:1].isupper():
            continue  # a variable: an error that was caught
        seen.add(kind)
        fallback = "If it cannot go on."
        match one.exc:
            case ast.Call(args=[ast.Constant(str(text)), *_]) if text.strip():
                fallback = f"With the message: {text.strip().rstrip('.')}."
        yield Entry(kind=kind, fallback=fallback)


def _annotation(node: ast.expr | None) -> str:
    return "" if node is None else ast.unparse(node).strip("'\"")  # it may be a text


def _item_of(annotation: ast.expr | None) -> str:
    """Return the items of an iterator, by its annotation."""
    match annotation:
        case ast.Subscript(value=made, slice=item) if (
            ast.unparse(made).rpartition(".")[2] in _ITERATORS
        ):
            return _annotation(item.elts[0] if isinstance(item, ast.Tuple) else item)
    return ""


def _kind_of(value: ast.expr, namespace: Mapping[str, object]) -> str:
    """Return the kind of an expression if it is obvious; "" otherwise."""
    match value:
        case ast.Constant(value=None):
            return ""
        case ast.Constant(value=constant):
            return type(constant).__name__
        case ast.UnaryOp(op=ast.Not()):
            return "bool"
        case ast.UnaryOp(operand=operand):
            return _kind_of(operand, namespace)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            return _NAMED.get(name, name)
        case ast.Name(id=name) if namespace.get(name) is not None:
            return type(namespace[name]).__name__
    return _KINDS.get(type(value), "")


def _keep(docstring: Docstring, before: str) -> None:
    """Take over what a docstring said before: its sections stay, with what they lack added."""
    opening, *rest = _TITLE.split(before)
    summary, _, more = opening.strip().partition("\n\n")
    docstring.summary, docstring.more = " ".join(summary.split()), more.strip()
    known = {section.title: section for section in docstring.sections}
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        section = known.get(title)
        if section is None:
            section = Section(title, [])
            docstring.sections.append(section)
        section.before = body.strip("\n").rstrip()
        heads = re.findall(r"(?m)^\S[^:\n]*", section.before)
        existing = {_key(name) for head in heads for name in head.split(",")}
        missing = [one for one in section.entries if _key(one.name or one.kind) not in existing]
        section.entries = [] if title in ("Returns", "Yields") else missing


def _key(name: str) -> str:
    """Return the common key of a head and an entry, with or without stars."""
    return name.strip().lstrip("\\*")


def with_docstring(source: str, name: str, docstring: str, *, like: str = "") -> str:
    """Code with a docstring in the definition of a name, in place of one that was there.

    Of several definitions of that name it is the one whose text is `like`. All other lines stay as
    they are, magics too; where that cannot be, the code comes back unchanged.
    """
    node = definition_of(source, name, like)
    if node is None:
        return source
    lines = source.split("\n")
    has_one = ast.get_docstring(node, clean=False) is not None
    first, rest = node.body[0], node.body[has_one:]
    row = first_line_of(first) - 1
    head = _until(lines[row], first)
    if head.strip():  # the body stands behind the colon
        space = space_of(lines[node.lineno - 1]) + "    "
        body = [space + lines[row].removeprefix(_until(lines[row], rest[0]))] if rest else []
        quoted = [head.rstrip(), *_quoted(docstring, space), *body]
        end = row + 1
    else:
        quoted = _quoted(docstring, space_of(lines[row]))
        end = (first.end_lineno or row) if has_one else row
    result = "\n".join([*lines[:row], *quoted, *lines[end:]])
    return result if _without_docstrings(source) == _without_docstrings(result) else source


def definition_of(source: str, name: str, like: str = "") -> Definition | None:
    """The definition of a name in some code; of several the one whose text is `like`."""
    tree = parse_cell(source)
    nodes = ast.walk(tree) if tree is not None else ()
    named = [node for node in nodes if isinstance(node, DEFINITIONS) and node.name == name]
    same = [node for node in named if segment(source, node).strip() == like.strip()]
    return next(iter((*same, *named)), None)


def _until(line: str, statement: ast.stmt) -> str:
    """Return the text of a line before a statement that begins on it."""
    return line.encode()[: statement.col_offset].decode(errors="ignore")


def _quoted(docstring: str, indentation: str) -> list[str]:
    text = docstring.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').strip()
    lines = [f"{indentation}{line}".rstrip() for line in text.split("\n")]
    lines[0] = f'{indentation}"""{lines[0].lstrip()}'
    if len(lines) == 1:
        end = lines[0][:-1] + '\\"' if lines[0].endswith('"') and len(text) > 1 else lines[0]
        return [f'{end}"""']
    return [*lines, f'{indentation}"""']


def _without_docstrings(source: str) -> str:
    """Return code in a form that can be compared, without docstrings."""
    try:
        tree = ast.parse(cell_python(source))
        for node in ast.walk(tree):
            if isinstance(node, DEFINITIONS) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        return ast.dump(tree)
    except (SyntaxError, RecursionError):
        return source
