"""`jupyter llm run` and `jupyter llm chat`: the model in a terminal, and in pipes."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.question import SHAPING
from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import EmptyPromptError, JupyterLLMError
from jupyter_llm.frontends.cli.command import (
    OK,
    Argument,
    argument,
    command,
    in_shell,
    model_argument,
    print_message,
    show,
    show_json,
)
from jupyter_llm.frontends.prompt.options import OPTIONS, SAMPLING
from jupyter_llm.frontends.prompt.shapes import written_shape
from jupyter_llm.frontends.views import TerminalView, View, remarks, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.common.option import Option
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.frontends.prompt.commands import Call, Command, Shown

_LITERAL = "-- "


def _prompt_options() -> Iterator[Argument]:
    """Yield the options of prompts that need no notebook."""
    yield model_argument("-m", "--model")
    for option in OPTIONS:
        if option.key not in (*SAMPLING, *SHAPING, "system", "stats"):
            continue
        kind: dict[str, Any] = {"action": "store_const", "const": option.value, "dest": option.key}
        if option.metavar:
            action = "append" if option.is_list else "store"
            kind = {"action": action, "type": partial(_read, option), "metavar": option.metavar}
        yield argument(*option.names, help=option.help, **kind)


def _read(option: Option, text: str) -> Any:
    try:
        return option.read(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes {option.expected}, not {text!r}") from None


def _with_defaults(options: argparse.Namespace) -> dict[str, Any]:
    """Return the typed sampling options, with the project's settings for the others."""
    from jupyter_llm.api import llm

    settings = llm.current.project().prompting
    shape = written_shape(vars(options), {})
    for name in (*SAMPLING, "system", "stats"):
        if getattr(options, name, None) is None and (shape is not None or name != "reason"):
            setattr(options, name, settings.get(name))
    values = {name: getattr(options, name) for name in SAMPLING} | {"schema": shape}
    return {name: value for name, value in values.items() if value is not None}


def _view() -> View:
    """Return the view for a terminal, or for a pipe with notes on stderr."""
    return TerminalView(sys.stdout, None if sys.stdout.isatty() else sys.stderr)


def _shown(asked: Stream | ShapedStream[Any], options: argparse.Namespace) -> Completion:
    """Show an answer until its end, and check its shape if it has one."""
    from jupyter_llm.ask.answer import ShapedStream

    stream = asked.stream if isinstance(asked, ShapedStream) else asked
    if options.json:
        completion = stream.result()
        show_json(_as_json(asked.result()))
        return completion
    view = _view()
    completion = watch(stream, view)
    # otherwise the error reports the end
    is_complete = asked is stream or completion.finish_reason == "stop"
    notes = (
        remarks(completion, has_end=is_complete),
        str(completion.usage) if options.stats else "",
    )
    view.close(completion.text, "; ".join(filter(None, notes)))
    asked.result()  # raises if the shape is wrong
    return completion


def _as_json(answer: Completion | ShapedAnswer[Any]) -> dict[str, Any]:
    from jupyter_llm.ask.answer import ShapedAnswer

    if isinstance(answer, ShapedAnswer):
        from pydantic_core import to_jsonable_python

        shaped = ("value", "probabilities", "elsewhere", "confidence")
        fields = {name: to_jsonable_python(getattr(answer, name)) for name in shaped}
        return {**fields, **_as_json(answer.completion)}
    completion, record = answer, answer.provenance
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "seed": completion.seed,
        "exact": completion.exact,
        "usage": asdict(completion.usage),
        "record": record.to_json() if record is not None else None,
    }


@command(
    argument("prompt", nargs="*", metavar="PROMPT", help="the prompt, in one or more words"),
    argument("--raw", action="store_true", help="go on with the text, without a chat template"),
    *_prompt_options(),
)
def _run(options: argparse.Namespace) -> int:
    """Answer one prompt, also in pipes.

    Text from a pipe is put before the prompt, because models heed the end of a prompt most; `-`
    alone stands for the pipe.

      jupyter llm run "Why is the sky blue?"
      git diff | jupyter llm run "Write a commit message."
      jupyter llm run --seed 1 --json "Name a prime." | python -m json.tool
      jupyter llm run --schema "name, age int" "Who wrote Faust?"

    The answer goes to the standard output as it is written, and all remarks go to the standard
    error. Ctrl-C stops the answer (exit code 130); the text so far is kept.

    Without --model it is the one of JUPYTER_LLM_MODEL, the `model` of [tool.jupyter_llm] in the
    nearest pyproject.toml (which may also have load options and options for prompts, as in
    notebooks), the alias `default`, or the one in JupyterLab's settings.
    """
    from jupyter_llm.api import llm
    from jupyter_llm.models.discover import better_model_hint

    prompt = _piped(options.prompt)
    sampling = _with_defaults(options)
    stream = llm.stream(
        prompt, system=options.system, model=options.model, raw=options.raw, **sampling
    )
    completion = _shown(stream, options)
    if not options.json:
        _view().remark(in_shell(better_model_hint(completion.model)))
    return OK


def _piped(words: list[str]) -> str:
    """Return the prompt with the text from a pipe."""
    is_wanted = words == ["-"]
    prompt = "" if is_wanted else " ".join(words)
    piped = sys.stdin.read() if is_wanted or not sys.stdin.isatty() else ""
    text = "\n\n".join(filter(None, (piped.strip("\n"), prompt)))
    if not text.strip():
        raise EmptyPromptError
    return text


@command(*_prompt_options(), json_help="print each answer as JSON, for machines")
def _chat(options: argparse.Namespace) -> int:
    """Talk with a model.

    Each line is a prompt, and the turns before are included. `/help` lists the commands, Ctrl-C
    stops an answer, Ctrl-D ends the chat. Nothing is stored on the disk except what `audit` and
    `/verify` need. In a pipe, each line is answered in turn.
    """
    from jupyter_llm.api import llm
    from jupyter_llm.models.discover import better_model_hint

    sampling = _with_defaults(options)
    info = llm.use(options.model).info
    assert info is not None
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        name = ", ".join(filter(None, (info.name, better_model_hint(info.name, "/pull"))))
        print_message("chat", f"{name}. Ctrl-C stops an answer, Ctrl-D ends the talk, /help helps.")
    chat = llm.chat(system=options.system)
    for text in _lines(is_terminal=is_terminal):
        try:
            _answer(text, chat, options, sampling)
        except EOFError:  # /exit
            break
        except (PromptInterrupted, KeyboardInterrupt):
            if not is_terminal:
                raise
        except JupyterLLMError as error:
            if not is_terminal:
                raise
            print_message("chat", str(error))
    return OK


def _lines(*, is_terminal: bool) -> Iterator[str]:
    """Yield typed lines, or lines from a pipe, until the end."""
    if not is_terminal:
        yield from filter(None, map(str.strip, sys.stdin))
        return
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  `input` edits lines with it, and knows earlier ones
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:  # discards the typed text
            print()
            continue
        if text:
            yield text


def _answer(text: str, chat: Chat, options: argparse.Namespace, sampling: dict[str, Any]) -> None:
    """Answer a prompt, or carry out a command."""
    from jupyter_llm.api import llm
    from jupyter_llm.frontends.prompt.commands import Call, find_command

    order = None if text.startswith(_LITERAL) else find_command(text, _commands())
    if order is None:
        _shown(chat.stream(text.removeprefix(_LITERAL), **sampling), options)
        return
    view = _view()
    call = Call(llm=llm, chat=chat, argument=order.argument, show_progress=view.progress)
    try:
        show(str(order.command.run(call)))
    finally:
        view.clear()


def _commands() -> dict[str, Command]:
    """Return the commands that need no notebook."""
    from jupyter_llm.frontends.prompt.commands import COMMANDS, Command, help_command, named

    def leave(_call: Call) -> Shown:
        raise EOFError

    names = ("status", "models", "use", "alias", "unload", "doctor", "pull", "reset")
    commands = named(
        help_command(lambda: commands),
        *(COMMANDS[name] for name in names),
        Command("exit", "", "end the talk", leave),
    )
    return commands
