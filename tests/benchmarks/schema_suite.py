"""How much of the JSON Schema test suite can be asked for, and whether what comes is right.

The suite lies in the sdist of jsonschema: `pip download jsonschema --no-deps --no-binary :all:`,
unpack it, then `python tests/benchmarks/schema_suite.py …/json/tests/draft2020-12`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from jupyter_llm.ask.schemas import label_of
from jupyter_llm.ask.shape import Shape, shape_of
from jupyter_llm.engine.completion import ShapeError
from jupyter_llm.engine.constraint import Grammar
from jupyter_llm.engine.local.masks.grammar import fits
from jupyter_llm.errors import OptionError


def judged(shape: Shape[Any], value: Any) -> tuple[bool, bool]:
    """Whether the engine could write a value, and whether it would then be taken."""
    constraint = shape.constraint
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not (
        isinstance(constraint, Grammar) and constraint.kind == "json"
    ):
        text = value
    if isinstance(constraint, Grammar):
        is_written = fits(constraint, text)
    elif constraint is None:
        is_written = isinstance(value, str)
    else:
        text = label_of(value) if isinstance(value, str | bool | None) else text
        is_written = text in shape.choices
    try:
        return is_written, same(shape.read(text), value)
    except ShapeError:
        return is_written, False


def same(one: object, other: object) -> bool:
    """Whether two values are the same in JSON, where True is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def main(folder: Path) -> None:
    """Print the counts of a folder of the suite."""
    told: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            cases = group["tests"]
            told["schemas"] += 1
            told["cases"] += len(cases)
            try:
                shape = shape_of(group["schema"])
            except OptionError as error:
                told["schemas refused"] += 1
                told["cases of refused schemas"] += len(cases)
                why[str(error).partition("model: ")[2].partition(". ")[0][:60]] += len(cases)
                continue
            for case in cases:
                is_written, is_taken = judged(shape, case["data"])
                if case["valid"]:
                    told["valid, taken" if is_written and is_taken else "valid, never written"] += 1
                elif is_written:
                    told["invalid, written"] += 1
                    told["invalid, written and taken"] += is_taken
                    if is_taken:
                        print("WRONG", path.name, group["description"], case["description"])
                else:
                    told["invalid, never written"] += 1
    for name, count in sorted(told.items()):
        print(f"{count:6} {name}")
    for name, count in why.most_common(12):
        print(f"{count:6} not asked for: {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
