"""`jupyter llm models`, `pull` and the like: models on this machine and on their way."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import LicenceError
from jupyter_llm.frontends.cli.command import (
    OK,
    TROUBLE,
    agrees,
    argument,
    command,
    model_argument,
    say,
    show,
    show_json,
    tell,
)

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.prompt.model_list import ListedModel


def _in_notebook(name: str, typed: str = "") -> str:
    """What a command of notebooks answers."""
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import COMMANDS, Call

    return str(COMMANDS[name].run(Call(llm=llm, chat=llm.chat(), argument=typed)))


@command()
def _models(options: argparse.Namespace) -> int:
    """List the models that can be loaded now."""
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.model_list import listed_models

    if options.json:
        show_json([_as_json(model) for model in listed_models(llm)])
    else:
        show(_in_notebook("models"))
    return OK


def _as_json(model: ListedModel) -> dict[str, Any]:
    return {
        **asdict(model.file),
        "name": model.entry.name,
        "aliases": model.entry.aliases,
        "source": model.entry.source,
        "license": model.file.license or "",
        "fits": model.fits,
        "needs_bytes": model.needs_bytes,
        "promised_bytes": model.promised_bytes,
        "free_bytes": model.free_bytes,
    }


@command(
    model_argument("words", nargs="*", metavar="WORD", help="NAME MODEL OPTION=VALUE"),
    argument("--remove", action="store_true", help="take the name back"),
)
def _alias(options: argparse.Namespace) -> int:
    """Give a model another name, or list the names.

    They hold on this machine and for notebooks too, with options to load a model with.

      jupyter llm alias                                    the names there are
      jupyter llm alias coder qwen2.5-coder-0.5b           `--model coder` means that model
      jupyter llm alias long qwen2.5-coder-0.5b n_ctx=32768
      jupyter llm alias default coder                      what is used where none is named
      jupyter llm alias coder --remove
    """
    from jupyter_llm.api import llm

    words = [*options.words, *(["--remove"] if options.remove else [])]
    said = _in_notebook("alias", " ".join(words))
    return tell(options, {name: asdict(alias) for name, alias in llm.aliases.items()}, said)


@command(json_help=None)
def _allow(_options: argparse.Namespace) -> int:
    """Let the nearest pyproject.toml name a server.

    What is then asked here, and in notebooks beside or below that file, is sent to that server.
    """
    show(_in_notebook("use", "--allow"))
    return OK


@command(
    argument("name", nargs="?", metavar="NAME", help="a model of the list or of the hub"),
    argument("--accept-licence", action="store_true", help="accept a licence, once"),
)
def _pull(options: argparse.Namespace) -> int:
    """Download a model from the Hugging Face hub.

    A download that was interrupted is gone on with. Without a name, what suits this machine is
    listed, best first.

      jupyter llm pull                      what suits this machine
      jupyter llm pull NAME                 a model of that list
      jupyter llm pull owner/repo:Q4_K_M    any GGUF model of the hub
    """
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import suggestions

    if options.name is None:
        return tell(options, [asdict(one) for one in suggestions()], _in_notebook("pull"))
    try:
        pulled = llm.pull(options.name, accept_licence=options.accept_licence)
    except LicenceError as error:
        if error.text and not options.json:
            show(error.text)
        raise
    return tell(options, asdict(pulled), pulled)


@command(
    model_argument("model"),
    argument("-y", "--yes", action="store_true", help="do not ask"),
)
def _remove(options: argparse.Namespace) -> int:
    """Delete a model's file.

    Only what lies in the cache of the Hugging Face hub, or in the models folder of jupyter_llm, is
    deleted.
    """
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.removal import removal

    entry = find_model(options.model)
    found = removal(entry)
    listed = f"{human_size(found.size_bytes)}:\n" + "\n".join(map(str, found.paths))
    is_whole = entry.source == "path" or options.model.lower().removesuffix(".gguf") in entry.names
    refusal = "" if is_whole else f"With --yes, give the whole name: {entry.name}."
    if not options.yes:
        is_agreed = agrees(f"Delete this, {listed}\n?")
        refusal = "" if is_agreed else "--yes deletes without a question."
    if refusal:
        say("remove", f"Nothing was deleted. {refusal}")
        return TROUBLE
    found.carry_out()
    value = {"deleted": found.paths, "freed_bytes": found.size_bytes}
    return tell(options, value, f"Deleted, {listed}")


@command(argument("-y", "--yes", action="store_true", help="do not ask"))
def _clean(options: argparse.Namespace) -> int:
    """Delete what jupyter_llm keeps of this user: chats, records, names, measurements, read states.

    No model is deleted (`jupyter llm remove` does that), nor anything in notebooks. While a kernel
    has a model loaded, nothing is deleted.
    """
    from jupyter_llm.common.database import store
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.engine.local.kept.checkpoint import checkpoint_folder
    from jupyter_llm.models.neighbours import neighbours
    from jupyter_llm.models.removal import Removal

    found = {
        path: sum(one.lstat().st_size for one in path.rglob("*") if not one.is_dir())
        for path in (store().path.parent, checkpoint_folder())
        if path.is_dir() and not path.is_symlink()
    }
    if found and (users := {str(one.pid) for one in neighbours()}):
        pids = ", ".join(sorted(users))
        say(
            "clean",
            f"Nothing was deleted: kernels have models loaded (process {pids}). Stop them first.",
        )
        return TROUBLE
    listed = "".join(f"\n{path} ({human_size(size)})" for path, size in found.items())
    if found and not (options.yes or agrees(f"Delete chats, settings and states in{listed}\n?")):
        say("clean", "Nothing was deleted. --yes deletes without a question.")
        return TROUBLE
    Removal(tuple(found), sum(found.values())).carry_out()
    value = {"deleted": list(found), "freed_bytes": sum(found.values())}
    return tell(options, value, f"Deleted:{listed}" if found else "There is nothing to delete.")
