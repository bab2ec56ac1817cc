"""What is new of a draft: leaves out what the notebook has done already, and changes nothing else.

Two things go. What stands already: imports, definitions and values that a statement which ran has
made, as `standing` tells it. And what is made up: a model that has read of `df` likes to begin with
a `df` of its own, and the rest of its code is about the one there is. Only frames and long literals
are taken for that. In doubt a statement stays.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jupyter_llm.notebook.code.bindings import bindings_of, first_line_of
from jupyter_llm.notebook.code.files import READING, may_exist
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.standing import Standing, imported, key_of
from jupyter_llm.notebook.code.syntax import parse_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MAKING: Final = (
    r"(?:create|make|build|generate|define|redefine|construct|simulate|load|read|open|import"
    r"|initiali[sz]e|set|reset|assign|replace|overwrite|declare|start with|use|new)"
)
# `create a small frame df`, but not `create a chart of df`.
_FILLING: Final = r"(?:\s+(?!(?:of|from|for|with|by|in|on|to|that)\b)[^\s.,;:]+){0,4}?\s+[`'\"]?"
_PLACING: Final = (
    r"(?:called|named|into|call it|name it"
    r"|(?:store|save|keep|put|assign|load|read)\b[^.]*\b(?:in|to|as))"
)
_NOUNS: Final = {
    "DataFrame": r"data ?frame|frame|dataset|data|table",
    "Series": "series",
    "ndarray": r"array|matrix|vector|numbers|data",
    "list": "list|numbers|data",
    "dict": "dict|dictionary|mapping",
    "str": "string|text|sentence",
}
_ANEW: Final = (
    r"(?i)\b(?:again|anew|afresh|once more"  # not `against`, and no name such as `updated_at`
    r"|(?:re-?(?:load|read|fresh|set|run|do|create|start|draw|calc|comput)|update)[a-z]*)\b"
)
_EXAMPLES: Final = r"(?i)\b(?:examples?|samples?|dummy|toy|fake|random|synthetic|test data)\b"
_NUM_LONG: Final = 5  # constants in a literal that is data, and no choice of columns or sizes
_CONSTRUCTORS: Final = frozenset({"list", "dict", "set", "tuple", "str", "frozenset"})
_EMPTY: Final = frozenset({"zeros", "ones", "empty", "full", "zeros_like", "ones_like"})


@dataclass(frozen=True, slots=True)
class Fresh:
    """A draft without what is old in it.

    `dropped` are the statements that were left out since they ran, in order, and `made_up` those
    whose values are made up. `is_all_old` says that every statement repeats one that ran or stands;
    then the draft is whole unless what is left shows something.
    """

    source: str
    dropped: tuple[str, ...] = ()
    is_all_old: bool = False
    made_up: tuple[str, ...] = ()


def only_new(source: str, ran: Sequence[str], kinds: Mapping[str, str], prompt: str = "") -> Fresh:
    """What is new of a draft of a cell.

    `ran` are the cells that ran, in their order, each that failed as a `FailedSource`. `kinds` are
    what `kinds_in` tells of the variables there are. What the `prompt` asks to make is no
    repetition.
    """
    tree = parse_cell(source)
    if tree is None or not tree.body:
        return Fresh(source)
    try:
        return _only_new(source, tree, Standing(ran, kinds), kinds, prompt)
    except RecursionError:  # a chain of hundreds of `elif`
        return Fresh(source)


def _only_new(
    source: str, tree: ast.Module, standing: Standing, kinds: Mapping[str, str], prompt: str
) -> Fresh:
    wish = _Wish(kinds, prompt, _modules(tree.body, kinds))
    num_old = sum(
        (standing.has(node) or standing.stands(node)) and not wish.wants_again(node)
        for node in tree.body
    )
    ran_already, made_up = _old(tree.body, standing, wish)
    old = [*ran_already, *made_up]
    kept = [node for node in tree.body if node not in old]
    is_all_old = num_old == len(tree.body) or not kept
    is_shorter = bool(old) and _gives_something(kept)
    shortened = without_statements(source, tree.body, old) if is_shorter else None
    if shortened is None:
        return Fresh(source, is_all_old=is_all_old)
    dropped, invented = (
        tuple(_text(source, node) for node in tree.body if node in group)
        for group in (ran_already, made_up)
    )
    return Fresh(shortened, dropped, is_all_old, invented)


def _old(
    body: Sequence[ast.stmt], standing: Standing, wish: _Wish
) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of a draft that can go: those that ran, and what is made up."""
    begin = standing.now
    old: list[ast.stmt] = []
    made_up: list[ast.stmt] = []
    for number, node in enumerate(body):
        rest = body[number + 1 :]
        is_result = not rest and standing.is_display(node)
        stands = standing.stands(node) and not is_result and not _is_filled(node, rest)
        name = wish.made_up(node, rest)
        # A file that was read once is none that the model made up.
        is_read = standing.has(node) and standing.reads(node)
        is_made_up = name in wish.kinds and not standing.has_changed(name, begin) and not is_read
        if stands and not wish.wants_again(node):
            old.append(node)
        elif is_made_up and not wish.wants_again(node):
            made_up.append(node)
        else:
            standing.add(node)
    # What only served to make up something that went, as `data` in `df = pd.DataFrame(data)`.
    for node in reversed([one for one in body if one not in (*old, *made_up)]):
        name = wish.made_up(node, made_up, is_part=True)
        if name and not _reads(name, [one for one in body if one not in (*made_up, node)]):
            made_up.append(node)
    return old, made_up


class _Wish:
    """What a prompt asks to make, which tells made up values from those that are wanted."""

    def __init__(self, kinds: Mapping[str, str], prompt: str, modules: Mapping[str, str]) -> None:
        self.kinds = kinds
        self._prompt = prompt
        self._modules = modules
        self._made_up: set[str] = set()

    def made_up(self, node: ast.stmt, rest: Sequence[ast.stmt], *, is_part: bool = False) -> str:
        """The variable that a statement makes out of nothing though nobody asked; "" if none.

        What is only part of what is made up may be short.
        """
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                return ""
        read = {use.name for use in uses_in(value) if use.act == "reads"}
        if not all(map(self._is_nothing, read)):
            return ""
        kind = _kind(value, self._modules)
        if not kind or not _reads(name, rest) or self._is_told(value) or _is_there(value):
            return ""
        self._made_up.add(name)
        if name not in self.kinds:
            return name
        is_same = kind == _short(self.kinds[name])
        is_long = _is_long(value) and not self._is_told(value, any)
        is_data = kind == "DataFrame" or is_long or is_part
        is_wanted = self._asks_for(name, kind) or re.search(_EXAMPLES, self._prompt)
        return name if is_same and is_data and not is_wanted and not _is_filled(node, rest) else ""

    def wants_again(self, node: ast.stmt) -> bool:
        """Whether the prompt asks to do again what a statement did, or to make what it binds."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return False
        names = {binding.name for binding in bindings_of(node)}
        return re.search(_ANEW, self._prompt) is not None or any(
            self._asks_for(name, _short(self.kinds.get(name, ""))) for name in names
        )

    def _is_nothing(self, name: str) -> bool:
        """Whether a name stands for nothing that the notebook made."""
        is_builtin = name not in self.kinds and hasattr(builtins, name)
        return is_builtin or name in self._modules or name in self._made_up

    def _names(self, name: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self._prompt) is not None

    def _asks_for(self, name: str, kind: str) -> bool:
        """Whether the prompt asks to make the variable, or one of its kind where it names none."""
        prompt = self._prompt
        if self._names(name):
            end = rf"{re.escape(name)}(?!\w)"
            ways = (
                rf"(?i:\b{_MAKING}\b{_FILLING}){end}",
                rf"(?i:\b{_PLACING}\s+[`'\"]?){end}",
                rf"(?<!\w){end}[`'\"]?\s*=(?!=)",
            )
            return any(re.search(way, prompt) for way in ways)
        noun = _NOUNS.get(kind, kind)
        return re.search(rf"(?i)\b{_MAKING}\b{_FILLING}(?:{noun})\b", prompt) is not None

    def _is_told(self, value: ast.expr, how_many: Callable[[Iterable[bool]], bool] = all) -> bool:
        """Whether all or any that a literal is made of stands in the prompt."""
        constants = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
        told = [str(one) for one in constants if one is not None and str(one).strip()]
        return bool(told) and how_many(self._names(one) for one in told)


def _modules(body: Iterable[ast.stmt], kinds: Mapping[str, str]) -> dict[str, str]:
    """The names of modules, and of what is imported out of them."""
    found = {
        name: kind.removeprefix("module ")
        for name, kind in kinds.items()
        if kind.startswith("module ")
    }
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {name: target.replace(":", ".") for name, target in imported(node)}
    return found


def _kind(value: ast.expr, modules: Mapping[str, str]) -> str:
    """The short name of the type that an expression gives; "" if nobody can tell."""
    match value:
        case ast.Constant(value=constant):
            return type(constant).__name__
        case ast.UnaryOp(operand=operand):
            return _kind(operand, modules)
        case ast.JoinedStr():
            return "str"
        case ast.List() | ast.ListComp():
            return "list"
        case ast.Dict() | ast.DictComp():
            return "dict"
        case ast.Set() | ast.SetComp():
            return "set"
        case ast.Tuple():
            return "tuple"
        case ast.Call(func=ast.Name(id=name)) if name in _CONSTRUCTORS:
            return name
    path: list[str] = []
    node: ast.expr = value
    while isinstance(node, (ast.Call, ast.Attribute)):
        if isinstance(node, ast.Attribute):
            path.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    name = node.id if isinstance(node, ast.Name) else ""
    full = ".".join([modules.get(name, ""), *reversed(path)]).split(".")
    if full[0] in ("pandas", "polars") and len(full) > 1:
        is_frame = full[1] == "DataFrame" or full[1].startswith(("read_", "scan_"))
        return "DataFrame" if is_frame else "Series" if full[1] == "Series" else ""
    return "ndarray" if full[0] == "numpy" else ""


def _is_long(value: ast.expr) -> bool:
    """Whether an expression is a long list or dict as it was typed, or an array of such a list."""
    match value:
        case ast.Call(func=ast.Attribute(attr="array" | "asarray"), args=[literal], keywords=[]):
            return isinstance(literal, ast.List) and _is_long(literal)
        case ast.List() | ast.Dict():
            parts = [node for node in ast.walk(value) if isinstance(node, ast.expr)]
            is_literal = not any(isinstance(node, (ast.Call, ast.Name)) for node in parts)
            num_constants = sum(isinstance(node, ast.Constant) for node in parts)
            return is_literal and num_constants >= _NUM_LONG
    return False


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]


def _is_there(value: ast.expr) -> bool:
    """Whether an expression reads a file that exists."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            path = node.args[0]
            if name.startswith(READING):
                return not isinstance(path, ast.Constant) or may_exist(str(path.value))
    return False


def _is_filled(node: ast.stmt, rest: Sequence[ast.stmt]) -> bool:
    """Whether a statement makes a value to begin with, such as 0 or `[]`, which the rest fills."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            changed = (binding.name for binding in bindings_of(*rest))
            return _is_empty(value) and name in changed
    return False


def _is_empty(value: ast.expr) -> bool:
    match value:
        case ast.Constant():
            return True
        case ast.Call(func=function, args=args, keywords=keywords):
            name = getattr(function, "attr", getattr(function, "id", ""))
            return name in _EMPTY or not (args or keywords)
    return not any(isinstance(part, (ast.Constant, ast.Call)) for part in ast.walk(value))


def _reads(name: str, rest: Iterable[ast.stmt]) -> bool:
    """Whether some code reads a variable before it binds it."""
    for use in uses_in(*rest):
        if use.name == name:
            return use.act in ("reads", "changes")
    return False


def _gives_something(kept: Iterable[ast.stmt]) -> bool:
    return not all(isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) for node in kept)


def _text(source: str, node: ast.stmt) -> str:
    return "\n".join(source.split("\n")[first_line_of(node) - 1 : node.end_lineno])


def without_statements(
    source: str, body: Sequence[ast.stmt], old: Sequence[ast.stmt]
) -> str | None:
    """A cell without some statements and the comments right above them.

    None if that cannot be done line by line.
    """
    lines = source.split("\n")
    out: set[int] = set()
    for node in old:
        start, end = first_line_of(node) - 1, node.end_lineno or node.lineno
        while start and lines[start - 1].lstrip().startswith("#") and start - 1 not in out:
            start -= 1
        out.update(range(start, end))
        is_after_gap = not start or start - 1 in out or not lines[start - 1].strip()
        while is_after_gap and end < len(lines) and not lines[end].strip():
            out.add(end)
            end += 1
    text = "\n".join(line for number, line in enumerate(lines) if number not in out)
    text = text.rstrip("\n") + "\n" * source[-1:].count("\n")
    tree = parse_cell(text)
    kept = [key_of(node) for node in body if node not in old]
    return text if tree is not None and list(map(key_of, tree.body)) == kept else None
