"""Spells a schema out: in words for the model, or as a grammar if parts of it are quotes."""

from __future__ import annotations

import json
import re
from typing import Any

from jupyter_llm.ask.schemas import (
    FORM_WORDS,
    Schema,
    closed,
    label_of,
    options_in,
    refusal,
    resolved,
)
from jupyter_llm.engine.constraint import Grammar

_MAX_OPTIONS = 20  # that the description lists
_KINDS = {"integer": "whole number", "string": "text", "object": "{…}", "array": "[…]"}
_INNER = {"$ref", "anyOf", "oneOf", "properties", "patternProperties", "items", "prefixItems"}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "more than", "minLength": "letters from"}
_BOUNDS |= {"maximum": "to", "exclusiveMaximum": "less than", "maxLength": "letters up to"}
_BOUNDS |= {"minItems": "as many as", "maxItems": "up to"}
# As the engine writes JSON that is no part of another grammar.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_QUOTE = """start: {start}
QUOTE: PASSAGE & /(?s:.*\\w.*)/
PASSAGE: %regex {{"substring_chunks": {chunks}}}
"""


class _InWords:
    """Spells a schema in words, in the form of the answer."""

    def __init__(self, root: Schema) -> None:
        self.root = root

    def spelled(self, schema: Any, above: tuple[str, ...] = ()) -> str:
        """Spell a schema with its parts; `above` are the references that led to it."""
        schema = {} if schema is True else schema
        ref = schema.get("$ref", "")
        words = self.again(ref) if ref and ref in above else self.leaf(schema)
        return (words or self._inner(schema, (*above, ref))) + self.note(schema)

    def _inner(self, schema: Schema, above: tuple[str, ...]) -> str:
        if "$ref" in schema:
            return self.spelled(resolved(schema, self.root), above)
        ways = schema.get("anyOf", schema.get("oneOf"))
        if ways:
            return "(" + " | ".join(self.spelled(way, above) for way in ways) + ")"
        fields = schema.get("properties", {}).items()
        parts = [self.literal(f"{json.dumps(n)}: ") + self.spelled(p, above) for n, p in fields]
        free, brackets = schema.get("patternProperties", {}), "{}"
        for pattern, part in {**free, "": schema.get("additionalProperties")}.items():
            if isinstance(part, dict):
                name = self.spelled({"type": "string"} | ({"pattern": pattern} if pattern else {}))
                item = name + self.literal(": ") + self.spelled(part, above)
                parts.append(self.many(item, schema))
        if schema.get("type") == "array":
            brackets = "[]"
            parts = [self.spelled(part, above) for part in schema.get("prefixItems", ())]
            if isinstance(schema.get("items"), dict):
                parts.append(self.many(self.spelled(schema["items"], above), schema))
        first, last = map(self.literal, brackets)
        return first + self.literal(", ").join(parts) + last

    def leaf(self, schema: Schema) -> str:
        """Spell a schema without parts; "" if it has parts."""
        options = options_in(schema, self.root) or []
        words = [json.dumps(value, ensure_ascii=False) for _, value in options[:_MAX_OPTIONS]]
        for place, (label, value) in enumerate(options[: len(words)]):
            words[place] += f" for {label}" * (label != label_of(value))
        words += ["…"] * (len(options) > _MAX_OPTIONS)
        if words or schema.get("quote"):
            return " | ".join(words) or "words copied from the text"
        if _INNER & set(schema) or isinstance(schema.get("additionalProperties"), dict):
            return ""
        kinds = schema.get("type", "value")
        names = [_KINDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        return FORM_WORDS.get(schema.get("pattern", ""), schema.get("format")) or " | ".join(names)

    def again(self, ref: str) -> str:
        return f"{ref.rpartition('/')[2]} again"

    def note(self, schema: Schema) -> str:
        keys = [key for key in _BOUNDS if key in schema and "prefixItems" not in schema]
        bounds = " ".join(f"{_BOUNDS[key]} {schema[key]}" for key in keys)
        words = ", ".join(filter(None, [bounds, schema.get("description")]))
        return f" ({words})" if words else ""

    def literal(self, text: str) -> str:
        return text

    def many(self, item: str, _schema: Schema) -> str:
        return f"{item}, …"


class _Rules(_InWords):
    """Spells a schema as a Lark grammar, in which parts without quotes are JSON Schemas."""

    def leaf(self, schema: Schema) -> str:
        if schema.get("quote"):
            return r'"\"" QUOTE "\""'
        if re.search(r'"(quote|\$ref)": ', json.dumps(schema)):
            return ""
        return "%json " + json.dumps({**closed(schema), "x-guidance": _LAYOUT})

    def again(self, ref: str) -> str:
        raise refusal("." + ref.rpartition("/")[2], "it holds itself, and there is a Quote")

    def note(self, _schema: Schema) -> str:
        return ""

    def literal(self, text: str) -> str:
        return f" {json.dumps(text)} "

    def many(self, item: str, schema: Schema) -> str:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        counts = f"{max(least - 1, 0)},{'' if most is None else most - 1}"
        rest = f"({self.literal(', ')} {item}){{{counts}}}"
        return f"({item} {rest})" + ("" if least else "?")


def words_for(root: Schema) -> str:
    """Return the description of a schema for the model."""
    return _InWords(root).spelled(root)


def quoting(root: Schema, text: str) -> Grammar:
    """Return the grammar of a schema whose quotes are passages of a text."""
    is_alone = bool(root.get("quote"))
    chunks = re.findall(r"\w+|\s+|[^\w\s]", text)
    if not is_alone:
        chunks = [json.dumps(chunk, ensure_ascii=False)[1:-1] for chunk in chunks]
    start = "QUOTE" if is_alone else _Rules(root).spelled(root)
    return Grammar("lark", _QUOTE.format(start=start, chunks=json.dumps(chunks)))
