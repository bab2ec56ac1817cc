"""Sentences for docstrings, out of what a small model says where one was asked for."""

from __future__ import annotations

import re

_MARKS = " \t\n\"'`*#-:.,;"
_END = re.compile(r"[.!?](?=\s+[A-Z`]|\s*$)")
_LEAD = re.compile(r"(?:This|The) (?:function|method|class) (?=[a-z]+s\b)", re.IGNORECASE)
_CODE = re.compile(r"^(?:[\w.]+ = |def |class |import |from \w+ import |return\b(?! [a-z]+ )|>>>)")
_NOTHING = ("none", "todo", "null", "n/a", "parameters", "returns", "description", "args")
_TYPE = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w., |\[\]]+\])?(?: (?:of|or) [\w. ]+| \| [\w.]+)*")
_MAX_TYPE = 40  # characters
# What a verb ends with where somebody does it, and what it ends with in an order.
_BASES = (("ies$", "y"), ("(ss|sh|ch|x|z)es$", r"\1"), ("(?<![siua])s$", ""))


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
