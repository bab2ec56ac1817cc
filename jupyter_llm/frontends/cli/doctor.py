"""`jupyter llm doctor` and `jupyter llm help`: what is wrong here, and how things are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.frontends.cli.command import OK, WRONG, add_command, show, show_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from jupyter_llm.frontends.cli.command import Commands
    from jupyter_llm.frontends.doctor import Diagnosis

_DOCTOR = """\
Look at this installation and say what to do where something is wrong: llama.cpp and the features of
the processor it uses, GPU, memory, a model, the store of chats, the front end, the kernel.
"""
_EXIT_CODES = """\
exit codes:
  0  all is well; lines with a dot are remarks
  1  something is wrong, and the line says what to do
"""
_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


def add_to(commands: Commands) -> None:
    """Declare the command."""
    add_command(
        commands,
        "doctor",
        _doctor,
        summary="check the installation, and say what to do",
        description=_DOCTOR,
        epilog=_EXIT_CODES,
    )
    add_command(
        commands, "help", _help, summary="explain a topic, or list the topics", json_help=None
    ).add_argument("topic", nargs="?", metavar="TOPIC", help="without it, the topics are listed")


def _help(options: argparse.Namespace) -> int:
    from jupyter_llm.frontends.topics import topic, topic_table

    show(topic(options.topic) if options.topic else topic_table())
    return OK


def _doctor(options: argparse.Namespace) -> int:
    from jupyter_llm.frontends.doctor import diagnose

    diagnosis = diagnose()
    if options.json:
        show_json(diagnosis.to_json())
    else:
        show("\n".join(_lines(diagnosis)))
    return OK if diagnosis.is_healthy else WRONG


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    width = max(len(finding.what) for finding in diagnosis.findings)
    for finding in diagnosis.findings:
        yield f"{_MARKS[finding.state]}  {finding.what:{width}}  {finding.said}"
        if finding.advice:
            yield f"{'':{width + 7}}→ {finding.advice}"
    yield f"\n{diagnosis.summary}"
