"""The bundle is the same wherever it is built, and loads and runs nothing but itself."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest
from support.node_tools import run_node
from support.paths import FRONT_END

NAMES = ("LICENSES.txt", "cell_page.js", "chat_panel.css", "chat_panel.js")
MOST_BYTES = 150_000  # as a server sends it

# Names of languages, and addresses in messages; nothing of them is ever loaded.
KNOWN_ADDRESSES = (
    "http://www.w3.org/",
    "https://github.com/highlightjs/highlight.js/",
)
REACHES_OUT = (
    r"\beval\(",
    r"\bFunction\(",
    r"\bimport\(",
    r"(?:^|[;}])import\s*[\w{*\"']",
    r"\b(?:require|importScripts)\(",
    r"(?<![\w.$])fetch\((?!\))",  # Temml has a method of that name, without arguments
    r"\b(?:XMLHttpRequest|WebSocket|EventSource|sendBeacon|SharedWorker|serviceWorker)\b",
    r"sourceMappingURL",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    run_node("build.mjs", folder)
    return folder


def test_two_folders_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a" / "deeper folder"
    shutil.copytree(FRONT_END, elsewhere, ignore=shutil.ignore_patterns("node_modules", "static"))
    (elsewhere / "node_modules").symlink_to(FRONT_END / "node_modules")
    run_node("build.mjs", "static", folder=elsewhere)
    assert sorted(path.name for path in bundle.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (bundle / name).read_bytes() == (elsewhere / "static" / name).read_bytes()


@pytest.mark.parametrize("name", ["cell_page.js", "chat_panel.js"])
def test_a_script_is_one_module_that_reaches_for_nothing(bundle: Path, name: str) -> None:
    source = (bundle / name).read_text("utf-8")
    assert re.search(r"export\{(?:[\w$]+ as \w+,)?[\w$]+ as default\};\s*$", source)
    for pattern in REACHES_OUT:
        assert re.findall(pattern, source, re.MULTILINE) == []


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_bundle_knows_no_address_to_load_from(bundle: Path, name: str) -> None:
    source = (bundle / name).read_text("utf-8")
    addresses = re.findall(r"(?:https?|wss?)://[\w.-]+[^\s\"'`)]*", source)
    assert [url for url in addresses if not url.startswith(KNOWN_ADDRESSES)] == []
    assert "url(" not in source
    assert "@import" not in source


def test_the_bundle_is_of_a_size_that_can_be_sent(bundle: Path) -> None:
    assert len(gzip.compress((bundle / "chat_panel.js").read_bytes())) < MOST_BYTES


def test_the_licence_of_each_library_goes_along(bundle: Path) -> None:
    notice = (bundle / "chat_panel.js").read_text("utf-8").splitlines()[0]
    licences = (bundle / "LICENSES.txt").read_text("utf-8")
    libraries = re.findall(r"([\w.@/-]+) (\d[\w.]*) \(", notice)
    assert {"dompurify", "highlight.js", "markdown-it", "temml"} <= {name for name, _ in libraries}
    for name, version in libraries:
        assert f"{name} {version} (" in licences
