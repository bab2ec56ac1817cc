"""`jupyter llm audit`: what in notebooks was written by a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jupyter_llm.frontends.cli.command import OK, TROUBLE, WRONG, add_command, say

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.cli.command import Commands

_AUDIT = """\
List what in notebooks was written by a model, by the records that jupyter_llm leaves in the
metadata of outputs and cells. Reads files only: no kernel is started, no model loaded.
"""
_EXIT_CODES = """\
A record is one of: recorded; edited since (the text or the code is another now); altered (the
record itself was edited); damaged; missing (a cell says it was generated, and nothing tells how).

exit codes:
  0  all was read
  1  with --fail-on-unlabelled: a record is missing, altered or damaged
  2  a notebook could not be read or written, or the command was wrong
"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    audit = add_command(
        commands,
        "audit",
        _audit,
        summary="list what in notebooks was written by a model",
        description=_AUDIT,
        epilog=_EXIT_CODES,
    )
    audit.add_argument(
        "notebooks",
        nargs="+",
        metavar="NOTEBOOK",
        help="files, patterns, or folders, of which all notebooks are read",
    )
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


def _audit(options: argparse.Namespace) -> int:
    from jupyter_llm.records.audit import audit_all

    report = audit_all(options.notebooks, is_labelling=options.label)
    text = json.dumps(report.to_json(), indent=1) if options.json else str(report)
    for error in report.errors:
        say("audit", error)
    if text:
        print(text, flush=True)
    if report.errors:
        return TROUBLE
    return WRONG if options.fail_on_unlabelled and report.num_unsound else OK
