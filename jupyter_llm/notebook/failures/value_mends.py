"""Mends of values that do not fit: types, shapes, conditions, indices, and None."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from jupyter_llm.notebook.failures.broken_cell import Broken, Edit, Mend
from jupyter_llm.notebook.values.peek import ABSENT, own_package, short_name

_REDUCTIONS = frozenset(
    {"mean", "median", "std", "var", "sum", "corr", "cov", "min", "max", "quantile", "skew", "prod"}
    | {"kurt", "sem", "cumsum", "agg"}
)
_COMPARED = {"And": "&", "Or": "|"}
_IN_PLACE = frozenset({"sort", "append", "extend", "reverse", "insert", "update", "add", "shuffle"})
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")


def _wrapped(
    broken: Broken, node: ast.AST, around: str, reason: str, *, is_sure: bool = False
) -> Iterator[Mend]:
    yield from broken.change(reason, (node, around.format(broken.text(node))), is_sure=is_sure)


# Texts and numbers


def texts(broken: Broken) -> Iterator[Mend]:
    """Mends of texts that are joined with numbers, or calculated with."""
    if broken.says(
        r"can only concatenate str|must be str, not|and \'str\'|\'str\' and|"
        r"dtype\('<U|str_|string|multiply sequence"
    ):
        for node in broken.nodes(ast.BinOp):
            if isinstance(node.op, ast.Add):
                yield from _joined(broken, node)
        for added in broken.nodes(ast.AugAssign):
            if isinstance(added.op, ast.Add) and broken.says("concatenate str"):
                yield from _wrapped(
                    broken, added.value, "str({})", "only texts are joined to a text"
                )
        yield from _numbers(broken)
    if broken.says("sequence item 0: expected str"):
        for call in broken.nodes(ast.Call):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "join" and call.args:
                reason = "`join` joins texts only"
                yield from _wrapped(broken, call.args[0], "map(str, {})", reason, is_sure=True)
    if broken.says("can only concatenate list"):
        for node in broken.nodes(ast.BinOp):
            around = "list({})" if broken.says('not "(?:tuple|set|range|dict)') else "[{}]"
            reason = "only a list is joined to a list"
            yield from _wrapped(broken, node.right, around, reason, is_sure=True)


def made_text(broken: Broken) -> Iterator[Mend]:
    """Mends of a cell that has made text of the numbers which another one calculates with."""
    for call in () if broken.line else broken.nodes(ast.Call, anywhere=True):
        is_text = call.args and broken.text(call.args[0]) in ("str", '"str"', "'str'", "object")
        if isinstance(call.func, ast.Attribute) and call.func.attr == "astype" and is_text:
            text = broken.text(call.func.value)
            yield from broken.change(f"`{text}` was made text here", (call, text), is_sure=True)


def _joined(broken: Broken, node: ast.BinOp) -> Iterator[Mend]:
    """Mends of a text and something else that are added."""
    parts = _summands(node)
    if not any(_is_text(broken, part) for part in parts):
        return
    others = [part for part in parts if not _is_text(broken, part)]
    known = [part for part in others if broken.value(part) is not ABSENT]
    looks_number = [
        part
        for part in parts
        if type(held := broken.value(part)) is str and _NUMBER.fullmatch(held.strip())
    ]
    if looks_number and len(parts) == len(known) + len(looks_number):
        around = "float({})" if any("." in broken.value(one) for one in looks_number) else "int({})"
        edits: list[Edit] = [(one, around.format(broken.text(one))) for one in looks_number]
        yield from broken.change("a number that is a text is added", *edits, is_sure=True)
    reason = "only texts are joined to a text"
    if len(others) > 1:
        edits = [(one, f"str({broken.text(one)})") for one in others]
        yield from broken.change(reason, *edits)
    for part in [*known, *(one for one in others if one not in known)]:
        is_column = own_package(broken.value(part)) in ("pandas", "numpy")
        around = "{}.astype(str)" if is_column else "str({})"
        yield from _wrapped(broken, part, around, reason, is_sure=len(others) == 1)


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _is_text(broken: Broken, node: ast.expr) -> bool:
    held = broken.value(node)
    is_call = isinstance(node, ast.Call) and broken.text(node.func) in ("str", "input", "repr")
    return type(held) is str or isinstance(node, ast.JoinedStr) or is_call or _holds_texts(held)


def _holds_texts(held: object) -> bool:
    """Whether a series of pandas holds objects or texts."""
    if own_package(held) != "pandas" or short_name(type(held)) != "Series":
        return False
    return str(held.dtype) in ("object", "str", "string")  # type: ignore[attr-defined]


def _numbers(broken: Broken) -> Iterator[Mend]:
    """Mends of texts that numbers are compared or calculated with."""
    compared = [[one.left, *one.comparators] for one in broken.nodes(ast.Compare)]
    counted = [[one.left, one.right] for one in broken.nodes(ast.BinOp)]
    counted += [[one.target, one.value] for one in broken.nodes(ast.AugAssign)]
    for pair in (*compared, *counted):
        sides = [side for side in pair if _is_text(broken, side)]
        unknown = [side for side in pair if broken.value(side) is ABSENT and side not in sides]
        for side in sides or unknown:
            held, text = broken.value(side), broken.text(side)
            reason = f"`{text}` is text, and has to be a number"
            if isinstance(side, ast.Constant):
                if type(held) is str and _NUMBER.fullmatch(held):
                    yield from broken.change(reason, (side, held), is_sure=True)
            elif _holds_texts(held) or (held is ABSENT and isinstance(side, ast.Subscript)):
                yield from _of_column(broken, side, pair, is_sure=held is not ABSENT)
            else:
                is_whole = type(held) is str and held.strip().lstrip("-").isdecimal()
                around = "int({})" if is_whole else "float({})"
                yield from _wrapped(broken, side, around, reason, is_sure=type(held) is str)
        if len(sides) == len(pair) and all(_holds_texts(broken.value(one)) for one in sides):
            for around, what in (
                ("{}.astype(float)", "numbers"),
                ("{pd}.to_datetime({})", "dates"),
            ):
                pd, imports = broken.alias("pandas", "pd")
                edits: list[Edit] = [
                    (one, around.replace("{pd}", pd).format(broken.text(one))) for one in sides
                ]
                yield from broken.change(
                    f"the columns are text, and have to be {what}", *imports, *edits
                )
    for call in broken.nodes(ast.Call):
        if broken.text(call.func) in ("sorted", "max", "min") and len(call.args) == 1:
            inside = broken.text(call)[:-1] + ", key=str)"
            yield from broken.change("texts and numbers have no order", (call, inside))
        if isinstance(call.func, ast.Attribute) and call.func.attr in _REDUCTIONS:
            held = broken.value(call.func.value)
            if _holds_texts(held):
                yield from _of_column(broken, call.func.value, [], is_sure=True)


def _of_column(
    broken: Broken, node: ast.expr, pair: list[ast.expr], *, is_sure: bool
) -> Iterator[Mend]:
    text = broken.text(node)
    others = [one for one in pair if one is not node]
    is_date = any(type(v := broken.value(one)) is str and re.match(r"\d{4}-", v) for one in others)
    pd, imports = broken.alias("pandas", "pd")
    reason = f"`{text}` is text, and has to be {'dates' if is_date else 'numbers'}"
    if is_date:
        yield from broken.change(reason, *imports, (node, f"{pd}.to_datetime({text})"))
        return
    for around in ("{}.astype(float)", f'{pd}.to_numeric({{}}, errors="coerce")'):
        extra = imports if "to_numeric" in around else ()
        yield from broken.change(
            reason, *extra, (node, around.format(text)), is_sure=is_sure and not extra
        )


def conversions(broken: Broken) -> Iterator[Mend]:
    """Mends of what cannot be made a number, or only in another way."""
    pd, imports = broken.alias("pandas", "pd")
    for call in broken.nodes(ast.Call):
        name, first = broken.text(call.func), call.args[0] if call.args else None
        text = broken.text(first) if first is not None else ""
        if isinstance(call.func, ast.Attribute) and call.func.attr == "astype":
            column = broken.text(call.func.value)
            if broken.says("convert|invalid literal|non-finite|NaN"):
                if found := broken.says(r"'[^\d']*([$€£%,])"):
                    new = f'{column}.str.replace(r"[$€£%,]", "", regex=True).astype({text})'
                    reason = f"`{found[1]}` is in the numbers"
                    yield from broken.change(reason, (call, new), is_sure=True)
                if broken.says(r"literal for int.*'-?\d+\.\d*'"):
                    new = f"{column}.astype(float).astype({text})"
                    yield from broken.change("the numbers have a point", (call, new), is_sure=True)
                if broken.says("non-finite|NaN"):
                    reason = "a column of whole numbers with gaps is `Int64`"
                    yield from broken.change(
                        reason, (call, f'{column}.astype("Int64")'), is_sure=True
                    )
                new = f'{pd}.to_numeric({column}, errors="coerce")'
                reason = "not all of the texts are numbers; those become NaN"
                yield from broken.change(reason, *imports, (call, new))
        elif name in ("int", "float") and first is not None:
            if broken.says(r"literal for int.*'\s*-?\d+\.\d*\s*'"):
                reason = "the number has a point"
                yield from broken.change(reason, (first, f"float({text})"), is_sure=True)
            elif broken.says(r"'[^']*\d,\d"):
                reason = "the number has a comma in it"
                yield from broken.change(reason, (first, f'{text}.replace(",", "")'), is_sure=True)
            elif found := broken.says(r"'\s*([$€£])"):
                reason = f"`{found[1]}` is before the number"
                new = f'{text}.replace("{found[1]}", "").replace(",", "")'
                yield from broken.change(reason, (first, new), is_sure=True)
            elif broken.says("not 'list'|not 'tuple'"):
                new = f"[{name}(one) for one in {text}]"
                yield from broken.change("each of them is made a number", (call, new), is_sure=True)
            elif broken.says("convert the series|length-1|0-dimensional|size-1|only be converted"):
                reason = "each value of it is made a number"
                yield from broken.change(reason, (call, f"{text}.astype({name})"), is_sure=True)
        elif name.startswith("math.") and broken.says("convert the series|length-1|0-dim|size-1"):
            np, its = broken.alias("numpy", "np")
            new = f"{np}.{name.removeprefix('math.')}"
            reason = f"`{name}` takes one number, `{new}` takes many"
            yield from broken.change(reason, *its, (call.func, new), is_sure=True)
    if broken.says("If using all scalar values"):
        for call in broken.nodes(ast.Call):
            if broken.text(call.func).endswith("DataFrame") and call.args:
                reason = "one row is a list with one dictionary"
                yield from _wrapped(broken, call.args[0], "[{}]", reason, is_sure=True)


def whole_numbers(broken: Broken) -> Iterator[Mend]:
    """Mends of a fraction where a whole number is wanted, and of a thing where its length is."""
    found = broken.says(
        r"'([\w.]+)' object cannot be interpreted as an integer"
        r"|indices must be integers.*not '?(float)|(slice) indices must be"
    )
    if found is None or found[1] == "tuple":
        return
    for node in broken.nodes(ast.BinOp):
        if isinstance(node.op, ast.Div):
            left, right = broken.text(node.left), broken.text(node.right)
            reason = "`/` gives a fraction, `//` a whole number"
            yield from broken.change(reason, (node, f"{left} // {right}"), is_sure=True)
    is_length = found[1] in ("list", "tuple", "str", "dict", "DataFrame", "Series", "ndarray")
    around, reason = (
        ("len({})", "its length is meant") if is_length else ("int({})", "a whole number is wanted")
    )
    for call in broken.nodes(ast.Call):
        for one in call.args:
            if broken.value(one) is ABSENT or type(broken.value(one)) is not int:
                is_first = broken.text(call.func) in ("range", "zeros", "ones", "linspace")
                yield from _wrapped(broken, one, around, reason, is_sure=is_first)
    for subscript in broken.nodes(ast.Subscript):
        parts = [subscript.slice]
        if isinstance(subscript.slice, ast.Slice):
            parts = [one for one in (subscript.slice.lower, subscript.slice.upper) if one]
        edits: list[Edit] = [
            (one, f"int({broken.text(one)})") for one in parts if not isinstance(one, ast.Constant)
        ]
        yield from broken.change(reason, *edits)


def iterables(broken: Broken) -> Iterator[Mend]:
    """Mends of what is gone through in the wrong way."""
    is_number = broken.says(r"'(?:numpy\.)?(?:int|int64|float)' object is not iterable")
    is_torn = broken.says("unpack")
    loops: list[tuple[ast.expr, ast.expr]] = [(n.target, n.iter) for n in broken.nodes(ast.For)]
    loops += [(one.target, one.iter) for one in broken.nodes(ast.comprehension)]
    for target, source in loops:
        held = broken.value(source)
        if is_number:
            yield from _wrapped(
                broken, source, "range({})", "a number is counted up to by `range`", is_sure=True
            )
        if is_torn and isinstance(target, ast.Tuple):
            ways = [("enumerate({})", "`enumerate` counts them")]
            if type(held) is dict:
                ways.insert(0, ("{}.items()", "`items` gives keys and values"))
            if own_package(held) == "pandas":
                is_frame = short_name(type(held)) == "DataFrame"
                ways.insert(
                    0,
                    ("{}.iterrows()" if is_frame else "{}.items()", "rows come with their labels"),
                )
            for around, reason in ways:
                yield from _wrapped(broken, source, around, reason, is_sure=held is not ABSENT)
        if broken.says("string (?:index|indices)|'str' object has no") and type(held) is dict:
            yield from _wrapped(
                broken, source, "{}.values()", "a dictionary gives its keys", is_sure=True
            )
    if broken.line and broken.says("string indices must be integers"):
        for subscript in broken.nodes(ast.Subscript):
            for source in _gone_through(broken, subscript.value):
                if type(broken.value(source)) is dict:
                    reason = "a dictionary gives its keys, `values` what is under them"
                    yield from _wrapped(broken, source, "{}.values()", reason, is_sure=True)
            if type(broken.value(subscript.value)) is str:
                top = broken.top()
                imports: Edit = ((top, top), "import json\n")
                edit: Edit = (subscript.value, f"json.loads({broken.text(subscript.value)})")
                yield from broken.change("it is JSON as text", imports, edit)
    if is_number:
        for call in broken.nodes(ast.Call):
            if broken.text(call.func) in ("sum", "max", "min", "list", "set", "tuple", "sorted"):
                texts_of = ", ".join(broken.text(one) for one in call.args)
                new = f"{broken.text(call.func)}([{texts_of}])"
                yield from broken.change("it takes a list", (call, new), is_sure=True)
    if broken.says("list indices must be integers or slices, not str"):
        for subscript in broken.nodes(ast.Subscript):
            held, key = broken.value(subscript.value), broken.text(subscript.slice)
            if type(held) is list:
                new = f"[one[{key}] for one in {broken.text(subscript.value)}]"
                reason = "each item of the list has the key"
                yield from broken.change(reason, (subscript, new), is_sure=True)
    if broken.says("list indices must be integers or slices, not tuple"):
        for subscript in broken.nodes(ast.Subscript):
            if isinstance(subscript.slice, ast.Tuple):
                new = "".join(f"[{broken.text(one)}]" for one in subscript.slice.elts)
                new = broken.text(subscript.value) + new
                reason = "a list of lists is looked up step by step"
                yield from broken.change(reason, (subscript, new), is_sure=True)
            elif isinstance(subscript.value, ast.List):
                start, stop = broken.span(subscript.value) or (0, 0)
                yield from broken.change(
                    "a comma is missing", ((stop, stop), ","), is_sure=start < stop
                )
    if found := broken.says(r"'(\w+)' object is not subscriptable"):
        for subscript in broken.nodes(ast.Subscript):
            key = broken.value(subscript.slice)
            if type(key) is str and key.isidentifier() and found[1] not in ("NoneType", "method"):
                new = f"{broken.text(subscript.value)}.{key}"
                yield from broken.change(f"`{key}` is an attribute", (subscript, new))
    if broken.says("unhashable type: 'list'"):
        for lists in broken.nodes(ast.List):
            yield from _wrapped(
                broken, lists, "tuple({})", "a key cannot be a list, but a tuple", is_sure=False
            )
        for subscript in broken.nodes(ast.Subscript):
            yield from _wrapped(
                broken, subscript.slice, "tuple({})", "a key cannot be a list, but a tuple"
            )
    if found := broken.says(r"object of type '(?:numpy\.)?(int|float)\w*' has no len"):
        for call in broken.nodes(ast.Call):
            if broken.text(call.func) == "len" and call.args:
                yield from _wrapped(
                    broken, call.args[0], "str({})", "a number has no length, its text has"
                )


def _gone_through(broken: Broken, node: ast.expr) -> Iterator[ast.expr]:
    """Yield what a loop goes through whose variable this is."""
    for loop in ast.walk(broken.tree):
        if isinstance(loop, (ast.For, ast.comprehension)) and (
            ast.dump(loop.target) == ast.dump(node).replace("Load()", "Store()")
        ):
            yield loop.iter


# Conditions


def conditions(broken: Broken) -> Iterator[Mend]:
    """Mends of conditions on many values at once."""
    if not broken.says(
        "truth value of|Cannot perform '|unsupported operand type.s. for [&|]|rand_|ror_"
    ):
        return
    for node in broken.nodes(ast.Compare):
        if any(_has_bits(one) for one in (node.left, *node.comparators)):
            yield from _bracketed(broken, node)
        elif len(node.ops) > 1:
            sides = [broken.text(one) for one in (node.left, *node.comparators)]
            signs = [
                _between_text(broken, a, b) for a, b in pairwise([node.left, *node.comparators])
            ]
            new = " & ".join(f"({sides[n]} {sign} {sides[n + 1]})" for n, sign in enumerate(signs))
            yield from broken.change("two comparisons are joined by `&`", (node, new), is_sure=True)
    for joined in broken.nodes(ast.BoolOp):
        sign = _COMPARED[type(joined.op).__name__]
        parts = [_in_brackets(broken.text(_bits(one)[0]), _bits(one)[1]) for one in joined.values]
        reason = f"whole columns are joined by `{sign}`, each condition in brackets"
        yield from broken.change(reason, (joined, f" {sign} ".join(parts)), is_sure=True)
    for turned in broken.nodes(ast.UnaryOp):
        if isinstance(turned.op, ast.Not):
            new = f"~({broken.text(turned.operand)})"
            yield from broken.change(
                "a whole column is turned around by `~`", (turned, new), is_sure=True
            )
    if isinstance(broken.statement, (ast.If, ast.While)):
        test = broken.statement.test
        text = broken.text(test)
        around = "{}.any()" if text.isidentifier() else "({}).any()"
        yield from _wrapped(broken, test, around, "`any` asks whether one of the values is true")


def _bits(node: ast.expr) -> tuple[ast.expr, str]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand, "~"
    return node, ""


def _in_brackets(text: str, sign: str = "") -> str:
    return f"{sign}({text})"


def _has_bits(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr))


def _between_text(broken: Broken, left: ast.expr, right: ast.expr) -> str:
    start, stop = broken.span(left), broken.span(right)
    return broken.source[start[1] : stop[0]].strip(" ()\n") if start and stop else ""


def _bracketed(broken: Broken, node: ast.Compare) -> Iterator[Mend]:
    """Put brackets around the comparisons of `a > 1 & b < 2`."""
    text = broken.text(node)
    edits: list[Edit] = []
    span = broken.span(node)
    if span is None or "(" in re.sub(r"\([^()]*\)", "", text):
        return
    parts: list[ast.expr] = []
    for one in (node.left, *node.comparators):
        parts += _operands(one)
    signs = [_between_text(broken, a, b) for a, b in pairwise(parts)]
    new = "(" + broken.text(parts[0])
    for sign, part in zip(signs, parts[1:], strict=True):
        new += (
            f") {sign} ({broken.text(part)}"
            if sign in ("&", "|")
            else f" {sign} {broken.text(part)}"
        )
    edits.append((node, new + ")"))
    yield from broken.change("`&` and `|` bind closer than a comparison", *edits, is_sure=True)


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


# Shapes and places


def reductions(broken: Broken) -> Iterator[Mend]:
    """Mends of a mean or sum over columns of which some are text."""
    if not broken.says(
        "convert|agg function failed|reduction|unsupported operand|does not support|string"
    ):
        return
    for call in broken.nodes(ast.Call):
        func = call.func
        if not isinstance(func, ast.Attribute) or func.attr not in _REDUCTIONS - {"agg", "cumsum"}:
            continue
        if broken.is_pandas(func.value) == "Series" or any(
            k.arg == "numeric_only" for k in call.keywords
        ):
            continue
        span = broken.span(call)
        if span is not None:
            lead = ", " if call.args or call.keywords else ""
            edit: Edit = ((span[1] - 1, span[1] - 1), f"{lead}numeric_only=True")
            reason = f"some columns are text, which `{func.attr}` cannot take"
            yield from broken.change(reason, edit, is_sure=True)


def shapes(broken: Broken) -> Iterator[Mend]:
    """Mends of arrays whose shapes do not fit."""
    if broken.says("matmul|not aligned|mismatch"):
        pairs = [
            (node.left, node.right)
            for node in broken.nodes(ast.BinOp)
            if isinstance(node.op, ast.MatMult)
        ]
        pairs += [
            (call.args[0], call.args[1])
            for call in broken.nodes(ast.Call)
            if len(call.args) == 2 and broken.text(call.func).endswith(("dot", "matmul"))  # noqa: PLR2004
        ]
        pairs += [
            (call.func.value, call.args[0])
            for call in broken.nodes(ast.Call)
            if isinstance(call.func, ast.Attribute)
            and call.func.attr == "dot"
            and len(call.args) == 1
        ]
        for left, right in pairs:
            for side in (right, left):
                text = broken.text(side)
                new = text.removesuffix(".T") if text.endswith(".T") else f"{text}.T"
                yield from broken.change("the shapes fit when one is transposed", (side, new))
            edits: list[Edit] = [(left, broken.text(right)), (right, broken.text(left))]
            yield from broken.change("the shapes fit the other way round", *edits)
    if broken.says("could not be broadcast"):
        for node in broken.nodes(ast.BinOp):
            for side in (node.right, node.left):
                around = "{}[:, None]" if isinstance(side, ast.Name) else "({})[:, None]"
                reason = "the shapes fit when one is a column"
                yield from _wrapped(broken, side, around, reason)
                yield from _wrapped(broken, side, "{}.T", "the shapes fit when one is transposed")
    if broken.says("Expected 2D array"):
        for call in broken.nodes(ast.Call):
            for one in call.args[:1]:
                is_column = broken.is_pandas(one) == "Series" and isinstance(one, ast.Subscript)
                text = broken.text(one)
                new = (
                    f"{text[:-1]}]]".replace("[", "[[", 1)
                    if is_column
                    else f"{text}.reshape(-1, 1)"
                )
                reason = "one column is wanted as a table"
                yield from broken.change(reason, (one, new), is_sure=is_column)
    if broken.says("cannot reshape array"):
        for call in broken.nodes(ast.Call):
            sizes = (
                call.args[0].elts
                if len(call.args) == 1 and isinstance(call.args[0], ast.Tuple)
                else call.args
            )
            for one in sizes:
                reason = "the sizes do not fit; -1 is what is left over"
                yield from broken.change(reason, (one, "-1"))
    if broken.says("must have same first dimension|same size|same length"):
        for call in broken.nodes(ast.Call):
            if len(call.args) >= 2:  # noqa: PLR2004
                first, second = (broken.text(one) for one in call.args[:2])
                reason = "one of them is longer"
                yield from broken.change(reason, (call.args[0], f"{first}[:len({second})]"))
                yield from broken.change(reason, (call.args[1], f"{second}[:len({first})]"))


def places(broken: Broken) -> Iterator[Mend]:
    """Mends of an index that is one too far."""
    for subscript in broken.nodes(ast.Subscript):
        key = broken.value(subscript.slice)
        text = broken.text(subscript.slice)
        if isinstance(subscript.slice, ast.Call) and broken.text(subscript.slice.func) == "len":
            yield from broken.change(
                "the last place is the length less one", (subscript.slice, "-1"), is_sure=True
            )
        elif type(key) is int:
            found = broken.value(subscript.value)
            size = len(found) if type(found) in (list, tuple, str) else None
            if found := broken.says(r"with size (\d+)"):
                size = int(found[1])
            is_next = size is not None and key == size > 0
            new = str(key - 1) if size is None or is_next else "-1"
            reason = "places are counted from 0"
            yield from broken.change(reason, (subscript.slice, new), is_sure=is_next)
        elif isinstance(subscript.slice, ast.Tuple) and broken.says("too many indices"):
            kept = [
                one for one in subscript.slice.elts if broken.text(one) != ":"
            ] or subscript.slice.elts
            reason = "the array has one dimension"
            yield from broken.change(reason, (subscript.slice, broken.text(kept[0])))
        elif text and isinstance(subscript.slice, ast.Name):
            reason = "places are counted from 0"
            yield from _ranges(broken, reason)
            yield from broken.change(reason, (subscript.slice, f"{text} - 1"))
        elif isinstance(subscript.slice, ast.BinOp):
            yield from _ranges(broken, "the last place is the length less one")


def _ranges(broken: Broken, reason: str) -> Iterator[Mend]:
    """Mends of `range(len(x) + 1)`, and of `range(len(x))` where the next item is read."""
    for call in broken.nodes(ast.Call, anywhere=True):
        if broken.text(call.func) != "range" or not call.args:
            continue
        last = call.args[1] if len(call.args) > 1 else call.args[0]
        text = broken.text(last)
        if re.fullmatch(r"len\(.*\)\s*\+\s*1", text):
            yield from broken.change(reason, (last, re.sub(r"\s*\+\s*1$", "", text)), is_sure=True)
        elif text.startswith("len("):
            yield from broken.change(reason, (last, f"{text} - 1"), is_sure=True)
        elif broken.value(last) is not ABSENT or isinstance(last, ast.Constant):
            for holder in broken.nodes(ast.Subscript):
                new = f"len({broken.text(holder.value)})"
                yield from broken.change(reason, (last, new))


# What is None


def nothing(broken: Broken) -> Iterator[Mend]:
    """Mends of None where a method that changes its object in place was assigned."""
    if "NoneType" not in broken.message:
        return
    names = {node.id for node in broken.nodes(ast.Name)} if broken.line else None
    for node in ast.walk(broken.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target = broken.text(node.targets[0])
            if names is None or target in names:
                yield from _in_place(broken, node, node.value, target)
    for function in ast.walk(broken.tree):
        if isinstance(function, ast.FunctionDef) and not any(
            isinstance(one, (ast.Return, ast.Yield)) for one in ast.walk(function)
        ):
            yield from _returning(broken, function)
    for node in broken.nodes(ast.Call):
        func = node.func
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call):
            for keyword in func.value.keywords:
                yield from _without_inplace(broken, func.value, keyword)


def _in_place(broken: Broken, node: ast.Assign, call: ast.Call, target: str) -> Iterator[Mend]:
    for keyword in call.keywords:
        yield from _without_inplace(broken, call, keyword)
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr in _IN_PLACE:
        text, holder = broken.text(call), broken.text(func.value)
        reason = f"`{func.attr}` changes its object and gives nothing back"
        options = ", ".join(broken.text(one) for one in call.keywords)
        if func.attr == "sort":
            new = f"sorted({', '.join(filter(None, (holder, options)))})"
            yield from broken.change(reason, (call, new), is_sure=True)
        elif func.attr == "reverse":
            yield from broken.change(reason, (call, f"{holder}[::-1]"), is_sure=True)
        elif holder == target:
            yield from broken.change(reason, (node, text), is_sure=True)


def _without_inplace(broken: Broken, call: ast.Call, keyword: ast.keyword) -> Iterator[Mend]:
    span, own = broken.span(call), broken.span(keyword)
    if keyword.arg == "inplace" and span and own:
        start = broken.source.rfind(",", span[0], own[0])
        start = start if start > 0 else own[0]
        reason = "with `inplace=True` it gives nothing back"
        yield from broken.change(reason, ((start, own[1]), ""), is_sure=True)


def _returning(broken: Broken, function: ast.FunctionDef) -> Iterator[Mend]:
    """Mend a function that calculates something and returns nothing."""
    last = function.body[-1]
    reason = f"`{function.name}` returns nothing"
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        yield from broken.insert(
            (last.end_lineno or last.lineno) + 1,
            f"{' ' * last.col_offset}return {last.targets[0].id}",
            reason,
        )
    elif isinstance(last, ast.Expr):
        text = broken.text(last)
        is_print = re.fullmatch(r"print\((.*)\)", text, re.DOTALL)
        yield from broken.change(reason, (last, f"return {is_print[1] if is_print else text}"))
    else:
        names = [
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        for name in names[:1]:
            space = " " * function.body[0].col_offset
            line = (function.end_lineno or function.lineno) + 1
            yield from broken.insert(line, f"{space}return {name}", reason)


# Files that are read


def read_files(broken: Broken) -> Iterator[Mend]:
    """Mends of a file that is read in the wrong way."""
    ways = {
        "codec can't decode": ('encoding="latin-1"', "the file is not in UTF-8"),
        "tokenizing data": ('sep=None, engine="python"', "the columns are separated otherwise"),
        "doesn't match format|not match format": (
            'format="mixed"',
            "the dates are not all written alike",
        ),
        "not JSON serializable": ("default=str", "JSON knows no such values"),
        "out of range|day is out|month must be": ("dayfirst=True", "the day comes first"),
    }
    for pattern, (keyword, reason) in ways.items():
        if not broken.says(pattern):
            continue
        for call in broken.nodes(ast.Call):
            span, name = broken.span(call), broken.text(call.func)
            if span and re.search(r"read_|open|to_datetime|dumps?$", name) and call.args:
                given = {one.arg for one in call.keywords}
                if keyword.partition("=")[0] not in given:
                    edit: Edit = ((span[1] - 1, span[1] - 1), f", {keyword}")
                    yield from broken.change(reason, edit, is_sure="codec" in pattern)
