"""`jupyter llm audit` and `verify`: the origin of texts in notebooks, and of model files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from jupyter_llm.frontends.cli.command import (
    OK,
    TROUBLE,
    WRONG,
    argument,
    command,
    model_argument,
    print_message,
    show,
    show_json,
)

_VERDICTS = {
    "sound": "{name} is undamaged: its SHA-256 is {digest}.",
    "unknown": "No SHA-256 was published with {name}. Its SHA-256 is {digest}.",
    "damaged": "{name} is damaged: its published SHA-256 is {promised}, its present one {digest}. "
    "Delete it, and download or install it again.",
}


@command(model_argument("model", help="a model's name or path, or a notebook"))
def _verify(options: argparse.Namespace) -> int:
    """Check a model file's SHA-256, or write a notebook's answers again.

    A model file is read whole, and its SHA-256 compared with the expected one: from its package, or
    from its name in the cache of the Hugging Face hub. For a notebook (.ipynb), the recorded
    answers are written again, to see which come out the same.

    exit codes:
      0  the file is the expected one, or no SHA-256 is known; all answers are the same
      1  the file differs; or an answer came out different
      2  it cannot be read
    """
    if options.model.endswith(".ipynb"):
        return _verify_notebook(options)
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.fingerprint import file_sha256, promised_sha256
    from jupyter_llm.models.inspect import inspect, parts_of

    results = []
    for path in parts_of(inspect(find_model(options.model).path).path):
        promised, digest = promised_sha256(path), file_sha256(path, is_read_anew=True)
        verdict = "unknown" if promised is None else "sound" if promised == digest else "damaged"
        results.append({"path": path, "verdict": verdict, "sha256": digest, "promised": promised})
        if not options.json:
            show(_VERDICTS[verdict].format(name=path.name, digest=digest, promised=promised))
    if options.json:
        show_json(results)
    return WRONG if any(one["verdict"] == "damaged" for one in results) else OK


def _verify_notebook(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm

    report = llm.verify(options.model)
    rows = [{**asdict(row), "is_altered": row.is_altered} for row in report.rows]
    if options.json:
        show_json({"summary": report.summary, "answers": rows})
    else:
        show(str(report))  # not as Markdown: the difference may be code with `**` in it
    is_wrong = report.num_different or any(row.is_altered for row in report.rows)
    return WRONG if is_wrong else OK


@command(
    argument("notebooks", nargs="+", metavar="NOTEBOOK", help="files, patterns, or folders"),
    argument(
        "--fail-on-unlabelled",
        action="store_true",
        help="exit with 1 where a record is missing, altered or damaged",
    ),
)
def _audit(options: argparse.Namespace) -> int:
    """List the texts in notebooks that a model wrote.

    The records that jupyter_llm leaves in the metadata of outputs and cells show them. Files are
    only read: no kernel is started, no model loaded. In a folder, all notebooks are read.

    A record is one of: recorded; edited since (the text or the code was changed); altered (the
    record itself was edited); damaged; missing (a cell states that it was generated, without a
    record).

    exit codes:
      0  all was read
      1  with --fail-on-unlabelled: a record is missing, altered or damaged
      2  a notebook could not be read, or the command was wrong
    """
    from jupyter_llm.records.audit import audit_all

    report = audit_all(options.notebooks)
    text = json.dumps(report.to_json(), indent=1) if options.json else str(report)
    for error in report.errors:
        print_message("audit", error)
    if text:
        print(text, flush=True)
    if report.errors:
        return TROUBLE
    return WRONG if options.fail_on_unlabelled and report.num_unsound else OK
