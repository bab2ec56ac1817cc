"""`jupyter llm models`, `pull` and the like: models on this machine, and downloads."""

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
    print_message,
    print_result,
    show,
    show_json,
)

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.prompt.model_list import ListedModel


def _in_notebook(name: str, typed: str = "") -> str:
    """Return the result of a notebook's command."""
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

    The names are valid on this machine, also in notebooks, and include load options.

      jupyter llm alias                                    list the names
      jupyter llm alias coder qwen2.5-coder-0.5b           `--model coder` is that model
      jupyter llm alias long qwen2.5-coder-0.5b n_ctx=32768
      jupyter llm alias default coder                      the model if none is named
      jupyter llm alias coder --remove
    """
    from jupyter_llm.api import llm

    words = [*options.words, *(["--remove"] if options.remove else [])]
    result = _in_notebook("alias", " ".join(words))
    return print_result(
        options, {name: asdict(alias) for name, alias in llm.aliases.items()}, result
    )


@command(json_help=None)
def _allow(_options: argparse.Namespace) -> int:
    """Allow the server that the nearest pyproject.toml names.

    Prompts here, and in notebooks beside or below that file, are then sent to that server.
    """
    show(_in_notebook("use", "--allow"))
    return OK


@command(
    argument("name", nargs="?", metavar="NAME", help="a model of the list or of the hub"),
    argument("--accept-licence", action="store_true", help="accept a licence, once"),
)
def _pull(options: argparse.Namespace) -> int:
    """Download a model from the Hugging Face hub.

    An interrupted download is continued. Without a name, the models that suit this machine are
    listed, best first.

      jupyter llm pull                      models that suit this machine
      jupyter llm pull NAME                 a model of that list
      jupyter llm pull owner/repo:Q4_K_M    any GGUF model of the hub
    """
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import suggestions

    if options.name is None:
        return print_result(options, [asdict(one) for one in suggestions()], _in_notebook("pull"))
    try:
        pulled = llm.pull(options.name, accept_licence=options.accept_licence)
    except LicenceError as error:
        if error.text and not options.json:
            show(error.text)
        raise
    return print_result(options, asdict(pulled), pulled)


@command(
    model_argument("model"),
    argument("-y", "--yes", action="store_true", help="do not ask"),
)
def _remove(options: argparse.Namespace) -> int:
    """Delete a model's file.

    Only files in the cache of the Hugging Face hub, or in the models folder of jupyter_llm, are
    deleted.
    """
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.removal import removal

    entry = find_model(options.model)
    deletion = removal(entry)
    listed = f"{human_size(deletion.size_bytes)}:\n" + "\n".join(map(str, deletion.paths))
    is_full_name = (
        entry.source == "path" or options.model.lower().removesuffix(".gguf") in entry.names
    )
    refusal = "" if is_full_name else f"With --yes, give the whole name: {entry.name}."
    if not options.yes:
        is_agreed = agrees(f"Delete this, {listed}\n?")
        refusal = "" if is_agreed else "--yes deletes without a question."
    if refusal:
        print_message("remove", f"Nothing was deleted. {refusal}")
        return TROUBLE
    deletion.carry_out()
    value = {"deleted": deletion.paths, "freed_bytes": deletion.size_bytes}
    return print_result(options, value, f"Deleted, {listed}")


@command(argument("-y", "--yes", action="store_true", help="do not ask"))
def _clean(options: argparse.Namespace) -> int:
    """Delete all that jupyter_llm stores of this user.

    These are chats, records, names, measurements and read states. No model is deleted (`jupyter llm
    remove` does that), nor anything in notebooks. While a kernel has a model loaded, nothing is
    deleted.
    """
    from jupyter_llm.common.database import store
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.engine.local.kept.checkpoint import checkpoint_folder
    from jupyter_llm.models.neighbours import neighbours
    from jupyter_llm.models.removal import Removal

    sizes = {
        path: sum(one.lstat().st_size for one in path.rglob("*") if not one.is_dir())
        for path in (store().path.parent, checkpoint_folder())
        if path.is_dir() and not path.is_symlink()
    }
    if sizes and (users := {str(one.pid) for one in neighbours()}):
        pids = ", ".join(sorted(users))
        print_message(
            "clean",
            f"Nothing was deleted: kernels have models loaded (process {pids}). Stop them first.",
        )
        return TROUBLE
    listed = "".join(f"\n{path} ({human_size(size)})" for path, size in sizes.items())
    if sizes and not (options.yes or agrees(f"Delete chats, settings and states in{listed}\n?")):
        print_message("clean", "Nothing was deleted. --yes deletes without a question.")
        return TROUBLE
    Removal(tuple(sizes), sum(sizes.values())).carry_out()
    value = {"deleted": list(sizes), "freed_bytes": sum(sizes.values())}
    return print_result(
        options, value, f"Deleted:{listed}" if sizes else "There is nothing to delete."
    )
