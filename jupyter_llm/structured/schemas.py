"""The JSON Schema of what a model is to write: of a Python type, or as somebody wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaError

from jupyter_llm.errors import OptionError

if TYPE_CHECKING:
    from pydantic_core import core_schema as core

Schema = dict[str, Any]

_YEAR = r"([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = r"(([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][48]|[13579][26]|[2468]0)00)-02-29)"
# Every date there is, leap days too, so that none has to be refused once it is written.
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    rf"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP})"
)
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_WHOLE = r"^-?(0|[1-9][0-9]*)$"
DATE, TIME = f"^{_DATE}$", f"^{_TIME}$"
DATETIME, LOCAL, ZONED = (f"^{_DATE}T{_TIME}{zone}$" for zone in (_ZONE + "?", "", _ZONE))
DURATION = "^-?P([0-9]{1,5}D)?T[0-9]{1,3}H[0-9]{1,2}M[0-9]{1,2}S$"
UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SEVERAL = ("prefixItems", "anyOf", "oneOf", "allOf")
_SINGLE = ("items", "additionalProperties", "contains", "not", "if", "then", "else")
# What tells people something, and the engine nothing.
_TOLD = (
    *("title", "description", "default", "examples", "deprecated", "discriminator", "$comment"),
    *("readOnly", "writeOnly", "names"),
)
_NO_SCHEMA = "no schema"  # marks in its place what has none


class _Written(GenerateJsonSchema):
    """Schemas of whole values: fields with a default are written too, and dates are real ones."""

    ignored_warning_kinds = {  # noqa: RUF012 - as the base class has it
        "skipped-choice",
        "non-serializable-default",
        "skipped-discriminator",
    }

    def field_is_required(
        self,
        field: core.ModelField | core.DataclassField | core.TypedDictField,
        total: bool,  # noqa: FBT001
    ) -> bool:
        return field["type"] != "typed-dict-field" or bool(field.get("required", total))

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        return {_NO_SCHEMA: error_info}

    def named_tuple_schema(self, schema: Any) -> JsonSchemaValue:
        fields = {one["name"]: self.generate_inner(one["schema"]) for one in schema["fields"]}
        return {"type": "object", "properties": fields, "required": list(fields)}

    def enum_schema(self, schema: core.EnumSchema) -> JsonSchemaValue:
        """Values as Pydantic writes them, and the names beside those that say nothing."""
        made = super().enum_schema(schema)
        if not all(isinstance(value, str) for value in made["enum"]):
            made["names"] = [member.name for member in schema["members"]]
        return made

    def dict_schema(self, schema: core.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        if keys.get("type", "string") == "string" or "propertyNames" in made:
            return made
        if keys["type"] == "integer":
            return {"type": "object", "patternProperties": {_WHOLE: made["additionalProperties"]}}
        return {"type": "object", "propertyNames": keys}

    def decimal_schema(self, schema: core.DecimalSchema) -> JsonSchemaValue:
        """A number, since that is what bounds hold for."""
        number: Schema = super().decimal_schema(schema)["anyOf"][0]
        places, digits = schema.get("decimal_places"), schema.get("max_digits")
        if places is not None:
            number.setdefault("multipleOf", 10**-places)
        if digits is not None:
            most = 10 ** (digits - (places or 0)) - 10 ** -(places or 0)
            number = {"minimum": -most, "maximum": most, **number}
        return number

    def date_schema(self, schema: core.DateSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string", "pattern": DATE}

    def time_schema(self, schema: core.TimeSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string", "pattern": TIME}

    def datetime_schema(self, schema: core.DatetimeSchema) -> JsonSchemaValue:
        forms = {"aware": ZONED, "naive": LOCAL}
        form = forms.get(str(schema.get("tz_constraint")), DATETIME)
        return {"type": "string", "pattern": form}

    def timedelta_schema(self, schema: core.TimedeltaSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string", "pattern": DURATION}

    def uuid_schema(self, schema: core.UuidSchema) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "string", "pattern": UUID}


def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """What reads values of a type, or Pydantic's own reason why there is none, in one line."""
    if isinstance(kind, TypeAdapter):
        return kind
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, SchemaError, NameError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise OptionError(f"{kind!r} is no type that a model can answer in: {reason}.") from error


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """The schema of what a model is to write for a type: fields by their names in Python."""
    return adapter.json_schema(by_alias=False, schema_generator=_Written)


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema, or what it refers to within the whole one."""
    while isinstance(schema.get("$ref"), str):
        found: Any = root
        for step in schema["$ref"].lstrip("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {})
        if found is schema:
            break
        schema = found
    return schema


def parts(schema: Schema) -> Iterator[tuple[str, Any]]:
    """The schemas inside one, each with the step of a path that leads to what it describes."""
    for name, part in schema.get("properties", {}).items():
        yield f".{name}", part
    patterns = schema.get("patternProperties", {}).values()
    for part in (*patterns, *(schema.get(key) for key in _SINGLE)):
        if isinstance(part, dict):
            yield "[]", part
    for key in _SEVERAL:
        for number, part in enumerate(schema.get(key, ())):
            yield (f"[{number}]" if key == "prefixItems" else ""), part


def closed(schema: Any, *, keep: bool = False, is_whole: bool = True) -> Any:
    """A schema whose objects have the fields it names and no others, which might go on for ever.

    Without what only people read, unless they are to `keep` it.
    """
    if not isinstance(schema, dict):
        return schema
    made: Schema = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            made[key] = {name: closed(part, keep=keep) for name, part in value.items()}
        elif key in _SEVERAL and isinstance(value, list):
            is_inner = key == "prefixItems" or (key != "allOf" and "properties" not in schema)
            made[key] = [closed(part, keep=keep, is_whole=is_inner) for part in value]
        elif key in _SINGLE:
            made[key] = closed(value, keep=keep)
        elif keep or key not in _TOLD:
            made[key] = value
    is_open = made.get("additionalProperties", True) is True
    is_alone = not any(key in made for key in ("allOf", "anyOf", "oneOf", "$ref", "if"))
    if is_whole and is_open and is_alone and ("properties" in made or "patternProperties" in made):
        made["additionalProperties"] = False
    return made


def options_in(schema: Any, root: Schema) -> list[tuple[str, Any]] | None:
    """What a value may be where that is one of a few, each with its name, or None."""
    if not isinstance(schema, dict):
        return None
    schema = resolved(schema, root)
    if "const" in schema:
        return [(name_of(schema["const"]), schema["const"])]
    if "enum" in schema:
        names = schema.get("names") or map(name_of, schema["enum"])
        return list(zip(names, schema["enum"], strict=True))
    if schema.get("type") in ("boolean", "null"):
        values = [True, False] if schema["type"] == "boolean" else [None]
        return [(name_of(value), value) for value in values]
    found = [options_in(part, root) for part in schema.get("anyOf", schema.get("oneOf", ()))]
    if not found or None in found:
        return None
    return [option for options in found for option in options or ()]


def name_of(value: object) -> str:
    """How a model is to write one of a few values where nothing stands around it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
