"""Imports go down the list of rooms only, those for types too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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
    ("frontends.doctor", "frontends.topics", "frontends.views"),
    ("frontends.installation",),
    ("api",),
    ("tasks.completing",),
    ("tasks",),
    ("chat",),
    ("records",),
    ("notebook.sealed",),
    ("notebook.failures",),
    ("notebook.cells",),
    ("notebook.values",),
    ("notebook.code",),
    ("notebook",),
    ("engine.current",),
    ("engine.local",),
    ("engine",),
    ("models",),
    ("common",),
    ("errors",),
    ("_version",),
)
RANK = {room: -rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def name_of(path: Path, package: Path) -> str:
    """A module's name below the package."""
    parts = path.relative_to(package).with_suffix("").parts
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


def wrong_imports(package: Path) -> list[str]:
    """What imports up or sideways, one sentence each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        own = name_of(path, package)
        for other in imports(path):
            ours, theirs = room_of(own), room_of(other)
            if ours != theirs and not (RANK.get(theirs, 1) < RANK.get(ours, 1)):
                found.append(f"{own} imports {other}")
    return found


def circles(package: Path) -> list[set[str]]:
    """The sets of files that import each other, directly or through others."""
    arrows = {name_of(path, package): set(imports(path)) for path in package.rglob("*.py")}
    reached = {name: {name} for name in arrows}
    for start, seen in reached.items():
        waiting = list(arrows[start])
        while waiting:
            name = waiting.pop()
            if name in arrows and name not in seen:
                seen.add(name)
                waiting.extend(arrows[name])
    found = []
    for name, seen in reached.items():
        circle = {other for other in seen if name in reached[other]}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def test_imports_point_down() -> None:
    assert wrong_imports(PACKAGE) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("chat/turns.py", "from jupyter_llm.frontends.panel.panel import ChatPanel"),
        ("errors.py", "if TYPE_CHECKING:\n    from jupyter_llm.engine.base import Completion"),
        ("frontends/magics/magics.py", "import jupyter_llm.frontends.panel"),
        ("engine/stream.py", "def later():\n    from jupyter_llm import llm"),
    ],
    ids=["up", "a type only", "sideways", "inside a function"],
)
def test_an_import_that_does_not_point_down_is_found(path: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(line + "\n", encoding="utf-8")
    (found,) = wrong_imports(tmp_path)
    assert found.startswith(path.removesuffix(".py").replace("/", "."))


def test_a_circle_is_found(tmp_path: Path) -> None:
    for own, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        (tmp_path / f"{own}.py").write_text(f"import jupyter_llm.{other}\n", encoding="utf-8")
    assert circles(tmp_path) == [{"a", "b", "c"}]


def test_the_top_of_the_package_is_small() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 14


def test_only_one_module_knows_llama_cpp() -> None:
    paths = PACKAGE.rglob("*.py")
    knowing = [path for path in paths if any(n.startswith("llama_cpp") for n in imported(path))]
    assert [name_of(path, PACKAGE) for path in knowing] == ["engine.local.llama"]


def test_no_module_has_the_name_of_a_public_object() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert not modules & {name for name in jupyter_llm.__all__ if name.islower()}
