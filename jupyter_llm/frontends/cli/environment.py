"""`jupyter llm doctor`, `lab`, `completion` and `help`: this environment."""

from __future__ import annotations

import argparse
from pathlib import Path

from jupyter_llm.frontends.cli.command import OK, WRONG, argument, command, print_result, show


@command()
def _doctor(options: argparse.Namespace) -> int:
    """Check the installation, and advise on faults.

    It checks llama.cpp and the GPU it uses, a model, the store of chats, the front end, the kernel,
    and whether code can be tried.

    exit codes:
      0  all is well; lines with `·` are remarks
      1  something is wrong, and the line says what to do
    """
    from jupyter_llm.frontends.doctor import diagnose

    diagnosis = diagnose()
    print_result(options, diagnosis.to_json(), diagnosis)
    return OK if diagnosis.is_healthy else WRONG


@command(
    argument(
        "--install",
        metavar="PREFIX",
        help="copy the extension into the environment there (what `sys.prefix` is in its Python)",
    )
)
def _lab(options: argparse.Namespace) -> int:
    """Check or install the JupyterLab extension.

    Without --install, the command reports whether this environment's JupyterLab has the extension,
    and its version. If JupyterLab runs in another environment than the kernel, --install copies the
    extension there.
    """
    from jupyter_llm.frontends.installation import check, install

    result = check() if options.install is None else install(Path(options.install))
    return print_result(options, {"found": result}, result)


@command(
    argument("shell", choices=("bash", "zsh", "fish", "tcsh", "powershell"), help="the shell"),
    json_help=None,
)
def _completion(options: argparse.Namespace) -> int:
    """Print the code that lets a shell complete these commands.

    Then these and other Jupyter commands complete on Tab.

      bash        eval "$(jupyter llm completion bash)"     in ~/.bashrc
      zsh         eval "$(jupyter llm completion zsh)"      in ~/.zshrc, after compinit
      fish        jupyter llm completion fish | source      in ~/.config/fish/config.fish
    """
    from argcomplete.shell_integration import shellcode

    print(shellcode(["jupyter", "jupyter-llm"], shell=options.shell), flush=True)
    return OK


@command(
    argument("topic", nargs="?", metavar="TOPIC", help="without it, the topics are listed"),
    json_help=None,
)
def _help(options: argparse.Namespace) -> int:
    """Explain a topic, or list the topics."""
    from jupyter_llm.frontends.topics import topic, topic_table

    table = topic_table().replace("/help", "jupyter llm help")
    show((topic(options.topic) if options.topic else table).replace("**", ""))
    return OK
