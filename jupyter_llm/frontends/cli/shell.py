"""`jupyter llm lab` and `jupyter llm completion`: what JupyterLab and the shell know of us."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_llm.frontends.cli.command import OK, add_command, show_json

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.cli.command import Commands

_LAB = """\
Say whether this environment's JupyterLab has the extension of jupyter_llm, and in which version.
Where JupyterLab runs in another environment than the kernel, --install copies it there.
"""
_COMPLETION = """\
Print what lets a shell complete `jupyter llm`, and other commands of Jupyter, on Tab.

  bash        eval "$(jupyter llm completion bash)"     in ~/.bashrc
  zsh         eval "$(jupyter llm completion zsh)"      in ~/.zshrc, after compinit
  fish        jupyter llm completion fish | source      in ~/.config/fish/config.fish
"""
_SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
_PROGRAMS = ["jupyter", "jupyter-llm"]


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    lab = add_command(
        commands,
        "lab",
        _lab,
        summary="check or install the JupyterLab extension",
        description=_LAB,
    )
    lab.add_argument(
        "--install",
        metavar="PREFIX",
        help="copy the extension into the environment there (what `sys.prefix` is in its Python)",
    )
    completion = add_command(
        commands,
        "completion",
        _completion,
        summary="print what lets a shell complete these commands",
        description=_COMPLETION,
        json_help=None,
    )
    completion.add_argument("shell", choices=_SHELLS, help="the shell")


def _lab(options: argparse.Namespace) -> int:
    from jupyter_llm.frontends.installation import check, install

    found = check() if options.install is None else install(Path(options.install))
    if options.json:
        show_json({"found": found})
    else:
        print(found, flush=True)
    return OK


def _completion(options: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(_PROGRAMS, shell=options.shell), flush=True)
    return OK
