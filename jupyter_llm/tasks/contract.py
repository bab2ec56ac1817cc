"""The demands of a request on its code, read from the request and the user's variables.

A demand that a draft does not meet is a doubt: it is the first remark about the draft, other drafts
are written, and the one with the fewest doubts is used. Rules that change the draft meet three
demands: its value is shown, the user's data stay as they are, and years are read as years. Another
rule assigns the columns that a draft changes with `inplace`.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from jupyter_llm.common.tables import count_of
from jupyter_llm.errors import OptionError
from jupyter_llm.notebook.code.bindings import DEFINITIONS, bindings, bindings_of
from jupyter_llm.notebook.code.names import uses_in
from jupyter_llm.notebook.code.syntax import cell_python, parse_cell
from jupyter_llm.notebook.values.literals import place_of
from jupyter_llm.notebook.values.peek import own_package, short_name
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import looks_secret
from jupyter_llm.notebook.values.tables import column, column_labels, first_values, num_null
from jupyter_llm.notebook.values.variables import plainly_mentioned, used
from jupyter_llm.tasks.examples import Example, examples_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_llm.notebook.sealed.seen import Seen

# A request in another language cannot be read for these words.
_ENGLISH = re.compile(
    r"(?i)\b(?:the|and|with|each|every|per|from|of|is|are|by|to|for|how|what|which|show|average"
    r"|total)\b"
    r"|\A\W*(?:\w+\W+){0,4}\Z"
)
_CHANGES = re.compile(
    r"(?i)\b(?:add|append|insert|remov|drop|dedup|delete|deleting|renam|replac|substitut|fill"
    r"|set\b|chang|convert|update|updating|modif|clean|capitali|cast|transform|turn|reset"
    r"|re-?assign|re-?index|in-?place|encod|impute|imputing|make (?!an?\b)"
    r"|(?:new|extra|another) column|create \w+ columns?"
    r"|assign (?:the |new )?(?:columns?|names?|labels?|nan|null|missing)\b)"
)
_SIGNATURE = re.compile(r"(?:async )?def (\w+)\([^`]*?\)(?: *-> *[^`:\n]+)?(?=[`:\n]|\Z)")
_CALLED = re.compile(
    r"(?i)\b(?:called|named|(?:call|name) (?:it|them|this|that))\s+([`'\"]?)(\w+)\1"
)
_VARIABLE = re.compile(
    r"(?i)\b(?:assign|save|store|bind|put)\w*\b[^.\n]*?\b(?:to|in|into|as)\s+(?:a |the )?"
    r"(?:new )?(?:variable )?`(\w+)`|\bvariable\s+(?:called |named )?`?(\w+)`?"
)
# As `with_names` writes it.
_NAMES = "Assign the results to "
_TYPED = re.compile(r"`(\w+)` \((\w+)\)")
_INTO = re.compile(r"\s*([^\W\d]\w*)\s+([^\W\d]\w*)\s*")
_TYPES = {"int": r"u?int\d*", "float": r"(?:u?int|float)\d*", "bool": "bool_?"}
_QUOTED = re.compile(r"(?<![\w`'\"])([`'\"])([^\W\d][\w ]{0,38})\1(?![\w`'\"])")
_WORDS = "two three four five six seven eight nine ten"
_NUMBERS = {word: number for number, word in enumerate(_WORDS.split(), 2)}
_MOST = re.compile(
    rf"(?ai)\b(?:top|first|last|(?:the|only) (?=\w+ \w+est\b))\s*(\d{{1,9}}|{'|'.join(_NUMBERS)})\b"
)
_EACH = re.compile(r"(?i)\b(?:per|each|every|by|both)\b")
_FOR_EACH = re.compile(r"(?i)\b(?:each|every) \w+")
_PER = re.compile(r"(?i)\b(?:each|every|per) `?(\w+)")
_KINDS = {
    "dataframe": ("DataFrame",),
    "series": ("Series",),
    "list": ("list",),
    "dict": ("dict", "Counter", "defaultdict", "OrderedDict"),
}
_ASKS_KIND = re.compile(
    r"(?ai)\b(create|make|return|build)s? (?:(?:an?|one|new|\d+|different|empty) )*"
    rf"({'|'.join(_KINDS)})s?\b(?! (?:shape|columns?|info|length|of \w*(?:plot|chart|hist)))"
)
_ASKS_COLUMN = re.compile(
    r"(?i)\b(?:add (?!up\b)|insert|append)[^.\n]*\bcolumn\b(?! (?:chart|plot))"
)
_VALUELESS = re.compile(r"GroupBy$|Resampler$|^(?:map|filter|zip|generator|method|function)$")
_ASKS_TRUTH = re.compile(
    r"(?im)(?:^|[.?!]\s+|,\s+)(?:is|are|does|do|was|were|has|have|did) [^.\n]*\?"
)
_ASKS_EXISTENCE = re.compile(r"(?i)(?:\A|[.!,] )\W*(?:is|are) (?:there|it)\b[^.?!]*\?\s*\Z")
_ASKS_NUMBER = re.compile(r"(?i)\bhow (?:many|much|often)\b")
_ASKS_COUNT = re.compile(r"(?i)\A\W*how (?:many|much)\b(?!.*\b(?:and|missing|null|over time)\b)")
_SUPERLATIVES = (
    "most|least|highest|lowest|largest|smallest|biggest|greatest|oldest|youngest|newest|longest"
    "|shortest|earliest|latest|cheapest|best|worst"
)
_ASKS_ONE = re.compile(
    r"(?i)\A\W*(?:which (?!of\b|people\b|\w+s\b)|who\b(?! (?:are|were)\b)|what (?:is|was) the )"
    rf"[^.\n\d]*\b(?:{_SUPERLATIVES}|(?:more|less)\b(?!.*\bthan))\b"
)
_THEN = re.compile(r"(?i)\b(?:and|then)\b")
_PRINTS = re.compile(r"(?i)\bprint")
_ASKS_PART = re.compile(
    rf"(?i)\d|\b(?:{'|'.join(_NUMBERS)}|{_SUPERLATIVES}|top|first|heads?|few|some|sample|preview"
    r"|peek|begin\w*|one)\b"
)
_ASKS_FIGURE = re.compile(
    r"(?i)\b(?:plot|draw|chart|graph|hist|diagram|figure|visual|show|display|scatter|bars?\b|lines?\b"
    r"|heat|curve|trend|distribut|densit|pie\b|box|see\b|look|compar|illustrat|over time|relat)"
)
# Methods that return a value for each row. Others would leave missing values in the column.
_KEEPS_ROWS = ("fillna", "ffill", "bfill", "interpolate", "replace", "clip", "mask", "where")
_IN_PLACE = re.compile(r",?\s*inplace\s*=\s*True,?\s*(?=\)\Z)")
_READS_FILE = re.compile(r"\b(?:open|read_\w+|load\w*|scan_\w+|fetch\w*|connect|Path)\(")
_IS_VOID = re.compile(r"\b(\d\d+|[5-9]) of (?:the first )?\1 values \w+ missing")
_FILLS = re.compile(r"(?i)\b(?:fill|impute|imputing|replac\w*\b.*\b(?:missing|null|nan?|empty)\b)")
_SETS_MISSING = re.compile(r"\b(?:None|nan|NaN|NA|NaT)\b")
_PLAIN_NUMBERS = re.compile(r"(?:u?int|float)\d*\Z")
_RESULT = "result"
_COPIED = ("DataFrame", "Series", "ndarray")
_PLAIN = (str, int, float, bool, type(None))
_LEAST_DATA = 3  # values in lists of a draft that count as data
_MAX_DOUBTS = 3
_YEARS = range(1000, 3000)
_MAX_VALUES = 10_000  # of a column that are searched or compared


@dataclass(frozen=True)
class Contract:
    """The demands of a request; `namespace` are the user's variables.

    `signature` is the head of a function that the request quotes. `words` are names and labels that
    it gives, `variables` those of them that the code binds, and `types` their types.
    """

    asked: str
    namespace: Mapping[str, Any] = field(repr=False)

    @cached_property
    def signature(self) -> str:
        """The head of a function that the code begins with; "" if the request has none."""
        for match in _SIGNATURE.finditer(self.asked):
            if parse_cell(f"{match[0]}: ...") is not None:
                return f"{' '.join(match[0].split())}:"
        return ""

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The examples of what the code does."""
        tree = parse_cell(f"{self.signature} ...") if self.signature else None
        head = tree.body[0] if tree is not None else None
        return examples_in(self.asked, head if isinstance(head, ast.FunctionDef) else None)

    @cached_property
    def types(self) -> dict[str, str]:
        """The names that the code binds, as the user gave them with their types."""
        _request, _, names = self.asked.partition(_NAMES)
        return dict(_TYPED.findall(names))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names that the code binds."""
        found = [one for match in _VARIABLE.finditer(self.asked) for one in match.groups() if one]
        found += self.types
        names = (one for one in found if one not in ("called", "named", "that", "which", "it"))
        return tuple(dict.fromkeys(names))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The names and labels that must occur in the code or in the labels of its value."""
        given = [match[2] for match in _CALLED.finditer(self.asked)]
        quoted = [] if self.signature else [match[2] for match in _QUOTED.finditer(self.asked)]
        named = [] if self.signature else given
        return tuple(dict.fromkeys((*self.variables, *named, *quoted)))

    @cached_property
    def asks_for_change(self) -> bool:
        """Whether the request has a word for a change, apart from the names of variables."""
        words = re.sub(r"\w+", lambda one: one[0] * (one[0] not in self.namespace), self.asked)
        return _CHANGES.search(words) is not None

    def may_change(self, name: str) -> bool:
        """Whether the request asks to change a variable, or nobody can tell."""
        is_english = _ENGLISH.search(self.asked) is not None
        return name in self.variables or not is_english or self.asks_for_change

    def reads_data(self, source: str) -> bool:
        """Whether code uses a variable of the user's, or reads a file."""
        return bool(used(source, self.namespace)) or _READS_FILE.search(source) is not None

    def gaps(self, source: str) -> dict[tuple[str, str], list[object]]:
        """Return the values of columns with gaps, by table and label, if gaps are to be filled."""
        names = used(source, self.namespace) if _FILLS.search(self.asked) else ()
        tables = {name: self.namespace[name] for name in names}
        places = [(name, one) for name in names for one in column_labels(tables[name]) or ()]
        found = {place: _present(tables[place[0]], place[1]) for place in places}
        return {at: one for at, one in found.items() if len(one) < len(tables[at[0]]) < _MAX_VALUES}

    def look(
        self, namespace: dict[str, Any], gaps: dict[tuple[str, str], list[object]]
    ) -> dict[str, Any]:
        """Call the examples, in a sealed copy; return what is wrong, and the values asked for.

        Filling `gaps` must not change the values beside them.
        """
        own = [one for one in self.examples if one.name in namespace]
        wrong = [text for text in (one.failure(namespace) for one in own) if text][:1]
        for (name, label), before in gaps.items():
            after = _present(namespace.get(name), label)
            num = (Counter(before) - Counter(after)).total() * (len(after) >= len(before))
            if num and (str in map(type, before)) is (str in map(type, after)):
                wrong.append(
                    f"changes {count_of(num, 'value')} of `{label}` beside the missing ones"
                )
        values = {name: _plain(namespace[name]) for name in self.types if name in namespace}
        return {"wrong": wrong, "values": {k: v for k, v in values.items() if v is not None}}

    def unbound(self, kinds: Mapping[str, str]) -> list[str]:
        """Return the names of `types` that do not have their type; `kinds` are those they have."""
        return [
            name
            for name, kind in self.types.items()
            if not re.fullmatch(_TYPES.get(kind, kind), kinds.get(name, ""))
        ]

    def literals(self, source: str) -> list[str]:
        """Return the names of `types` that a source only sets to plain values: they are guessed."""
        tree = parse_cell(source)
        nodes: list[ast.AST] = [*tree.body] if tree is not None else []
        for node in nodes:  # grows meanwhile
            if not isinstance(node, DEFINITIONS):
                nodes += ast.iter_child_nodes(node)
        plain = [
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        bound = [one.name for one in bindings(source)]
        return [name for name in self.types if 0 < bound.count(name) <= plain.count(name)]

    def doubts(self, source: str, seen: Seen | None) -> tuple[str, ...]:
        """Return the demands that a draft does not meet, the most important first.

        If the draft did not run to its end, only its source is checked.
        """
        if not self.asked:
            return ()
        found = [*self._harms(source, seen)]
        if seen is None or not seen.runs:
            found += [*self._invented(source)]
        else:
            found += (one for one in seen.told("wrong", list) if type(one) is str)
            if not _SETS_MISSING.search(source):
                found += (fact for fact in seen.text.split("; ") if _IS_VOID.search(fact))
            found += [*self._invented(source), *self._value_doubts(source, seen)]
            found += (f"sets `{name}` to a plain value" for name in self.literals(source))
            found += [*self._kind_doubts(seen), *self._missing(source, seen)]
        found += self._idle(source)
        return tuple(dict.fromkeys(scrub(" ".join(one.split())) for one in found))[:_MAX_DOUBTS]

    def harmed(self, source: str, seen: Seen | None) -> list[str]:
        """Return the user's variables that a draft changes although nobody asked for that."""
        found = []
        changed = seen.changed if seen is not None and seen.runs else self._bound_data(source)
        for name in changed:
            if not self.asked or name not in self.namespace or self.may_change(name):
                continue
            new = {*self.words}.difference(column_labels(self.namespace[name]) or ())
            labels = "|".join(map(re.escape, new)) or "(?!)"
            if not re.search(rf"\b{name}(?:\.|\[['\"])(?:{labels})\b", source):
                found.append(name)
        return found

    def _bound_data(self, source: str) -> list[str]:
        """Return the user's containers and tables that a source binds or changes."""
        names = dict.fromkeys(one.name for one in bindings(source) if one.verb != "passes on")
        kinds = {name: type(self.namespace.get(name)) for name in names}
        return [one for one, kind in kinds.items() if hasattr(kind, "__len__") and kind is not str]

    def _harms(self, source: str, seen: Seen | None) -> Iterator[str]:
        for name in self.harmed(source, seen):
            yield f"changes `{name}`, which the request does not ask for"

    def _value_doubts(self, source: str, seen: Seen) -> Iterator[str]:
        size, kind = seen.size, seen.kind
        is_number = _PLAIN_NUMBERS.match(kind) is not None
        is_table = kind in ("DataFrame", "Series")
        num = count_of(size, "row" if kind == "DataFrame" else "value")
        is_other = self.asks_for_change or "column" in self.asked.lower()
        most = None if is_other or self.signature else _MOST.search(self.asked)
        count = _number(most[1]) if most else 0
        tables = [self.namespace[name] for name in used(source, self.namespace)]
        lengths = {len(labels) for labels in map(column_labels, tables) if labels}
        is_row = kind == "Series" and size in lengths
        if _ASKS_COLUMN.search(self.asked) and not self.signature and not self._shows(seen):
            yield "adds no column"
        if seen.num_figures and _ENGLISH.search(self.asked) and not _ASKS_FIGURE.search(self.asked):
            yield "draws a figure that nobody asked for"
        if _VALUELESS.search(kind):
            yield f"gives a {kind}, which shows no values"
        if is_number and _ASKS_TRUTH.search(self.asked):
            yield "gives a number, not yes or no"
        elif kind == "Series" and _ASKS_EXISTENCE.search(self.asked):
            yield f"gives {num}, not yes or no"
        if _EACH.search(self.asked):
            if is_number and _FOR_EACH.search(self.asked):
                yield "gives one number, not one for each"
            elif is_table and size == count and (each := _PER.search(self.asked)):
                groups = {str(one) for table in tables for one in _present(table, each[1])}
                # of as many groups it may have one row each, or else a column each
                if len(groups) not in (0, 1, count) and groups.isdisjoint(seen.labels):
                    yield f"gives {num} in all, not {count} for each {each[1]}"
        elif is_table and size > count > 0:
            yield f"gives {num}, not {count}"
        elif is_table and size > 1 and not is_row:
            asks_number = _ASKS_NUMBER if kind == "DataFrame" else _ASKS_COUNT
            if asks_number.search(self.asked):
                yield f"gives {num}, not a number"
            elif _ASKS_ONE.search(self.asked):
                yield f"gives {num}, not one"

    def _shows(self, seen: Seen) -> bool:
        """Whether a draft shows anything, changes the user's data, or binds a table."""
        shows = seen.changed or seen.kind or seen.printed.strip() or seen.num_figures
        return bool(shows) or "DataFrame" in seen.kinds

    def shows_more(self, seen: Seen, before: Seen) -> bool:
        """Whether a draft that `shown` has changed shows more than before."""
        if before.kind:  # it showed the head of a table
            return seen.kind in ("DataFrame", "Series") and seen.size >= before.size
        is_text = seen.kind == "str" and before.printed.strip()  # it is printed as it is
        return not is_text and _VALUELESS.search(seen.kind) is None

    def _kind_doubts(self, seen: Seen) -> Iterator[str]:
        bound = dict(zip(seen.names, seen.kinds, strict=False))
        for name in self.unbound(bound):
            if name not in bound:
                yield f"does not bind `{name}`"
            else:
                yield f"`{name}` is a {bound[name]}, not a {self.types[name]}"
        match = _ASKS_KIND.search(self.asked.replace("data frame", "dataframe"))
        if match is None or self.signature or seen.num_figures:
            return
        kinds = _KINDS[match[2].lower()]
        called = (one[2] for one in _CALLED.finditer(self.asked))
        named = {f"`{one}`": bound[one] for one in (*called, *self.variables) if one in bound}
        means_value = match[1].lower() == "return" and not _THEN.search(self.asked)
        given = named or ({"its value": seen.kind} if means_value and seen.kind else {})
        if given and not {*kinds}.intersection((*given.values(), *seen.kinds)):
            name, kind = [*given.items()][-1]
            yield f"{name} is a {kind}, not a {kinds[0]}"

    def _missing(self, source: str, seen: Seen) -> Iterator[str]:
        text = "\n".join((source, *seen.labels, *seen.names))
        for word in self.words:
            if word not in self.types and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
                yield f"`{word}` of the request is not in it"

    def _invented(self, source: str) -> Iterator[str]:
        named = plainly_mentioned(self.asked, self.namespace)
        tree = parse_cell(source)
        nodes = [*ast.walk(tree)] if tree is not None else []
        literals = (node for node in nodes if isinstance(node, (ast.List, ast.Tuple)))
        parts = (part for node in literals for part in node.elts)
        num_values = sum(isinstance(part, ast.Constant) for part in parts)
        is_own = self.signature or self.reads_data(source)
        if named and not is_own and num_values >= _LEAST_DATA:
            yield f"invents data and does not use `{named[0]}`"
        for node in nodes:
            match node:
                case ast.Compare(
                    left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=str(value))]
                ):
                    label, values = self._column(left)
                    texts = {one for one in values if type(one) is str}
                    if texts and value not in texts and len(values) < _MAX_VALUES:
                        yield f"`{label}` has no value '{value}'"

    def _column(self, node: ast.expr) -> tuple[str, list[object]]:
        """Return the label and the first values of a column of the user's; no values for others."""
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(label))):
                pass
            case ast.Attribute(value=ast.Name(id=name), attr=label):
                pass
            case _:
                return "", []
        return label, _values(self.namespace.get(name), label)

    def _idle(self, source: str) -> Iterator[str]:
        tree = parse_cell(source)
        if tree is None:
            return
        names = {use.name for use in uses_in(tree) if use.act == "reads"}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if name[:1].isupper() and name not in names:
                        yield f"imports `{name}` and does not use it"

    # Rules

    def spared(self, source: str, name: str) -> str | None:
        """Return a draft that changes a copy instead of a variable; None if no rule is safe."""
        tree = parse_cell(source)
        new = next(
            one
            for one in (_RESULT, *(f"{_RESULT}_{number}" for number in range(2, 99)))
            if one not in self.namespace and one not in source
        )
        if tree is None or _has_magics(source) or _is_another(tree, name):
            return None
        first = next((n for n in tree.body if any(b.name == name for b in bindings_of(n))), None)
        if first is None:
            return None
        later = [*tree.body[tree.body.index(first) :]]
        copied = ""
        match first:
            case ast.Assign(targets=[ast.Name(id=target) as head]) if target == name:
                nodes: list[ast.AST] = [head, *later[1:]]
            case _ if _has_copy(self.namespace.get(name)):
                nodes, copied = [*later], f"{new} = {name}.copy()\n"
            case _:
                return None
        places = [
            place_of(node, source)
            for one in nodes
            for node in ast.walk(one)
            if isinstance(node, ast.Name) and node.id == name
        ]
        start = place_of(first, source)[0]
        for begin, end in sorted(places, reverse=True):
            source = source[:begin] + new + source[end:]
        return source[:start] + copied + source[start:]

    def assigned(self, source: str) -> str:
        """Return a draft that assigns columns: on a column, `inplace` does nothing in pandas 3."""
        tree = parse_cell(source)
        calls = []
        for node in ast.walk(tree) if tree is not None and not _has_magics(source) else ():
            match node:
                case ast.Expr(
                    value=ast.Call(
                        func=ast.Attribute(
                            value=ast.Subscript(value=ast.Name(), slice=ast.Constant()) as part,
                            attr=method,
                        ),
                        keywords=[*_, ast.keyword(arg="inplace", value=ast.Constant(value=True))],
                    )
                ) if method in _KEEPS_ROWS:
                    calls.append((place_of(node, source), place_of(part, source)))
        for (start, end), (begin, stop) in sorted(calls, reverse=True):
            call = _IN_PLACE.sub("", source[start:end])
            source = f"{source[:start]}{source[begin:stop]} = {call}{source[end:]}"
        return source

    def dated(self, source: str) -> str:
        """Return a draft that reads years as years, not as nanoseconds since 1970."""
        tree = parse_cell(source)
        ends = []
        for node in ast.walk(tree) if tree is not None and not _has_magics(source) else ():
            match node:
                case ast.Call(func=ast.Attribute(attr="to_datetime"), args=[part], keywords=[]):
                    _label, values = self._column(part)
                    if values and all(_is_year(one) for one in values):
                        ends.append(place_of(part, source)[1])
        for end in sorted(ends, reverse=True):
            source = f'{source[:end]}.astype(str), format="%Y"{source[end:]}'
        return source

    def shown(self, source: str) -> str:
        """Return a draft that shows the value of a last `x = …` or `print(x)`, all of it."""
        tree = parse_cell(source)
        last = tree.body[-1] if tree is not None and tree.body else None
        if last is None or _has_magics(source) or source.rstrip().endswith(";"):
            return source
        match last:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                is_own = name in self.words or name in self.namespace or looks_secret(name)
                is_plain = isinstance(value, ast.Constant)
                return source if is_own or is_plain else f"{source}\n{name}"
            case (
                ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))])
                | ast.Assign(targets=[ast.Attribute(value=ast.Name(id=name))])
                | ast.Expr(
                    value=ast.Call(
                        func=ast.Attribute(value=ast.Name(id=name)),
                        keywords=[*_, ast.keyword(arg="inplace", value=ast.Constant(value=True))],
                    )
                )
            ) if name not in self.namespace:
                return f"{source}\n{name}"  # a copy was changed
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[])):
                is_text = isinstance(value, (ast.JoinedStr, ast.Constant, ast.Starred, ast.BinOp))
                if is_text or _PRINTS.search(self.asked):
                    return source
                return _replaced(source, last, value)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=value, attr="head"))):
                return source if _ASKS_PART.search(self.asked) else _replaced(source, last, value)
        return source


def naming(types: Mapping[str, str]) -> str:
    """Return a sentence that asks for names with their types."""
    return f"{_NAMES}{', '.join(f'`{name}` ({kind})' for name, kind in types.items())}."


def without_names(request: str) -> str:
    """Return a request without the names that `with_names` has added."""
    return request.partition(_NAMES)[0].rstrip()


def with_names(request: str, into: str) -> str:
    """Return a request whose code binds names: `into` is as in "mean_fare float, n int".

    Raises
    ------
    OptionError
        There is another text than names with their types.
    """
    found = [_INTO.fullmatch(part) for part in into.split(",")]
    if not all(match and not keyword.iskeyword(match[1]) for match in found):
        example = '"mean_fare float, n int"'
        raise OptionError(f"{into!r} is not a list of typed names. Write one such as {example}.")
    return f"{request.rstrip()}\n{naming({match[1]: match[2] for match in found if match})}"


def _values(table: object, label: str) -> list[object]:
    """Return the first values of a column; none if no column, or more than one, has the label."""
    is_there = [*(column_labels(table) or ())].count(label) == 1
    return first_values(column(table, label), _MAX_VALUES) if is_there else []


def _present(table: object, label: str) -> list[object]:
    """Return the first values of a column without the missing ones."""
    return [one for one in _values(table, label) if not num_null([one])]


def _plain(value: object) -> Any:
    """Return a finite number or a text as a plain one; None for other values."""
    if type(value) in (bool, str):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value) if isinstance(value, Real) else math.nan
    return number if math.isfinite(number) else None


def _number(word: str) -> int:
    return _NUMBERS.get(word.lower()) or int(word)


def _replaced(source: str, node: ast.stmt, part: ast.expr) -> str:
    """Return a source with a part of a node in its place."""
    (start, end), (begin, stop) = place_of(node, source), place_of(part, source)
    text = source[begin:stop]
    text = f"({text})" if "\n" in text else text
    return f"{source[:start]}{text}{source[end:]}"


def _is_year(value: object) -> bool:
    is_own = type(value) is int or own_package(value) == "numpy"
    return is_own and isinstance(value, Integral) and int(value) in _YEARS


def _has_copy(value: Any) -> bool:
    """Whether `copy` gives a value that shares nothing with this one."""
    if type(value) in (list, set, dict):
        items = value.values() if type(value) is dict else value
        return all(type(one) in _PLAIN for one in items)
    return own_package(value) in ("numpy", "pandas") and short_name(type(value)) in _COPIED


def _has_magics(source: str) -> bool:
    return cell_python(source).rstrip() != source.rstrip()


def _is_another(tree: ast.AST, name: str) -> bool:
    """Whether a name is also a local variable, or in an f-string, whose parts have no positions."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=other) | ast.ExceptHandler(name=other) if other == name:
                return True
            case ast.Global(names=names) | ast.Nonlocal(names=names) if name in names:
                return True
            case ast.JoinedStr() if any(use.name == name for use in uses_in(node)):
                return True
    return False
