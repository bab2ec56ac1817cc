"""Finds attributes, keys and columns that code reads or sets; the code need not be valid.

Only accesses on a plain name are found: `df["price"].mean`, but not those on a call's result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Step = tuple[Literal["attribute", "key"], str]
Owner = tuple[str, tuple[Step, ...]]
Kind = Literal["attribute", "key", "column"]
Purpose = Literal["reads", "stores", "unknown"]

_STRING = r"""(?P<marks>[rRuUfFbB]{0,2})(?P<quote>\"{3}|'{3}|"|')"""
_TOKEN = re.compile(
    rf"""(?P<comment>\#[^\n]*)|(?P<string>{_STRING})|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)
    |(?P<newline>\n)|(?P<space>[ \t\r\f\\]+)
    |(?P<sign>[=!<>:*/+%&|^@-]=|\*\*=?|//=?|<<=?|>>=?|->|.)""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = {
    quote: re.compile(rf"(?P<text>(?:\\.|(?!{quote}){any_})*+)(?P<end>{quote})?", re.DOTALL)
    for quote, any_ in (('"""', "."), ("'''", "."), ('"', r"[^\n]"), ("'", r"[^\n]"))
}
_FIELD = re.compile(r"\{([^{}]*)\}?")
_ESCAPE = re.compile(r"(?m)^[ \t]*[%!?][^\n]*")
# Arguments of a frame's methods that are column names: by position, and by keyword.
_BY = {
    "groupby": (0, {"by"}),
    "sort_values": (0, {"by"}),
    "set_index": (0, {"keys"}),
    "drop_duplicates": (0, {"subset"}),
    "value_counts": (None, {"subset"}),
    "dropna": (None, {"subset"}),
    "drop": (None, {"columns"}),
    "explode": (0, {"column"}),
    "nlargest": (1, {"columns"}),
    "nsmallest": (1, {"columns"}),
    "pivot": (None, {"index", "columns", "values"}),
    "pivot_table": (None, {"index", "columns", "values"}),
    "melt": (None, {"id_vars", "value_vars"}),
    "boxplot": (None, {"column", "by"}),
    "hist": (None, {"column", "by"}),
    "plot": (None, {"x", "y"}),
    "scatter": (None, {"x", "y"}),
}
_ROWS_AND_COLUMNS = frozenset({"loc", "at"})
_KEYWORDS = frozenset({"return", "yield", "await", "in", "not", "and", "or", "if", "else", "print"})


@dataclass(frozen=True, slots=True)
class Access:
    """A name that is looked up in the object at `path` below a variable.

    A column is looked up by a frame's method, or in a list of columns. `start` and `end` enclose
    the name without its quotes; `quote` is "" for an attribute. If `is_open`, the text ends with
    the name, so the user may still be typing it. `use` is "unknown" if the statement starts with
    the access and its end is missing: it may become an assignment.
    """

    variable: str
    path: tuple[Step, ...]
    kind: Kind
    name: str
    start: int
    end: int
    quote: str = ""
    is_open: bool = False
    use: Purpose = "reads"


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: str
    text: str
    start: int
    end: int
    quote: str = ""
    is_open: bool = False
    marks: str = ""


@dataclass(slots=True)
class _Bracket:
    """An open bracket, and the object whose columns are named in it.

    `begins`: a statement begins with the bracket's chain.
    """

    sign: str
    owner: Owner | None = None
    place: int | None = 0  # position of the argument that names columns; None: only by keyword
    names: frozenset[str] = frozenset()
    is_grouping: bool = False
    begins: bool = False
    argument: int = 0
    keyword: str = ""
    first: int = 0  # index of the first access in it

    @property
    def takes_columns(self) -> bool:
        if self.owner is None:
            return False
        return self.keyword in self.names if self.keyword else self.argument == self.place


def _tokens(text: str) -> Iterator[_Piece]:
    position = 0
    while position < len(text):
        at_line = position == 0 or text[position - 1] == "\n"
        if at_line and (escape := _ESCAPE.match(text, position)):
            position = escape.end()
            continue
        token = _TOKEN.match(text, position)
        if token is None:  # impossible: "." matches everything
            return
        kind, start, position = token.lastgroup or "", token.start(), token.end()
        inside = _INSIDE[token["quote"]].match(text, position) if token["string"] else None
        if inside is not None:
            position, marks = inside.end(), token["marks"].lower()
            quote, is_open = token["quote"], inside["end"] is None
            yield _Piece("string", inside["text"], *inside.span("text"), quote, is_open, marks)
        elif kind not in ("comment", "space"):
            yield _Piece(kind, token[0], start, position)


class _AccessReader:
    """Reads the tokens of a text from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.length = len(text)
        self.result: list[Access] = []
        self.brackets: list[_Bracket] = []
        self.begins = True  # a statement begins here

    def read(self) -> list[Access]:
        """Return all accesses in order."""
        place = 0
        while place < len(self.tokens):
            place = self._step(place)
        for bracket in self.brackets:
            self._settle(bracket, "unknown")
        return sorted(self.result, key=lambda one: one.start)

    def _text(self, place: int) -> str:
        is_sign = place < len(self.tokens) and self.tokens[place].kind != "string"
        return self.tokens[place].text if is_sign else ""

    def _step(self, place: int) -> int:
        token, inner = self.tokens[place], self.brackets[-1] if self.brackets else None
        begins, self.begins = self.begins and not self.brackets, False
        if token.kind == "newline":
            self.begins = begins or not self.brackets
        elif token.kind == "string":
            self._read_string(token, inner)
        elif token.kind == "name":
            if self._text(place - 1) == "." and place:
                return place + 1
            if inner is not None and self._text(place + 1) == "=":
                inner.keyword = token.text
                return place + 2
            return self._read_chain(place, begins=begins)
        elif token.text in ("(", "[", "{"):
            # A list of columns as an argument.
            is_list = token.text == "[" and inner is not None and inner.takes_columns
            owner = inner.owner if inner is not None and is_list else None
            self._push(_Bracket(token.text, owner, None, frozenset({""} if is_list else ())))
        elif token.text in (")", "]", "}") and inner is not None:
            return self._close(place)
        elif token.text == "," and inner is not None:
            inner.argument, inner.keyword = inner.argument + 1, ""
        elif token.text in (";", ":") and inner is None:
            self.begins = True
        return place + 1

    def _push(self, bracket: _Bracket) -> None:
        bracket.first = len(self.result)
        self.brackets.append(bracket)

    def _close(self, place: int) -> int:
        bracket = self.brackets.pop()
        after = self._text(place + 1)
        is_end = place + 1 >= len(self.tokens)
        self._settle(bracket, "stores" if after == "=" else "unknown" if is_end else "reads")
        # Rows and groups of a frame have the same columns.
        if (bracket.is_grouping or bracket.sign == "[") and after == "[":
            self._push(_Bracket("[", bracket.owner))
            return place + 2
        return place + 1

    def _settle(self, bracket: _Bracket, use: Purpose) -> None:
        for number in range(bracket.first, len(self.result) if bracket.begins else 0):
            one = self.result[number]
            if one.kind == "column" and one.variable == (bracket.owner or ("",))[0]:
                self.result[number] = replace(one, use=use)

    def _read_string(self, token: _Piece, inner: _Bracket | None) -> None:
        for field in _FIELD.finditer(token.text) if "f" in token.marks else ():
            at = token.start + field.start(1)
            for one in accesses(field[1]):
                is_open = one.is_open and at + len(field[1]) == self.length
                start, end = one.start + at, one.end + at
                moved = replace(one, start=start, end=end, is_open=is_open, use="reads")
                self.result.append(moved)
        if inner is None or inner.owner is None or not {"f", "b"}.isdisjoint(token.marks):
            return
        if inner.takes_columns or inner.names == {""}:
            self._add(inner.owner, "column", token)

    def _add(self, owner: Owner, kind: Kind, token: _Piece | None, use: Purpose = "reads") -> None:
        token = token or _Piece("name", "", self.length, self.length)
        is_open = token.end == self.length and (token.is_open or token.kind == "name")
        start, end = token.start, token.end
        access = Access(*owner, kind, token.text, start, end, token.quote, is_open, use)
        self.result.append(access)

    def _read_chain(self, place: int, *, begins: bool) -> int:
        variable = self.tokens[place].text
        steps: tuple[Step, ...] = ()
        place += 1
        while variable not in _KEYWORDS:
            sign, after = self._text(place), place + 1
            token = self.tokens[after] if after < len(self.tokens) else None
            if sign == ".":
                if token is not None and token.kind != "name":
                    return after
                self._add((variable, steps), "attribute", token, self._use(after, begins=begins))
                if token is None:
                    return after
                steps, place = (*steps, ("attribute", token.text)), after + 1
            elif sign == "[" and token is not None and self._is_key(after):
                if token.marks.strip("ru"):
                    return after
                self._add((variable, steps), "key", token, self._use(after + 1, begins=begins))
                steps, place = (*steps, ("key", token.text)), after + 2
            elif sign in ("[", "("):
                self._open(sign, variable, steps, begins=begins)
                return after
            else:
                break
        return place

    def _is_key(self, place: int) -> bool:
        """Whether a string is the only content of a bracket."""
        is_end = place + 1 >= len(self.tokens) or self._text(place + 1) == "]"
        return self.tokens[place].kind == "string" and is_end

    def _use(self, last: int, *, begins: bool) -> Purpose:
        """Return the purpose of a chain of names, by the token that follows it."""
        if begins and last + 1 >= len(self.tokens):
            return "unknown"
        return "stores" if begins and self._text(last + 1) == "=" else "reads"

    def _open(self, sign: str, variable: str, steps: tuple[Step, ...], *, begins: bool) -> None:
        last = steps[-1][1] if steps and steps[-1][0] == "attribute" else ""
        if sign == "[" and last in _ROWS_AND_COLUMNS:
            self._push(_Bracket("[", (variable, steps[:-1]), 1, begins=begins))
        elif sign == "[":  # a list of columns may follow
            self._push(_Bracket("[", (variable, steps), 0, begins=begins))
        elif last in _BY:
            at, names = _BY[last]
            is_grouping = last == "groupby"
            self._push(_Bracket("(", (variable, steps[:-1]), at, frozenset(names), is_grouping))
        else:
            self._push(_Bracket(sign))


@lru_cache(maxsize=64)
def accesses(text: str) -> tuple[Access, ...]:
    """Return the attributes, keys and columns in code, in order."""
    return tuple(_AccessReader(text).read())


_NAME = re.compile(r"[^\W\d]\w*")
_BOUND = re.compile(
    r"(?m)^[ \t]*([\w, *]+?(?:\([\w, *]+\))?)[ \t]*(?:[-+*/%@&|^]|//|\*\*|<<|>>)?=(?!=)"
    r"|^[ \t]*([^\W\d]\w*)[ \t]*:|\b(\w+)[ \t]*:="
    r"|\bfor\b([^:=\n]*?)\bin\b|\blambda\b([^:\n]*)|\bdef\b([^\n]*)"
    r"|\b(?:as|import|class|global|del)\b([^:=(\n]*)"
)
_RESHAPED = re.compile(
    r"\b([^\W\d]\w*)(?:\[[^\]\n]*\])?\.(?:(?:insert|update|setdefault|pop|popitem|clear)\(|columns\s*=[^=]"
    r"|\w+\([^\n]*\binplace\s*=\s*True)"
)


def bound_names(text: str) -> frozenset[str]:
    """Return the names to which code may assign a value, keys or columns.

    Rather too many than too few.
    """
    bound = {name for parts in _BOUND.findall(text) for name in _NAME.findall(" ".join(parts))}
    return frozenset(bound.union(_RESHAPED.findall(text)))
