"""Where strings, brackets and statements begin and end."""

from __future__ import annotations

import io
import tokenize

import pytest
from support.programs import PROGRAMS

from jupyter_llm.notebook.code.layout import Scanner, indent_of, layout, statement_end


def scanned(source: str) -> Scanner:
    scanner = Scanner()
    for line in source.split("\n"):
        scanner.feed(line)
    return scanner


@pytest.mark.parametrize(
    ("source", "closers", "string", "unclosed_quote"),
    [
        ("f([{", [")", "]", "}"], "", ""),
        ("f([{}", [")", "]"], "", ""),
        ("f([']')  # [", [")", "]"], "", ""),
        ("f(\n'''\n[\n'''", [")"], "", ""),
        ("x = '''a", [], "'''", ""),
        ('x = """a\n\\"""', [], '"""', ""),
        ("x = 'a\\'", [], "", "'"),
        ("f('a\\\nb)", [")"], "", "'"),
        ("f('a\\\nb')", [], "", ""),
        ("f(]", [")"], "", ""),
        ("''", [], "", ""),
    ],
)
def test_a_scanner_tells_what_is_open(
    source: str, closers: list[str], string: str, unclosed_quote: str
) -> None:
    scanner = scanned(source)
    assert scanner.closers == closers
    assert scanner.string == string
    assert scanner.unclosed_quote == unclosed_quote


@pytest.mark.parametrize("program", PROGRAMS[:12])
def test_statements_of_real_programs_begin_where_python_sees_them(program: str) -> None:
    skipped = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
    starts, is_start = set(), True
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        if is_start and token.type not in {*skipped, tokenize.ENDMARKER}:
            starts.add(token.start[0] - 1)
            is_start = False
        is_start = is_start or token.type == tokenize.NEWLINE
    lines = layout(program)
    found = {index for index, line in enumerate(lines) if line.is_start and not line.is_blank}
    assert found == starts


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("x = 1\ny = 2", 1),
        ("x = [\n  1,\n]\ny", 3),
        ("x = [\n  1,\ny = 2", 2),
        ("x = [\n\n  1,\n\ny = 2", 3),
        ("x = '''\ny\n'''\nz", 3),
        ("x = 1 + \\\n  2\ny", 2),
        ("  x = (\n  1)\n  y", 1),
        ("", 1),
    ],
)
def test_a_statement_ends_before_what_is_not_indented_more(source: str, end: int) -> None:
    assert statement_end(source.split("\n"), 0)[0] == end


def test_tabs_are_as_wide_as_python_takes_them() -> None:
    assert [indent_of(line) for line in ("x", "  x", "\tx", "  \tx", "\t  x", "")] == [
        *(0, 2, 8, 8, 10, 0)
    ]
