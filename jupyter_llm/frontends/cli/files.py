"""`jupyter llm models`, `inspect` and `verify`: the model files on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jupyter_llm.frontends.cli.command import (
    OK,
    WRONG,
    add_command,
    add_model,
    show,
    show_facts,
    show_json,
)

if TYPE_CHECKING:
    import argparse

    from jupyter_llm.frontends.cli.command import Commands
    from jupyter_llm.frontends.prompt.model_list import ListedModel

_ALIAS = """\
Give a model another name, on this machine and for notebooks too, with options to load it with.

  jupyter llm alias                                    the names there are
  jupyter llm alias coder qwen2.5-coder-0.5b           `--model coder` means that model
  jupyter llm alias long qwen2.5-coder-0.5b n_ctx=32768
  jupyter llm alias default coder                      what is used where none is named
  jupyter llm alias coder --remove
"""
_VERIFY = """\
Read a model file whole, and compare its SHA-256 with the one that it came with: in its package, or
as its name in the cache of the Hugging Face hub. Of a notebook (.ipynb), write the recorded answers
again and say which come out the same.

exit codes:
  0  it is as it came, or nothing says how it came
  1  it is another file now; or an answer came out different
  2  it cannot be read
"""
_VERDICTS = {
    "sound": "{name} is the file that came: its SHA-256 is {found}.",
    "unknown": "Nothing says what {name} should be. Its SHA-256 is {found}.",
    "damaged": "{name} is damaged: it came with the SHA-256 {promised}, and has {found}. "
    "Remove it, and download or install it again.",
}


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    add_command(commands, "models", _models, summary="list the models that can be loaded now")
    alias = add_command(
        commands,
        "alias",
        _alias,
        summary="give a model another name, or list the names",
        description=_ALIAS,
    )
    add_model(alias, "words", nargs="*", metavar="WORD", help="NAME MODEL OPTION=VALUE")
    alias.add_argument("--remove", action="store_true", help="take the name back")
    inspect = add_command(
        commands,
        "inspect",
        _inspect,
        summary="tell what a model file says of itself",
        description="Tell what a GGUF file says of itself. Only its header is read.",
    )
    add_model(inspect, "model")
    verify = add_command(
        commands,
        "verify",
        _verify,
        summary="check that a model file is the one that came",
        description=_VERIFY,
    )
    add_model(verify, "model", help="a model's name or path, or a notebook")


def _alias(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import COMMANDS, Call

    words = [*map(_as_typed, options.words), *(["--remove"] if options.remove else [])]
    said = str(COMMANDS["alias"].run(Call(llm=llm, chat=llm.chat(), argument=" ".join(words))))
    if options.json:
        show_json({name: asdict(alias) for name, alias in llm.aliases.items()})
    else:
        show(said.replace("**", ""))
    return OK


def _as_typed(word: str) -> str:
    """A word of the shell, with the quotes around a value that the shell has taken off."""
    name, equals, value = word.partition("=")
    return f'{name}="{value}"' if equals and " " in value else word


def _models(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import COMMANDS, Call
    from jupyter_llm.frontends.prompt.model_list import listed_models

    if options.json:
        show_json([_as_json(model) for model in listed_models(llm)])
    else:
        show(str(COMMANDS["models"].run(Call(llm=llm, chat=llm.chat()))))
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


def _inspect(options: argparse.Namespace) -> int:
    from jupyter_llm.common.tables import human_size
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.inspect import inspect

    file = inspect(find_model(options.model).path)
    if options.json:
        show_json(asdict(file))
        return OK
    shape = file.shape
    sampling = ", ".join(f"{name} {value:g}" for name, value in file.sampling)
    show_facts(
        [
            ("file", file.path),
            ("name", file.name or "not stated"),
            ("architecture", file.architecture),
            ("size", f"{human_size(file.size_bytes)}, {file.quantization}"),
            ("parameters", f"{file.num_parameters:,}"),
            ("layers", f"{shape.num_layers}, embeddings of {shape.n_embd}"),
            ("vocabulary", f"{shape.n_vocab:,} tokens"),
            ("context", f"{file.n_ctx_train:,} tokens" if file.n_ctx_train else "not stated"),
            ("chat template", "yes" if file.has_chat_template else "no: a base model"),
            ("sampling", sampling or "nothing recommended"),
            ("licence", file.license or "not stated"),
        ]
    )
    return OK


def _verify(options: argparse.Namespace) -> int:
    if options.model.endswith(".ipynb"):
        return _verify_notebook(options)
    from jupyter_llm.models.discover import find_model
    from jupyter_llm.models.fingerprint import file_sha256, promised_sha256
    from jupyter_llm.models.inspect import inspect, parts_of

    told = []
    for path in parts_of(inspect(find_model(options.model).path).path):
        promised, found = promised_sha256(path), file_sha256(path, is_read_anew=True)
        verdict = "unknown" if promised is None else "sound" if promised == found else "damaged"
        told.append({"path": path, "verdict": verdict, "sha256": found, "promised": promised})
        if not options.json:
            show(_VERDICTS[verdict].format(name=path.name, found=found, promised=promised))
    if options.json:
        show_json(told)
    return WRONG if any(one["verdict"] == "damaged" for one in told) else OK


def _verify_notebook(options: argparse.Namespace) -> int:
    from jupyter_llm.api import llm

    report = llm.verify(options.model)
    if options.json:
        rows = [{**asdict(row), "is_altered": row.is_altered} for row in report.rows]
        show_json({"summary": report.summary, "answers": rows})
    else:
        show(str(report))
    is_wrong = report.num_different or any(row.is_altered for row in report.rows)
    return WRONG if is_wrong else OK
