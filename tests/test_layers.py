"""Imports go one way: errors ← models ← engine ← what people import ← front doors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jupyter_llm

PACKAGE = Path(jupyter_llm.__file__).parent
LAYERS = (
    ("_version", "errors", "markdown"),
    ("models",),
    ("engine",),
    ("notebook",),
    (
        *("interpolation", "options", "status", "display", "tune_report", "tuning"),
        *("batch", "coding", "archive", "asking", "chat", "api", "commands", "context_report"),
        *("branches", "exchanges", "chat_turns", "widgets"),
        *("situation", "subject", "proposal", "fixing", "tasks", "docstrings"),
        *(
            "transcript",
            "history_report",
            "prompting",
            "widgets",
            "verification",
            "audit",
            "audit_report",
        ),
    ),
    ("magics", "cli"),
    ("__main__",),
    ("__init__",),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
# What is imported lazily inside functions counts too; only `if TYPE_CHECKING` does not.
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported_modules(path: Path) -> set[str]:
    class Collector(ast.NodeVisitor):
        def __init__(self) -> None:
            self.found: set[str] = set()

        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            self.found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            assert node.level == 0, "imports are absolute"
            self.found.add(node.module or "")

    collector = Collector()
    collector.visit(ast.parse(path.read_text(encoding="utf-8")))
    return collector.found


def name_of(path: Path) -> str:
    parts = ["jupyter_llm", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = RANK[room_of(name_of(path))]
    for module in imported_modules(path):
        if module.split(".")[0] == "jupyter_llm":
            assert RANK[room_of(module)] <= own, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_one_module_knows_llama_cpp(path: Path) -> None:
    knows = any(module.split(".")[0] == "llama_cpp" for module in imported_modules(path))
    assert knows == (name_of(path) == "jupyter_llm.engine.llama")


def test_no_module_has_the_name_of_a_public_object() -> None:
    modules = {path.stem for path in MODULES}
    assert not modules & {name for name in jupyter_llm.__all__ if name.islower()}
