# PYTHON_ARGCOMPLETE_OK: shells that complete commands by argcomplete look for this
"""The command `jupyter llm`: parse, call, print. Only what answers or measures loads llama.cpp."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from jupyter_llm._version import __version__
from jupyter_llm.errors import JupyterLLMError, OneLine
from jupyter_llm.frontends.cli import (  # noqa: F401  declared
    answers,
    environment,
    models,
    records,
    serving,
)
from jupyter_llm.frontends.cli.command import (
    INTERRUPTED,
    OK,
    TROUBLE,
    Run,
    add_commands,
    print_message,
)

_DESCRIPTION = """\
A local language model in the terminal, and what can be done with jupyter_llm outside a kernel.
Nothing is sent anywhere; only `pull` uses the network.
"""
_EPILOG = """\
examples:
  jupyter llm run "What is a context window?"
  cat report.txt | jupyter llm run "Summarise this in three sentences."
  jupyter llm chat --model qwen2.5
  jupyter llm doctor

exit codes:
  0    all went well
  1    what was looked at is not as it should be (audit, doctor, verify)
  2    the command was wrong, or could not be carried out; the last line says why
  130  interrupted with Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="jupyter llm",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jupyter_llm {__version__}")
    add_commands(parser)
    if "_ARGCOMPLETE" in os.environ:  # a shell requests completions
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(arguments)
    if sys.stdin is None:  # it was closed, as by `<&-`
        sys.stdin = io.StringIO()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # output and names may contain any character
            stream.reconfigure(errors="replace")
    try:
        run: Run = options.run
        return run(options)
    except BrokenPipeError:  # the reader closed the pipe, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except JupyterLLMError as error:
        print_message(options.command, str(error))
        return TROUBLE
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, OneLine) and getattr(interrupt, "completion", None) is None:
            print_message(options.command, str(interrupt))  # nothing was shown of it yet
        return INTERRUPTED
