"""`jupyter llm pull` and `jupyter llm remove`: models from the Hugging Face hub, and away again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from jupyter_llm.errors import LicenceError
from jupyter_llm.frontends.cli.command import (
    OK,
    TROUBLE,
    add_command,
    add_model,
    agrees,
    say,
    show,
    show_json,
)

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.cli.command import Commands

_PULL = """\
Download a model from the Hugging Face hub, or go on where a download was interrupted. Without a
name, list what suits this machine, best first.

  jupyter llm pull                      what suits this machine
  jupyter llm pull NAME                 a model of that list
  jupyter llm pull owner/repo:Q4_K_M    any GGUF model of the hub
"""
_REMOVE = """\
Delete a model's file. Only what lies in the cache of the Hugging Face hub, or in the models folder
of jupyter_llm, is deleted; the hub's cache keeps and deletes the files of a revision together.
"""


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    pull = add_command(
        commands,
        "pull",
        _pull,
        summary="download a model from the Hugging Face hub",
        description=_PULL,
    )
    pull.add_argument("name", nargs="?", metavar="NAME", help="a model of the list or of the hub")
    pull.add_argument(
        "--accept-licence", action="store_true", help="accept a licence with conditions, once"
    )
    remove = add_command(
        commands, "remove", _remove, summary="delete a model's file", description=_REMOVE
    )
    add_model(remove, "model")
    remove.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _pull(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm

    if options.name is None:
        return _suggest(options)
    try:
        pulled = llm.pull(options.name, accept_licence=options.accept_licence)
    except LicenceError as error:
        if options.json or not error.text:
            raise
        show(error.text)
        if not agrees(f"Do you accept this licence ({error.licence})?"):
            raise
        pulled = llm.pull(options.name, accept_licence=True)
    if options.json:
        show_json(asdict(pulled))
    else:
        show(str(pulled).replace("**", ""))
    return OK


def _suggest(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import COMMANDS, Call, suggestions

    if options.json:
        show_json([asdict(suggestion) for suggestion in suggestions()])
    else:
        show(str(COMMANDS["pull"].run(Call(llm=llm, chat=llm.chat()))))
    return OK


def _remove(options: argparse.Namespace) -> int:
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.models.discover import find_model, list_models
    from jupyter_llm.models.removal import removal

    entry = find_model(options.model)
    is_exact = options.model.lower().removesuffix(".gguf") in entry.names or entry.source == "path"
    if options.yes and not is_exact:
        say("remove", f"Nothing was deleted. --yes needs the whole name, as {entry.name}.")
        return TROUBLE
    if options.yes and entry.source != "path":
        for other in list_models():
            if other.path != entry.path and not set(other.names).isdisjoint(entry.names):
                say(
                    "remove",
                    f"Nothing was deleted. {entry.path} and {other.path} have one name: "
                    "with --yes, give the path.",
                )
                return TROUBLE
    found = removal(entry)
    size = human_size(found.size_bytes)
    listed = "\n".join(map(str, found.paths))
    if not options.yes and not agrees(f"{listed}\nDelete this, {size}?"):
        say("remove", "Nothing was deleted. --yes deletes without a question.")
        return TROUBLE
    found.carry_out()
    if options.json:
        show_json({"deleted": found.paths, "freed_bytes": found.size_bytes})
    else:
        show(f"Deleted, {size}:\n{listed}")
    return OK
