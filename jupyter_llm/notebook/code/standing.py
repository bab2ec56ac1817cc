"""What still stands of the statements that ran, told from their text. Runs nothing.

A statement stands if running it once more would change nothing: what it bound is still what it
made, and nothing that it read has changed since. In doubt it does not stand.
"""

from __future__ import annotations

import ast
import builtins
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jupyter_llm.notebook.code.bindings import DEFINITIONS, bindings_of, mutated_in, root_of
from jupyter_llm.notebook.code.files import READING
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import parse_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Values that only change where one can see it. An iterator, a file or a figure does by being used.
_DATA: Final = frozenset(
    {
        *("DataFrame", "Series", "LazyFrame", "Index", "ndarray", "Timestamp", "Timedelta", "Path"),
        *("list", "dict", "set", "frozenset", "tuple", "str", "bytes", "int", "float", "complex"),
        *("bool", "NoneType", "Counter", "defaultdict", "OrderedDict", "Decimal", "Fraction"),
    }
)
# Their answer is another one each time.
_FICKLE_CALLS: Final = frozenset(
    {
        *("time", "perf_counter", "now", "today", "input", "next", "pop", "popitem", "read"),
        *("readline", "uuid4", "urandom", "token_hex", "sample", "default_rng", "RandomState"),
        *("read_sql", "read_sql_query", "read_sql_table", "read_database", "read_clipboard"),
        *("read_html", "fetchone", "fetchall", "urlopen", "listdir", "iterdir", "system"),
        *("glob", "rglob", "getoutput"),
    }
)
_WRITING: Final = (
    *("write", "sink_", "save", "dump", "open", "download", "urlretrieve", "extractall", "unlink"),
    *("touch", "rename", "system", "getoutput", "to_csv", "to_parquet", "to_excel", "to_json"),
    *("to_pickle", "to_feather", "to_hdf", "to_sql", "to_html", "to_stata", "to_xml", "to_orc"),
)
_WRITERS: Final = frozenset({"os", "shutil", "subprocess"})
_FILES: Final = "<files>"  # stands for all files, as if they were a name
_SHOWING: Final = frozenset({"print", "display", "len", "type", "repr", "sorted", "list", "str"})
_DRAWING: Final = frozenset({"plot", "hist", "boxplot", "bar", "line", "scatter", "pie"})
_ANYTHING: Final = frozenset({"exec", "run_cell_magic", "run_cell"})
_DEFINING_MAGICS: Final = frozenset(
    {"run", "pylab", "store", "reset", "reset_selective", "xdel", "rerun", "macro", "load"}
)

Imported = tuple[str, str]
"""A name, and the module or the `module:name` that it stands for."""


class FailedSource(str):
    """The source of a cell that ended with an error: nobody knows how much of it was done."""

    __slots__ = ()


@lru_cache(maxsize=512)
def _statements_of(source: str) -> tuple[tuple[str, ast.stmt], ...]:
    tree = parse_cell(source)
    try:
        return tuple((key_of(node), node) for node in tree.body) if tree is not None else ()
    except RecursionError:
        return ()


def key_of(statement: ast.stmt) -> str:
    """What is the same of statements that mean the same, however they are typed."""
    return ast.dump(statement, annotate_fields=False)


class Standing:
    """What stands of the cells that ran, and of what a draft does after them.

    `kinds` are the qualified types of the variables, and "module numpy" of a module. Of a
    `FailedSource` among the cells nothing stands, and it may have changed all that it names.
    """

    def __init__(self, ran: Sequence[str], kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._count = 0
        self._made: dict[str, int] = {}  # when each statement ran last
        self._changed: dict[str, int] = {}  # when each name was bound or changed last
        self._imported: dict[Imported, int] = {}
        self._same: dict[str, set[str]] = {}  # names that may stand for one value
        self._behind: dict[str, set[str]] = {}  # what functions read of the names around them
        self._fickle: set[str] = set()  # what functions change of the names around them
        self._meddling: set[str] = set()  # functions that change what they are given
        for source in ran:
            statements = _statements_of(source)
            if not statements and source.lstrip().startswith("%%"):  # `%%writefile`, `%%bash`
                self._count += 1
                self._changed[_FILES] = self._count
            for key, statement in statements:
                is_done = not isinstance(source, FailedSource)
                with suppress(RecursionError):  # a chain of hundreds of `elif`
                    self.add(statement, key, is_done=is_done)

    def add(self, statement: ast.stmt, key: str = "", *, is_done: bool = True) -> None:
        """Take note that a statement runs now; or may have, of which only the changes count."""
        self._count += 1
        if _may_do_anything(statement):
            self._made.clear()
            self._imported.clear()
        if is_done:
            self._made[key or key_of(statement)] = self._count
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._add_import(statement, is_done=is_done)
            return
        writes = _writes(statement)
        if isinstance(statement, DEFINITIONS):
            self._fickle |= _changed_inside(statement)
            self._fickle |= {_FILES} if writes else set()
            self._fickle |= {statement.name} if _is_fickle(statement) else set()
            self._meddling |= _meddling_in(statement)
        elif writes:
            self._changed[_FILES] = self._count
        # Whoever calls a lambda does what is in it.
        lambdas = (node for node in ast.walk(statement) if isinstance(node, ast.Lambda))
        self._fickle |= mutated_in(*lambdas)
        bindings = list(bindings_of(statement))
        changed = [binding.name for binding in bindings if binding.verb != "assigns"]
        for name in changed:  # before what else it stood for is forgotten
            self._change(name)
        for binding in bindings:
            if binding.verb == "assigns":
                self._same.pop(binding.name, set()).discard(binding.name)
                self._behind.pop(binding.name, None)
                self._changed[binding.name] = self._count
        for name, other in _aliases(statement):
            group = self._same.get(name, {name}) | self._same.get(other, {other})
            self._same |= dict.fromkeys(group, group)
        for name in (*changed, *self._passed_on(statement), *self._mutated(statement)):
            self._change(name)
        self._behind |= _read_later(statement)

    def _change(self, name: str) -> None:
        for one in self._same.get(name, {name}):
            self._changed[one] = self._count

    @staticmethod
    def _mutated(statement: ast.stmt) -> set[str]:
        """What the calls of a statement change; what a definition does waits for its call."""
        return set() if isinstance(statement, DEFINITIONS) else mutated_in(statement)

    def _passed_on(self, statement: ast.stmt) -> Iterator[str]:
        """Yield what calls may change unseen: objects with a state, arguments of functions."""
        if isinstance(statement, DEFINITIONS):
            return
        for node in ast.walk(statement):
            if not isinstance(node, ast.Call):
                continue
            root = root_of(node.func)
            is_module = self._kinds.get(root, "").startswith("module ")
            is_alone = isinstance(statement, ast.Expr) and statement.value is node
            if isinstance(node.func, ast.Attribute) and not is_module:
                if self._kind(root) not in _DATA:
                    yield root
            elif root in self._meddling or (
                is_module and is_alone and "matplotlib" not in self._kinds[root]
            ):  # `random.shuffle(rows)`
                yield from filter(None, map(root_of, node.args))

    def _add_import(self, statement: ast.Import | ast.ImportFrom, *, is_done: bool) -> None:
        for name, target in imported(statement):
            if (name, target) not in self._imported:
                self._changed[name] = self._count
            if is_done and self._changed[name] > self._imported.get((name, target), 0):
                self._changed[name] = self._count
                self._imported[name, target] = self._count

    def has(self, statement: ast.stmt) -> bool:
        """Whether the same statement ran, whatever became of what it did."""
        return key_of(statement) in self._made

    def has_changed(self, name: str, since: int = 0) -> bool:
        """Whether something may have bound or changed a name since a moment."""
        return name in self._fickle or self._changed.get(name, 0) > since

    @property
    def now(self) -> int:
        """The moment, as `has_changed` takes it."""
        return self._count

    def stands(self, statement: ast.stmt) -> bool:
        """Whether a statement would do again what is done."""
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            return all(map(self._is_imported, imported(statement)))
        made = self._made.get(key_of(statement))
        if made is None:
            return False
        if isinstance(statement, DEFINITIONS):
            used = {statement.name} | self._reached(_read_in(*_done_at_once(statement)))
            is_there = statement.name in self._kinds
            return is_there and not any(self.has_changed(name, made) for name in used)
        read = _read_in(statement)
        bound = {use.name for use in uses_in(statement) if use.act != "reads"}
        if any(self.has_changed(name, made) for name in self._reached(read | bound)):
            return False
        if isinstance(statement, ast.Expr):
            return self.is_display(statement)
        is_plain = isinstance(statement, (ast.Assign, ast.AnnAssign)) and not read & bound
        is_data = all(self._kind(name) in _DATA for name in bound)
        changes = any(binding.verb != "assigns" for binding in bindings_of(statement))
        changes = changes or any(self._passed_on(statement)) or bool(self._mutated(statement))
        is_lasting = not _is_fickle(statement) and not self._reads_anew(statement, made)
        return is_plain and is_data and not changes and is_lasting

    def _reached(self, names: set[str]) -> set[str]:
        """Some names, and what the functions among them read when they are called."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += self._behind.get(name, ())
        return found

    @staticmethod
    def reads(statement: ast.stmt) -> bool:
        """Whether a statement reads a file."""
        return any(name.startswith(READING) for name in _called(statement))

    def _reads_anew(self, statement: ast.stmt, made: int) -> bool:
        """Whether a statement reads what may be another thing by now: a file that was written."""
        if not self.reads(statement):
            return False
        texts = (node.value for node in ast.walk(statement) if isinstance(node, ast.Constant))
        is_remote = any("://" in text for text in texts if isinstance(text, str))
        return is_remote or self.has_changed(_FILES, made)

    def is_display(self, statement: ast.stmt) -> bool:
        """Whether a statement only shows something of data."""
        if not isinstance(statement, ast.Expr) or bindings_of(statement):
            return False
        for node in ast.walk(statement):
            if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
                return False
            if isinstance(node, ast.Call) and not self._shows(node.func):
                return False
        return True

    def _shows(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute):
            is_data = self._kind(root_of(function)) in _DATA
            return is_data and function.attr not in _DRAWING and not function.attr.startswith("to_")
        return isinstance(function, ast.Name) and function.id in _SHOWING

    def _kind(self, name: str) -> str:
        return self._kinds.get(name, "").rpartition(".")[2]

    def _is_imported(self, one: Imported) -> bool:
        name, target = one
        if name not in self._kinds or target.endswith(":*"):
            return False
        made = self._imported.get(one)
        is_known = made is not None and not self.has_changed(name, made)
        is_whole = "." not in target or name != target.partition(".")[0]
        is_module = self._kinds[name] == f"module {target.replace(':', '.')}"
        return is_known or (is_whole and is_module and not self.has_changed(name, self._count))


def imported(statement: ast.Import | ast.ImportFrom) -> Iterator[Imported]:
    """Yield the names that an import binds, each with what it then stands for."""
    start = ""
    if isinstance(statement, ast.ImportFrom):
        start = "." * statement.level + (statement.module or "") + ":"
    for alias in statement.names:
        name = alias.name if start else alias.name.partition(".")[0]
        yield alias.asname or name, start + alias.name


def _may_do_anything(statement: ast.stmt) -> bool:
    """Whether a statement may change any name: `exec(…)`, `%run`, a star import."""
    if isinstance(statement, ast.ImportFrom):
        return statement.names[0].name == "*"
    for node in ast.walk(statement):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="run_line_magic"), args=[ast.Constant(value=str(magic)), *_]
            ):
                return magic in _DEFINING_MAGICS
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _ANYTHING:
                return True
    return False


def _changed_inside(definition: ast.stmt) -> set[str]:
    """The names around a definition that a call of its functions may bind or change."""
    uses = uses_in(definition)
    outer = {use.name for use in uses if use.act == "reads"}
    own = getattr(definition, "name", "")
    inner = {
        binding.name
        for node in ast.walk(definition)
        if isinstance(node, DEFINITIONS)
        for binding in bindings_of(*node.body)
    }
    inner |= mutated_in(definition)
    bound = {use.name for use in uses if use.act != "reads" and use.name != own}
    return bound | (outer & inner)


def _read_in(*nodes: ast.AST) -> set[str]:
    return {use.name for use in uses_in(*nodes) if use.act == "reads"}


def _read_later(statement: ast.stmt) -> dict[str, set[str]]:
    """What the functions that a statement makes read when they are called, by their names."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name: _read_in(statement) | ({_FILES} if Standing.reads(statement) else set())}
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
            return {name: _read_in(function)}
    return {}


def _done_at_once(definition: ast.stmt) -> Iterator[ast.AST]:
    """Yield what a definition does when it runs itself, and not when it is called."""
    match definition:
        case ast.ClassDef():
            yield from (*definition.decorator_list, *definition.bases, *definition.keywords)
            for node in definition.body:
                yield from _done_at_once(node) if isinstance(node, DEFINITIONS) else (node,)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = (*definition.args.defaults, *definition.args.kw_defaults)
            yield from filter(None, (*definition.decorator_list, *defaults))


def _meddling_in(definition: ast.stmt) -> set[str]:
    """The functions in a definition that may change what they are given."""
    found = set()
    for node in ast.walk(definition):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            changes = {b.name for b in bindings_of(*node.body) if b.verb != "assigns"}
            changes |= mutated_in(*node.body)
            if given & changes or _augmented(node) & given:
                found.add(node.name)
    return found


def _augmented(node: ast.AST) -> set[str]:
    return {root_of(part.target) for part in ast.walk(node) if isinstance(part, ast.AugAssign)}


def _aliases(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the names that a statement gives to what may be another name's value, or its part."""
    for node in () if isinstance(statement, DEFINITIONS) else ast.walk(statement):
        match node:
            case ast.Assign(targets=targets, value=value):
                has_call = any(isinstance(part, ast.Call) for part in ast.walk(value))
                others = set() if has_call else {root_of(value)} - {""}
            case ast.For(target=target, iter=value):
                targets = [part for part in ast.walk(target) if isinstance(part, ast.expr)]
                others = _read_in(value) - vars(builtins).keys()
            case _:
                continue
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        yield from ((name, other) for name in names for other in others - {name})


def _writes(statement: ast.stmt) -> bool:
    """Whether some code may change files."""
    roots = {root_of(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)}
    is_named = any(name.startswith(_WRITING) for name in _called(statement))
    return is_named or bool(roots & _WRITERS)


def _is_fickle(statement: ast.stmt) -> bool:
    """Whether some code may come to another value each time: time, input, chance."""
    called = _called(statement)
    return bool(_FICKLE_CALLS & called) or any(
        "random" in (name := getattr(node, "attr", getattr(node, "id", ""))).lower()
        or name.startswith("rand")
        for node in ast.walk(statement)
    )


def _called(statement: ast.stmt) -> set[str]:
    """The last parts of the names of the functions that a statement calls."""
    functions = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return {getattr(function, "attr", getattr(function, "id", "")) for function in functions}
