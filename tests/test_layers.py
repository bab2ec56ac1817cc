"""Imports go down the list of rooms only, those for types too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jupyter_llm

PACKAGE = Path(jupyter_llm.__file__).parent
# From the top down. Rooms on one line do not import each other.
ROOMS = (
    ("__main__",),
    ("__init__",),
    ("frontends.cli",),
    ("frontends.lab", "frontends.magics", "frontends.panel"),
    ("frontends.comm",),
    ("frontends.prompt",),
    ("frontends.doctor", "frontends.serve", "frontends.topics", "frontends.views"),
    ("frontends.installation", "frontends.mcp"),
    ("api",),
    ("tasks.completing",),
    ("tasks",),
    ("columns",),
    ("chat",),
    ("records",),
    ("ask",),
    ("notebook.sealed",),
    ("notebook.failures",),
    ("notebook.cells",),
    ("notebook.values",),
    ("notebook.code",),
    ("notebook",),
    ("engine.current",),
    ("engine.clusters", "engine.residents"),
    ("engine.choices", "engine.cluster"),
    ("engine.naming",),
    ("engine.local", "engine.remote"),
    ("engine.local.trials",),
    ("engine.local.kept", "engine.local.masks", "engine.local.text"),
    ("engine.local.native",),
    ("engine.local.sched",),
    ("engine",),
    ("models",),
    ("common",),
    ("errors",),
    ("_version",),
)
RANK = {room: -rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def name_of(path: Path) -> str:
    """A module's name below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str) -> str:
    """The deepest room of the list that a module lies in."""
    parts = module.split(".")
    rooms = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((room for room in rooms if room in RANK), "no room: " + module)


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            # `from a import b` may take the module a.b or what stands in a.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if is_module(name) else str(node.module) for name in inner)


def imports(path: Path) -> Iterator[str]:
    """Those of them that are ours, as if from the package's top."""
    for name in imported(path):
        head, _, rest = name.partition(".")
        if head == "jupyter_llm":
            yield rest or "__init__"


def is_module(name: str) -> bool:
    """Tell whether a dotted name is a module or a package of ours, and not a name in one."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_imports_point_down() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = name_of(path)
        for other in imports(path):
            ours, theirs = room_of(own), room_of(other)
            if ours != theirs and not (RANK.get(theirs, 1) < RANK.get(ours, 1)):
                found.append(f"{own} imports {other}")
    assert found == []


def test_no_files_import_each_other_in_a_circle() -> None:
    arrows = {name_of(path): set(imports(path)) for path in PACKAGE.rglob("*.py")}
    TopologicalSorter(arrows).prepare()  # which names a circle


def test_the_top_of_the_package_is_small() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 16


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("llama_cpp", "engine.local.native.llama"),
        ("llguidance", "engine.local.masks.grammar"),
        ("distributed", "engine.cluster.worker"),
        ("openai", "engine.remote.wire"),
    ],
)
def test_only_one_module_knows_a_library(library: str, module: str) -> None:
    paths = PACKAGE.rglob("*.py")
    knowing = [path for path in paths if any(n.startswith(library) for n in imported(path))]
    assert [name_of(path) for path in knowing] == [module]


def test_one_room_serves_mcp_and_one_module_calls_servers() -> None:
    knowing = {
        name if (name := name_of(path)) == "ask.mcp_servers" else room_of(name)
        for path in PACKAGE.rglob("*.py")
        if any(name.partition(".")[0] in ("mcp", "mcp_types") for name in imported(path))
    }
    assert knowing == {"frontends.mcp", "ask.mcp_servers"}


def test_one_module_above_the_engine_submits_requests() -> None:
    modules = {
        name_of(path)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "submit"
    }
    assert {name for name in modules if not name.startswith("engine.")} == {"ask.asking"}


def test_few_names_of_classes_have_two_meanings() -> None:
    modules: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, set()).add(name_of(path))
    assert len([name for name, places in modules.items() if len(places) > 1]) <= 5


def test_no_module_has_the_name_of_a_public_object() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert not modules & {name for name in jupyter_llm.__all__ if name.islower()}
