"""Twenty schemas of real use, each with a prompt that asks for such an object, and two enums."""

from __future__ import annotations

import enum
from typing import Any


class Tone(enum.Enum):
    """Texts."""

    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    """Numbers with an order."""

    LOW = 1
    HIGH = 2


STRING: dict[str, Any] = {"type": "string"}
TEXT: dict[str, Any] = {"type": "string", "maxLength": 120}
INTEGER: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
FLAG: dict[str, Any] = {"type": "boolean"}
DATE: dict[str, Any] = {"type": "string", "format": "date"}


def record(**fields: Any) -> dict[str, Any]:
    """The schema of an object that has all of these fields and no others."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def between(low: float, high: float) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def several(items: Any, most: int | None = None, least: int = 0) -> dict[str, Any]:
    limits = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": items, "minItems": least, **limits}


def one_of(*values: Any) -> dict[str, Any]:
    return {"enum": list(values)}


SCHEMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "person": (
        "Invent a person with a name, an age, a city and whether they are active.",
        record(name=STRING, age=between(0, 120), city=STRING, active=FLAG),
    ),
    "review": (
        "Review: 'The battery dies after an hour, but the screen is lovely.' Rate it.",
        record(tone=one_of("good", "bad", "mixed"), stars=between(1, 5), reason=TEXT),
    ),
    "invoice": (
        "Invoice 4711 of 3 March 2024: two chairs at 40 euros, one table at 120 euros.",
        record(
            number=STRING,
            date=DATE,
            items=several(record(what=STRING, count=INTEGER, price=NUMBER), 5),
            total=NUMBER,
        ),
    ),
    "recipe": (
        "Give a recipe for pancakes.",
        record(title=TEXT, minutes=INTEGER, ingredients=several(TEXT, 8), steps=several(TEXT, 6)),
    ),
    "entities": (
        "Marie Curie was born in Warsaw and worked in Paris. List people and places.",
        record(people=several(STRING, 6), places=several(STRING, 6)),
    ),
    "numbers": ("List the first ten prime numbers.", several(INTEGER, 12, 1)),
    "colours": (
        "Name the colours of the rainbow.",
        record(colours=several(one_of("red", "orange", "yellow", "green", "blue", "violet"), 7)),
    ),
    "event": (
        "We meet on 12 May 2025 at 14:30 in room B2 to talk about the budget.",
        record(
            title=TEXT,
            date=DATE,
            time={"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"},
            place={"anyOf": [TEXT, {"type": "null"}]},
        ),
    ),
    "ticket": (
        "Ticket: 'I cannot log in since the update, please hurry!'",
        record(
            category=one_of("login", "billing", "bug", "other"),
            urgency=one_of("low", "medium", "high"),
            summary=TEXT,
            is_angry=FLAG,
        ),
    ),
    "point": ("Where is Paris?", record(latitude=NUMBER, longitude=NUMBER)),
    "shapes": (
        "Draw a circle of radius 2 and a square of side 3.",
        several(
            {
                "anyOf": [
                    record(kind={"const": "circle"}, radius=NUMBER),
                    record(kind={"const": "square"}, side=NUMBER),
                ]
            },
            4,
            1,
        ),
    ),
    "tree": (
        "A folder 'src' with 'a.py' and a folder 'test' with 'b.py'.",
        {
            "$defs": {"node": record(name=TEXT, children=several({"$ref": "#/$defs/node"}, 3))},
            "$ref": "#/$defs/node",
        },
    ),
    "call": (
        "What will the weather be in Oslo tomorrow? Call the tool.",
        record(tool=one_of("weather", "search"), arguments=record(place=STRING, days=INTEGER)),
    ),
    "optional": (
        "Ada Lovelace, ada@example.org",
        {
            "type": "object",
            "properties": {"name": STRING, "email": STRING, "phone": STRING, "note": TEXT},
            "required": ["name"],
            "additionalProperties": False,
        },
    ),
    "counts": (
        "Count the fruits: three apples, two pears, one plum.",
        {"type": "object", "additionalProperties": INTEGER, "maxProperties": 6},
    ),
    "flags": ("Is it spam? 'You won! Click here.'", record(spam=FLAG, urgent=FLAG, link=FLAG)),
    "quiz": (
        "Write a question about the moon with four answers.",
        record(question=TEXT, answers=several(TEXT, 4, 4), correct=between(0, 3)),
    ),
    "table": (
        "A small table of three cities with their populations.",
        several(record(city=TEXT, population=INTEGER), 5, 1),
    ),
    "version": (
        "Python 3.11.4 was released in June 2023.",
        record(
            name=TEXT,
            version={"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$"},
            year=between(1990, 2030),
        ),
    ),
    "translation": (
        "Translate 'Good morning, how are you?' to German and French.",
        record(de=TEXT, fr=TEXT),
    ),
}
