"""The command `jupyter llm`: parse, call, print. Loads no model and no llama.cpp."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_llm._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OK, _UNLABELLED, _TROUBLE, _INTERRUPTED = 0, 1, 2, 130

_AUDIT = """\
List what in notebooks was written by a model, by the records that jupyter_llm leaves in the
metadata of outputs and cells. Reads files only: no kernel is started, no model loaded.
"""
_LAB = """\
Say whether this environment's JupyterLab has the extension of jupyter_llm, and in which version.
Where JupyterLab runs in another environment than the kernel, --install copies it there.
"""
_EXIT_CODES = """\
A record is one of: recorded; edited since (the text or the code is another now); altered (the
record itself was edited); damaged; missing (a cell says it was generated, and nothing tells how).

exit codes:
  0  all was read
  1  with --fail-on-unlabelled: a record is missing, altered or damaged
  2  a notebook could not be read or written, or the command was wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever names notebooks have, it must print
            stream.reconfigure(errors="replace")
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except BrokenPipeError:  # whoever reads has seen enough, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter llm", description="What can be done with jupyter_llm outside a kernel."
    )
    parser.add_argument("--version", action="version", version=f"jupyter_llm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    audit = commands.add_parser(
        "audit",
        help="list what in notebooks was written by a model",
        description=_AUDIT,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.set_defaults(run=_audit)
    audit.add_argument(
        "notebooks",
        nargs="+",
        metavar="NOTEBOOK",
        help="files, patterns, or folders, of which all notebooks are read",
    )
    audit.add_argument("--json", action="store_true", help="print JSON, for machines")
    audit.add_argument(
        "--fail-on-unlabelled",
        action="store_true",
        help="exit with 1 where a record is missing, altered or damaged",
    )
    audit.add_argument(
        "--label",
        action="store_true",
        help="write the records that are found into the metadata of the cells they are about",
    )
    lab = commands.add_parser(
        "lab",
        help="check or install the JupyterLab extension",
        description=_LAB,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lab.set_defaults(run=_lab)
    lab.add_argument(
        "--install",
        metavar="PREFIX",
        help="copy the extension into the environment there (what `sys.prefix` is in its Python)",
    )
    return parser


def _lab(options: argparse.Namespace) -> int:
    from jupyter_llm.errors import LabExtensionError
    from jupyter_llm.frontends.lab.installation import check, install

    try:
        found = check() if options.install is None else install(Path(options.install))
    except LabExtensionError as error:
        print(f"jupyter llm lab: {error}", file=sys.stderr)
        return _TROUBLE
    print(found, flush=True)
    return _OK


def _audit(options: argparse.Namespace) -> int:
    from jupyter_llm.records.audit_report import audit_all

    report = audit_all(options.notebooks, is_labelling=options.label)
    text = json.dumps(report.to_json(), indent=1) if options.json else str(report)
    for error in report.errors:
        print(f"jupyter llm audit: {error}", file=sys.stderr)
    if text:
        print(text, flush=True)
    if report.errors:
        return _TROUBLE
    return _UNLABELLED if options.fail_on_unlabelled and report.num_unsound else _OK
