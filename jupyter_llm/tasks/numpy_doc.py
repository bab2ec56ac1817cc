"""`/doc`: docstrings in NumPy style. The code gives the structure, a model writes the sentences."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from copy import copy

from jupyter_llm.engine.completion import Completion, PromptInterrupted
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.code.bindings import (
    DEFINITIONS,
    Definition,
    own_nodes,
    parameters_of,
    segment,
)
from jupyter_llm.notebook.code.layout import space_of
from jupyter_llm.notebook.code.syntax import parse_cell
from jupyter_llm.notebook.values.literals import place_of
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.target import Subject, definitions_of, find_subject, listed, with_source
from jupyter_llm.tasks.task import Task

_REQUEST = "Write the docstring of `{name}` in NumPy style: short sentences in plain words."
_Entry = tuple[str, str, str, str]  # the title of its section, its name, type and default
_QUOTES = '"""'
_INDENTATION = "    "
_MAX_TOKENS = 48  # a sentence has fewer
_MAX_TYPE_TOKENS = 12
_MARKS = " \t\n\"'*#-:.,;"  # around a sentence
_END = re.compile(r"[.!?](?=\s+[A-Z`]|\s*$)")
_LEAD = re.compile(r"(?:This|The) (?:function|method|class) (?=[a-z]+s\b)", re.IGNORECASE)
_CODE = re.compile(r"(?:[\w.]+ = |def |class |import |from \w+ import |return\b(?! [a-z]+ )|>>>)")
_NOTHING = ("none", "todo", "null", "na", "parameters", "returns", "description", "args")
_TYPE = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w., |\[\]]+\])?(?: (?:of|or) [\w. ]+| \| [\w.]+)*")
# Endings of "applies", "matches" and "returns", and those of the imperative.
_ENDINGS = (("ies$", "y"), ("(ss|sh|ch|x|z)es$", r"\1"), (r"(?<![siua\W])s$", ""))
_WIDTH = 75  # of the text, indentation aside
_MAX_DEFAULT = 30  # characters
_TITLE = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ \t]*$", re.MULTILINE)
_FALLBACKS = {"Returns": "The result.", "Yields": "The next value.", "Raises": "If it fails."}
# Types by the function or the node that makes a value.
_TYPES = {name: name for name in ("bool", "dict", "float", "int", "list", "set", "str", "tuple")}
_TYPES |= {"compare": "bool", "joinedstr": "str", "len": "int", "sorted": "list"}


def document(task: Task, argument: str | Subject = "") -> Proposal:
    """Propose docstrings for a function, a class, or the definitions of a cell that have none.

    Nothing else in the code changes. `MagicUsageError`: there is nothing to describe, or the model
    wrote no sentence. An interrupt keeps the docstrings that were whole.
    """
    subject = with_source(find_subject(argument, task), "document")
    source = subject.cell.source if subject.cell is not None else subject.source
    nodes = _undescribed(subject, source)
    written: list[_Writer] = []
    try:
        for node in nodes:
            writer = _Writer(task, subject.prompt(_REQUEST.format(name=node.name)), node)
            writer.write()
            written += [writer] if writer.completion is not None else []
    except KeyboardInterrupt:
        if not written:
            raise
        best = _proposal(subject, source, written)
        raise PromptInterrupted(best.completion, best=best) from None
    if not written and all(map(ast.get_docstring, nodes)):
        message = f"Nothing to add to the docstring of {listed(node.name for node in nodes)}."
        raise MagicUsageError(message, "Delete it to have another one.")
    if not written:
        raise MagicUsageError("The model wrote no docstring.", "Try again, or another model.")
    return _proposal(subject, source, written)


def _undescribed(subject: Subject, source: str) -> list[Definition]:
    """Return the subject's definitions without a docstring, or all if all have one, in order."""
    nodes = definitions_of(subject, source)
    if subject.name and (tree := parse_cell(source)):
        every = (node for node in ast.walk(tree) if isinstance(node, DEFINITIONS))
        named = [node for node in every if node.name == subject.name]
        text = subject.source.strip()
        nodes = sorted(named, key=lambda node: segment(source, node).strip() != text)[:1]
    if not nodes:
        message = f"{subject.title.capitalize()} defines no function and no class."
        raise MagicUsageError(message, "Only these have docstrings.")
    bare = [node for node in nodes if ast.get_docstring(node) is None]
    return sorted(bare or nodes, key=lambda node: node.lineno)


def _proposal(subject: Subject, source: str, written: Sequence[_Writer]) -> Proposal:
    for writer in reversed(written):  # a change moves only what is below it
        source = with_docstring(source, writer.node, "\n".join(writer.lines))
    reason = f"defines {listed(writer.node.name for writer in written)}"
    completion = written[0].completion
    return Proposal(source=source, completion=completion, cell=subject.cell, reason=reason)


class _Writer:
    """Writes the `lines` of a docstring. The model continues the lines above each sentence.

    `completion` is the first answer with a sentence, or None.
    """

    def __init__(self, task: Task, prompt: str, node: Definition) -> None:
        self.node = node
        self.lines: list[str] = []
        self.completion: Completion | None = None
        bare = copy(node)
        bare.decorator_list, bare.body = [], [ast.Pass()]
        self._header = ast.unparse(bare).removesuffix("pass")
        self._task = task
        self._prompt = prompt

    def write(self) -> None:
        """Write what the docstring has already, and what the code calls for besides."""
        opening, *rest = _TITLE.split(ast.get_docstring(self.node) or "")
        self.lines = [opening.strip() or self._summary()]
        bodies = dict(zip(rest[::2], rest[1::2], strict=True))
        entries = list(_entries(self.node))
        for title in dict.fromkeys([*(section for section, *_ in entries), *bodies]):
            body = bodies.get(title, "").strip("\n").rstrip()
            self.lines += ["", title, "-" * len(title), *filter(None, [body])]
            heads = re.findall(r"(?m)^\S[^:\n]*", body)
            known = {name.strip().lstrip("\\*") for head in heads for name in head.split(",")}
            is_whole = bool(body) and title in ("Returns", "Yields")
            for section, name, kind, default in entries:
                if section == title and not is_whole and (name or kind).lstrip("*") not in known:
                    self._add(section, name, kind, default)

    def _summary(self) -> str:
        summary = sentence(self._ask("", "\n\n"), self.node.name)
        if not isinstance(self.node, ast.ClassDef):
            summary = imperative(summary)
        return summary or f"{self.node.name.strip('_').replace('_', ' ').capitalize()}."

    def _add(self, section: str, name: str, kind: str, default: str) -> None:
        """Add an entry. The model writes its type, if the code has none, and a sentence."""
        if not kind:
            kind = type_name(self._ask(f"{name} :" if name else "", "\n", _MAX_TYPE_TOKENS))
        kind = ", ".join(filter(None, (kind, default)))
        self.lines.append(" : ".join(filter(None, (name, kind))) or "object")
        begin = "If" if section == "Raises" else ""
        written = self._ask(f"{_INDENTATION}{begin}", "\n")
        about = sentence(written, name) and sentence(f"{begin}{written}", name)
        about = about or _FALLBACKS.get(section, f"The {name.strip('_*').replace('_', ' ')}.")
        self.lines += [f"{_INDENTATION}{line}" for line in textwrap.wrap(about, _WIDTH - 4)]

    def _ask(self, line: str, end: str, max_tokens: int = _MAX_TOKENS) -> str:
        """Return how the model continues a line below the lines so far."""
        text = "\n".join([*self.lines, line]).replace("\n", f"\n{_INDENTATION}")
        # For a model that reads tokens, the space before a word is part of the word.
        begin = f"```python\n{self._header}{_QUOTES}{text}".removesuffix(" ")
        (completion,) = self._task.draft(
            self._prompt, begin=begin, stop=(end, _QUOTES), max_tokens=max_tokens
        )
        written = completion.text
        is_whole = completion.finish_reason != "length" or "\n" in written.strip()
        if not is_whole and not _END.search(written):
            return ""
        if self.completion is None and sentence(written, self.node.name):
            self.completion = completion
        return written


def sentence(text: str, name: str = "") -> str:
    """Return the first sentence about a name; "" if it adds nothing to the name."""
    text = text.partition("```")[0].lstrip(_MARKS)
    line = " ".join(text.partition("\n\n")[0].split()).strip("\"'")
    named = rf"[`*]*{re.escape(name)}[`*]*(?: \([^)]*\))?\s*(?:[:-]|\s-)\s*"
    line = "" if _CODE.match(line) else re.sub(rf"^{named}", "", line)
    text = _END.split(line)[0].rstrip(" .:,;")
    letters, own = (re.sub(r"\W", "", one.casefold()) for one in (text, name))
    if letters in (*_NOTHING, own) or not any(map(str.isalpha, letters)):
        return ""
    return f"{text[0].upper()}{text[1:]}."


def imperative(text: str) -> str:
    """Return a sentence about a function in the imperative: "Return …", not "Returns …"."""
    verb, space, rest = _LEAD.sub("", text, count=1).partition(" ")
    for ending, base in _ENDINGS:
        verb = re.sub(ending, base, verb, flags=re.IGNORECASE)
    return f"{verb[:1].upper()}{verb[1:]}{space}{rest}"


def type_name(written: str) -> str:
    """Return the type that a text names; "" if it names none."""
    text = written.strip().split("\n")[0].removesuffix(", optional").strip("`'\" ").rstrip(".:,")
    return text if _TYPE.fullmatch(text) and text.casefold() not in _NOTHING else ""


def _entries(node: Definition) -> Iterator[_Entry]:
    """Yield the entries that a definition calls for, section by section."""
    if isinstance(node, ast.ClassDef):
        yield from _of_constructor(node)
        return
    yield from _parameters(node.args)
    own = list(own_nodes(node.body))
    values = [one.value for one in own if isinstance(one, ast.Return) and one.value is not None]
    kinds = {_annotation(node.returns) or _kind_of(v) for v in values if ast.unparse(v) != "None"}
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in own):
        item = node.returns.slice if isinstance(node.returns, ast.Subscript) else None
        item = item.elts[0] if isinstance(item, ast.Tuple) else item
        yield "Yields", "", _annotation(item), ""
    elif kinds - {"None"}:
        yield "Returns", "", kinds.pop() if len(kinds) == 1 else "", ""
    raised = [one.exc for one in own if isinstance(one, ast.Raise) and one.exc is not None]
    made = [exc.func if isinstance(exc, ast.Call) else exc for exc in raised]
    for kind in dict.fromkeys(map(ast.unparse, made)):
        if kind.rpartition(".")[2][:1].isupper():  # otherwise a variable
            yield "Raises", "", kind, ""


def _of_constructor(node: ast.ClassDef) -> list[_Entry]:
    """Return the parameters of `__init__`, or without one the fields, as of a dataclass."""
    fields = []
    for one in node.body:
        match one:
            case ast.FunctionDef("__init__", args):
                return _parameters(args)
            case ast.AnnAssign(ast.Name(name), kind, default) if not name.startswith("_"):
                fields.append(("Attributes", *_parameter(ast.arg(name, kind), default)[1:]))
    return fields


def _parameters(args: ast.arguments) -> list[_Entry]:
    pairs = parameters_of(args)
    if (rest := args.vararg) is not None:
        starred = ast.arg(f"*{rest.arg}", rest.annotation)
        pairs.insert(len(pairs) - len(args.kwonlyargs), (starred, None))
    if (more := args.kwarg) is not None:
        pairs.append((ast.arg(f"**{more.arg}", more.annotation), None))
    entries = [_parameter(*pair) for pair in pairs]
    return entries[1:] if entries and entries[0][1] in ("self", "cls") else entries


def _parameter(arg: ast.arg, default: ast.expr | None) -> _Entry:
    kind, shown = _annotation(arg.annotation), ""
    if default is not None:
        text = ast.unparse(default)
        is_shown = len(text) <= _MAX_DEFAULT and text != "None" and "field(" not in text
        shown = f"default {text}" if is_shown else "optional"
        kind = kind or _kind_of(default)
    return "Parameters", arg.arg, kind, shown


def _annotation(node: ast.expr | None) -> str:
    return "" if node is None else ast.unparse(node).strip("'\"")  # it may be a text


def _kind_of(value: ast.expr) -> str:
    """Return the type of an expression if it is obvious; "" otherwise."""
    match value:
        case ast.Constant(constant):
            return "" if constant is None else type(constant).__name__
        case ast.UnaryOp(op, operand):
            return "bool" if isinstance(op, ast.Not) else _kind_of(operand)
        case ast.Call(ast.Name(name)):
            return _TYPES.get(name, "")
    return _TYPES.get(type(value).__name__.removesuffix("Comp").lower(), "")


def with_docstring(source: str, node: Definition, docstring: str) -> str:
    """Return a cell with a docstring in one of its definitions, in place of one that was there.

    All other code stays as it is, magics too; if that cannot be, the cell comes back unchanged.
    """
    first = node.body[0]
    start, end = place_of(first, source)
    if isinstance(first, DEFINITIONS) and first.decorator_list:
        start = source.rindex("@", 0, place_of(first.decorator_list[0], source)[0])
    head, space = source[:start], source[:start].rpartition("\n")[2]
    if space.strip():  # the body is behind the colon
        space = space_of(source.split("\n")[node.lineno - 1]) + _INDENTATION
        head = f"{head.rstrip()}\n{space}"
    text = re.sub(r'"(?="")|"\Z', r'\\"', docstring.strip().replace("\\", "\\\\"))
    quoted = f"{_QUOTES}{textwrap.indent(text, space).lstrip()}"
    quoted += f"\n{space}{_QUOTES}" if "\n" in text else _QUOTES
    has_one = ast.get_docstring(node, clean=False) is not None
    result = head + quoted + (source[end:] if has_one else f"\n{space}{source[start:]}")
    num_new = _num_nodes(result) - _num_nodes(source)
    return result if num_new == (0 if has_one else 2) else source


def _num_nodes(source: str) -> int:
    tree = parse_cell(source)
    return len([*ast.walk(tree)]) if tree is not None else 0
