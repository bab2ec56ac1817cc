"""JSON Schemas of answers: of a Python type, of a short form, or as somebody wrote them."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import Annotated, Any, Literal
from urllib.parse import unquote
from warnings import catch_warnings, simplefilter

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import from_json
from typing_extensions import TypedDict

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.engine.local.masks.grammar import problem_of
from jupyter_llm.errors import OptionError

Schema = dict[str, Any]

# Every date there is, leap days too, so that none has to be refused once it is written.
_YEAR = r"([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][48]|[13579][26]|[2468]0)00)-02-29"
_MONTHS = r"((0[13578]|1[02])-31|(0[13-9]|1[0-2])-(29|30)|(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))"
_DATE = f"({_YEAR}-{_MONTHS}|{_LEAP})"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
# What texts look like, by Pydantic's name for what they stand for, and the words for that.
_FORMS = {
    "date": (f"^{_DATE}$", "date as YYYY-MM-DD"),
    "time": (f"^{_TIME}$", "time as HH:MM:SS"),
    "datetime": (f"^{_DATE}T{_TIME}{_ZONE}?$", "time as YYYY-MM-DDTHH:MM:SS"),
    "datetimenaive": (f"^{_DATE}T{_TIME}$", "time as YYYY-MM-DDTHH:MM:SS"),
    "datetimeaware": (f"^{_DATE}T{_TIME}{_ZONE}$", "time as YYYY-MM-DDTHH:MM:SSZ"),
}
FORM_WORDS = dict(_FORMS.values())

_NAMED = ("$defs", "definitions")
_SEVERAL = ("prefixItems", "anyOf", "oneOf", "allOf")
_MIXED = {"anyOf", "oneOf", "allOf", "$ref", "if"}  # beside which fields are not all there are
_PLAIN = (str, int, float, type(None))  # what may be one of some values
_NO_KEYS = ("float", "decimal", "bool")  # of a dict, which has texts
_WHOLE_KEY = "^-?(0|[1-9][0-9]{0,17})$"
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_FORMATS |= {"uri"}  # a grammar knows these; only the validator looks at others
_MAX_REFS = 100
_SEARCH_S = 5.0  # for the field that makes a schema fail: each part is compiled for that
# Numbers end, which models do not see to: whole ones below this, others after these places.
_MOST, _STEP = 10**18, 1e-9
_NUMBER = r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,2})?"
_LIMITS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_NO_SCHEMA = "JSON has nothing"  # marks in its place what has no schema
_OPEN = "it does not describe what may be written"
# What to write instead, by words of the fault.
_INSTEAD = {
    "uniqueItems": "list[…]",
    "propertyNames": "a TypedDict or a class with these fields, or dict[str, …]",
    "regex": "a pattern without look-around",
    _NO_SCHEMA: "str, list[str] or a class with fields",
    _OPEN: "`name, age int`, a class with fields, or a JSON Schema with a type",
    "arbitrary_types_allowed": "a type, as list[str], or choices=[…]",
    "Unimplemented": "the schema without that, and check the value yourself",
}


_TYPES: dict[str, Any] = {"str": str, "text": str, "int": int, "float": float, "bool": bool}
_TYPES |= {"date": dt.date, "time": dt.time, "datetime": dt.datetime, "list": list[str]}
_FIELD = re.compile(r"(\w+)(?:\s+([^:]+?))?\s*(?::\s*(.*))?", re.DOTALL)


class _Written(GenerateJsonSchema):
    """Schemas of whole values: fields with a default are written too, and dates are real ones."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        kind, values = schema["type"], schema.get("expected", schema.get("members", ()))
        is_plain = all(isinstance(getattr(one, "value", one), _PLAIN) for one in values)
        if kind in ("complex", "json", "generator") or not is_plain:
            return self.handle_invalid_for_json_schema(schema, kind)
        made = super().generate_inner(schema)
        form = _FORMS.get(kind + str(schema.get("tz_constraint", "")))
        if form and "format" in made:
            made = {"type": "string", "pattern": form[0]}
        elif kind == "decimal":  # a number, since that is what bounds hold for
            made = made["anyOf"][0]
            if schema.get("decimal_places") is not None:
                made["multipleOf"] = 10 ** -schema["decimal_places"]
        elif kind == "literal":
            made["labels"] = [*map(label_of, values)]
        elif kind == "dict" and schema.get("keys_schema", {}).get("type") in _NO_KEYS:
            made["propertyNames"] = {}
        elif kind == "dict" and schema.get("keys_schema", {}).get("type") == "int":
            made["patternProperties"] = {_WHOLE_KEY: made.pop("additionalProperties", True)}
        return made

    def enum_schema(self, schema: Any) -> JsonSchemaValue:
        """Add the labels of the members to the values."""
        return {**super().enum_schema(schema), "labels": [*map(label_of, schema["members"])]}

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001
        return field["type"] != "typed-dict-field" or bool(field.get("required", total))

    def field_is_present(self, field: Any) -> bool:
        return bool(field.get("init", True)) and super().field_is_present(field)

    def handle_invalid_for_json_schema(self, _schema: Any, error_info: str) -> JsonSchemaValue:
        kind = re.sub(r"core_schema\.|Schema", "", error_info)
        return {_NO_SCHEMA: f"{_NO_SCHEMA} for {kind}"}

    def named_tuple_schema(self, schema: Any) -> JsonSchemaValue:
        fields = {one["name"]: self.generate_inner(one["schema"]) for one in schema["fields"]}
        return {"type": "object", "properties": fields, "required": list(fields)}


def refusal(path: str, why: str) -> OptionError:
    """Return the error for a shape that cannot be enforced: the field, why, and what to write."""
    name = path if path.isidentifier() else "This shape"
    place = f"The field {path.lstrip('.')}" if "." in path else name
    instead = (f" Write instead: {words}." for sign, words in _INSTEAD.items() if sign in why)
    return OptionError(f"{place} cannot be asked of a model: {why}.{next(instead, '')}")


def of_type(kind: Any) -> tuple[Schema, Callable[..., Any]]:
    """Return the schema of a type, with Python's names of fields, and a reader of its values."""
    if inspect.isroutine(kind):  # which Pydantic would call
        raise refusal("", f"{kind!r} is a function, no type")
    try:
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        adapter.rebuild(raise_errors=True)
        root = adapter.json_schema(by_alias=False, schema_generator=_Written)
    except Exception as error:  # in annotations there may be anything
        if isinstance(error, PydanticUserError):
            check(_lenient(kind))
        lines = str(error).strip().splitlines()
        path = "".join(f".{name}" for name in re.findall(r"Field ['\"]([^'\"]+)", str(error)))
        raise refusal(path, lines[-1 if path else 0].rstrip(".")) from error

    def read(text: str, prompt: str | None = None) -> Any:
        return adapter.validate_json(text, by_alias=False, by_name=True, context=prompt)

    return root, read


def _lenient(kind: Any) -> Schema:
    """Return the schema of a type in which a part has no schema; that part is marked."""
    made: Schema = {"items": {"type": "null"}}
    with suppress(PydanticUserError, TypeError, ValueError, UserWarning), catch_warnings():
        simplefilter("error")
        adapter = TypeAdapter(list[kind], config=ConfigDict(arbitrary_types_allowed=True))
        made = adapter.json_schema(schema_generator=_Written)
    return {"$defs": made.get("$defs", {}), **made["items"]}


def of_json_schema(written: Any) -> tuple[Schema, Callable[..., Any]]:
    """Return a checked JSON Schema, and a reader of its values as plain Python."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError as NoSchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        root = from_json(written) if isinstance(written, str) else dict(written)
        kind = validator_for(root, Draft202012Validator)
        kind.check_schema(root)
    except (NoSchemaError, ValueError) as error:
        why = getattr(error, "message", f"it is no JSON ({error})")
        raise refusal(getattr(error, "json_path", "").lstrip("$"), why) from error
    if not set(kind.VALIDATORS) & set(root):
        raise refusal("", _OPEN)
    whole = _merged(root, root)
    validator = kind(root, registry=Registry())  # which fetches nothing

    def read(text: str) -> Any:
        value = from_json(text, allow_inf_nan=False)
        for error in validator.iter_errors(value):
            raise ValueError(f"{error.json_path.lstrip('$.')}: {error.message}".lstrip(": "))
        return value

    return whole, read


def _merged(schema: Any, root: Schema) -> Any:
    """Merge the objects of `allOf` into one: each by itself would allow no other fields."""
    if isinstance(schema, list):
        return [_merged(part, root) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _merged(value, root) for key, value in schema.items()}
    several = (part for part in made.get("allOf", ()) if isinstance(part, dict))  # no True
    parts = [made, *(resolved(part, root) for part in several)]
    if len(parts) == 1 or not all({"properties", "required"} & {*part} for part in parts[1:]):
        return made
    fields = {name: one for part in parts for name, one in part.get("properties", {}).items()}
    needed = dict.fromkeys(name for part in parts for name in part.get("required", ()))
    del made["allOf"]
    return {**made, "type": "object", "properties": fields, "required": [*needed]}


def check(root: Schema) -> None:
    """Refuse a schema that cannot be enforced, and name the innermost field that is the reason."""
    until_s, whole = monotonic() + _SEARCH_S, problem_of(json_grammar(root))
    named: Schema = {key: root[key] for key in _NAMED if key in root}
    for path, part in _parts(root, ""):
        if whole and monotonic() > until_s:
            raise refusal("", whole)
        if part is False:
            raise refusal(path, "no value is allowed there")
        schema: Schema = {} if part is True else part
        why = schema.get(_NO_SCHEMA, "")
        if whole and not why:
            why = problem_of(json_grammar({**named, **schema})) if path else whole
        if why:
            raise refusal(path, why)


def json_grammar(root: Schema) -> Grammar:
    """Return the grammar of JSON that has a schema."""
    if root.get("type") == "number" and set(root) <= {"type", "title", "description"}:
        return Grammar("regex", _NUMBER)  # nothing stands behind it, so it would go on
    return Grammar("json", json.dumps(closed(root), ensure_ascii=False))


def closed(schema: Any) -> Any:
    """Limit a schema to values that end: bounded digits, and no fields but the named ones."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict) or ("properties" in schema and _MIXED & set(schema)):
        return schema
    # A value of `oneOf` is one of `anyOf`; that it is of no other the validator sees.
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("oneOf"), list) and "anyOf" not in made:
        made["anyOf"] = made.pop("oneOf")
        made.pop("discriminator", None)  # with which a part may not hold itself
    if isinstance(form := made.get("format"), str) and form not in _FORMATS:
        del made["format"]
    is_object = made.get("type") == "object" and {"properties", "patternProperties"} & set(made)
    if is_object and made.get("additionalProperties", True) is True:
        made["additionalProperties"] = False
    if "integer" in made.get("type", ()) and not {"const", "enum"} & set(made):
        return {"minimum": -_MOST, "maximum": _MOST, **made}
    return {"multipleOf": _STEP, **made} if _LIMITS & set(made) else made


def resolved(schema: Schema, root: Schema) -> Schema:
    """Follow the references of a schema within the whole one; {} for a reference elsewhere."""
    for _ in range(_MAX_REFS):
        if "$ref" not in schema:
            return schema
        start, *steps = unquote(schema["$ref"]).split("/")
        found: Any = root if start == "#" else {}
        for step in steps:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found.get(key, {})
        schema = found if isinstance(found, dict) else {}
    return {}


def _parts(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the schemas in a schema, inner ones first, with the paths of their fields."""
    if isinstance(schema, dict):
        steps = [item for key in _NAMED for item in schema.get(key, {}).items()]
        steps += [(f".{name}", part) for name, part in schema.get("properties", {}).items()]
        free = [*schema.get("patternProperties", {}).values()]
        free += [schema.get("items"), schema.get("additionalProperties")]
        steps += [("[]", part) for part in free if isinstance(part, dict)]
        for key in _SEVERAL:
            for number, part in enumerate(schema.get(key, ())):
                steps.append((f"[{number}]" if key == "prefixItems" else "", part))
        for step, part in steps:
            yield from _parts(part, path + step)
    yield path, schema


def options_in(schema: Any, root: Schema) -> list[tuple[str, Any]] | None:
    """Return the labels and values of a choice; None if the schema is no choice."""
    schema = resolved(schema, root) if isinstance(schema, dict) else {}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if schema.get("type") in ("boolean", "null") and values is None:
        values = [True, False] if schema["type"] == "boolean" else [None]
    if values is not None:
        if not all(isinstance(value, _PLAIN) for value in values):
            return None
        return list(zip(schema.get("labels") or map(label_of, values), values, strict=True))
    found = [options_in(part, root) for part in schema.get("anyOf", schema.get("oneOf", ()))]
    if not found or None in found:
        return None
    return [option for options in found for option in options or ()]


def kinds_in(schema: Any, root: Schema) -> set[str]:
    """Return the JSON types that a value may have."""
    schema = resolved(schema, root) if isinstance(schema, dict) else {}
    kinds = schema.get("type", ())
    ways = schema.get("anyOf", schema.get("oneOf", ()))
    return {kinds} if isinstance(kinds, str) else {*kinds}.union(*(kinds_in(w, root) for w in ways))


def label_of(value: object) -> str:
    """Return the text that a model writes for a value of a choice."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    words = {True: "Yes", False: "No", None: "None"}  # the likeliest spelling
    return words[value] if value is None or isinstance(value, bool) else str(value)


def type_of(text: str) -> Any:
    """Return the type of dicts for a short form: fields in lines, or between commas.

    A field is a name, a type unless that is `str`, and after a colon a description.
    """
    fields: dict[str, Any] = {}
    pieces = text.split("\n" if "\n" in text.strip() else ",")
    for piece in [*filter(str.strip, pieces)] or [text]:
        found = _FIELD.fullmatch(piece.strip())
        if found is None or found[1] in fields or found[1] in _TYPES:
            why = "the name of a type" if found and found[1] in _TYPES else "no new field"
            hint = "Write fields as `name`, `age int`, `tone good|bad` or `bio: one sentence`."
            raise OptionError(f"{piece.strip()!r} is {why}. {hint}")
        name, written, description = found.groups()
        fields[name] = Annotated[_kind(written or "str"), Field(description=description)]
    return TypedDict("Answer", fields)  # type: ignore[operator]


def _kind(written: str) -> Any:
    if written.endswith("?"):
        return _kind(written[:-1]) | None
    items = re.fullmatch(r"list\[(.+)\]", written)
    if items:
        return list[_kind(items[1])]  # type: ignore[misc]
    if "|" in written:
        return Literal[tuple(part.strip() for part in written.split("|"))]
    if written not in _TYPES:
        hint = nearest(written, list(_TYPES), f"There are {', '.join(_TYPES)}, list[int], a|b|c.")
        raise OptionError(f"The short form of a shape has no type {written!r}. {hint}")
    return _TYPES[written]
