"""`jupyter llm models`, `pull`, `bench` and the like: models on this machine and on their way."""

from __future__ import annotations

import statistics
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

_OR_THE_ONE_IN_USE = "a model's name or path; without it the one that is used"
_ROUNDS = 3
_TEXT = " reads a sentence, and then it goes on with the next one." * 20
_WRITTEN = 64  # tokens


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
        "license": model.licence,
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


@command(model_argument("model"))
def _inspect(options: argparse.Namespace) -> int:
    """Tell what a model file says of itself.

    Only the header of the GGUF file is read.
    """
    from jupyter_llm.common.controls import one_line
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.inspect import inspect

    file = inspect(find_model(options.model).path)
    sampling = ", ".join(f"{name} {value:g}" for name, value in file.sampling)
    facts = {
        "file": file.path,
        "name": file.name or "not stated",
        "architecture": file.architecture,
        "size": f"{human_size(file.size_bytes)}, {file.quantization}",
        "parameters": f"{file.num_parameters:,}",
        "layers": f"{file.shape.num_layers}, embeddings of {file.shape.n_embd}",
        "vocabulary": f"{file.shape.n_vocab:,} tokens",
        "context": f"{file.n_ctx_train:,} tokens" if file.n_ctx_train else "not stated",
        "chat template": "yes" if file.has_chat_template else "no: a base model",
        "sampling": sampling or "nothing recommended",
        "licence": file.license or "not stated",
    }
    lines = [f"{name:13}  {one_line(str(value))}" for name, value in facts.items()]
    return tell(options, asdict(file), "\n".join(lines))


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
        if options.json or not error.text:
            raise
        show(error.text)
        if not agrees(f"Do you accept this licence ({error.licence})?"):
            raise
        pulled = llm.pull(options.name, accept_licence=True)
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
    from jupyter_llm.models.discover import find_model, list_models
    from jupyter_llm.models.removal import removal

    entry = find_model(options.model)
    found = removal(entry)
    listed = f"{human_size(found.size_bytes)}:\n" + "\n".join(map(str, found.paths))
    is_path, refusal = entry.source == "path", ""
    if not options.yes:
        if not agrees(f"Delete this, {listed}\n?"):
            refusal = "--yes deletes without a question."
    elif not is_path and options.model.lower().removesuffix(".gguf") not in entry.names:
        refusal = f"--yes needs the whole name, as {entry.name}."
    elif not is_path:
        for other in list_models():
            if other.path != entry.path and not set(other.names).isdisjoint(entry.names):
                refusal = f"{entry.path} and {other.path} have one name: with --yes, give the path."
    if refusal:
        say("remove", f"Nothing was deleted. {refusal}")
        return TROUBLE
    found.carry_out()
    value = {"deleted": found.paths, "freed_bytes": found.size_bytes}
    return tell(options, value, f"Deleted, {listed}")


@command(model_argument("model", nargs="?", help=_OR_THE_ONE_IN_USE))
def _bench(options: argparse.Namespace) -> int:
    """Measure how fast a model reads and writes on this machine.

    It is loaded with its usual settings, and nothing is changed. Other programs that compute make
    it slower: compare figures of one quiet hour.
    """
    from jupyter_llm.api import llm
    from jupyter_llm.models.machine import this_machine

    engine = llm.engine(options.model)
    reading, writing = [], []
    for number in range(_ROUNDS):
        usage = llm.complete(  # another text each time, so that nothing of it was read before
            f"Reader {number}{_TEXT}",
            model=options.model,
            max_tokens=_WRITTEN,
            ignore_eos=True,
            may_repeat=True,
            lookup=False,
            exact=False,
        ).usage
        reading.append((usage.prompt_tokens - usage.cached_tokens) / usage.prefill_s)
        writing.append(usage.tokens_per_s)
    prefill, decode = statistics.median(reading), statistics.median(writing)
    name, machine = engine.info.name, str(this_machine(engine.info.n_threads))
    value = {"model": name, "machine": machine, "prefill": prefill, "decode": decode}
    text = f"{name} reads {prefill:.0f} and writes {decode:.0f} tokens/s ({machine})."
    return tell(options, value, text)


@command(model_argument("model", nargs="?", help=_OR_THE_ONE_IN_USE))
def _tune(options: argparse.Namespace) -> int:
    """Measure again what makes a model faster on this machine.

    Whether flash attention does was measured at its first load. The model is loaded with the answer
    from then on, in notebooks too.
    """
    from jupyter_llm.api import llm

    status = llm.tune(options.model)
    times = status.info.attention if status.info is not None else None
    seconds = times and {"flash": times.flash._asdict(), "plain": times.plain._asdict()}
    has_flash = status.info and status.info.flash_attention
    return tell(options, {"flash_attention": has_flash, "seconds": seconds}, status.tuned)
