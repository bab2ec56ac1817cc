"""`jupyter llm run` and `jupyter llm chat`: the model in a terminal, and in pipes."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.completion import PromptInterrupted
from jupyter_llm.errors import EmptyPromptError, JupyterLLMError
from jupyter_llm.frontends.cli.command import (
    OK,
    Argument,
    argument,
    command,
    in_shell,
    model_argument,
    say,
    show,
    show_json,
)
from jupyter_llm.frontends.prompt.options import OPTIONS, SAMPLING, SHAPING
from jupyter_llm.frontends.prompt.shapes import written_shape
from jupyter_llm.frontends.views import TerminalView, View, remarks, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.ask.answer import ShapedAnswer, ShapedStream
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.frontends.prompt.commands import Call, Command
    from jupyter_llm.frontends.prompt.shown import Shown

_LITERAL = "-- "


def _prompt_options() -> Iterator[Argument]:
    """Those options of prompts that need no notebook."""
    yield model_argument("-m", "--model")
    for option in OPTIONS:
        if option.key not in (*SAMPLING, *SHAPING, "system", "stats"):
            continue
        kind: dict[str, Any] = {"action": "store_const", "const": option.value, "dest": option.key}
        if option.metavar:
            action = "append" if option.is_list else "store"
            kind = {"action": action, "type": option.read, "metavar": option.metavar}
        yield argument(*option.names, help=option.help, **kind)


def _with_defaults(options: argparse.Namespace) -> dict[str, Any]:
    """The sampling that is asked for; what a project says stands in for what is not typed."""
    from jupyter_llm.api import llm

    said = llm.current.project().prompting
    shape = written_shape(vars(options), {})
    for name in (*SAMPLING, "system", "stats"):
        if getattr(options, name, None) is None and (shape is not None or name != "reason"):
            setattr(options, name, said.get(name))
    given = {name: getattr(options, name) for name in SAMPLING} | {"schema": shape}
    return {name: value for name, value in given.items() if value is not None}


def _view() -> View:
    """The terminal, or a pipe, whose notes stand where people read them."""
    return TerminalView(sys.stdout, None if sys.stdout.isatty() else sys.stderr)


def _shown(asked: Stream | ShapedStream[Any], options: argparse.Namespace) -> Completion:
    """Show an answer until its end, and read it where it has a shape."""
    from jupyter_llm.ask.answer import ShapedStream

    stream = asked.stream if isinstance(asked, ShapedStream) else asked
    if options.json:
        completion = stream.result()
        show_json(_as_json(asked.result()))
        return completion
    view = _view()
    completion = watch(stream, view)
    is_told = asked is stream or completion.finish_reason == "stop"  # else its error says it
    notes = (remarks(completion, has_end=is_told), str(completion.usage) if options.stats else "")
    view.close(completion.text, "; ".join(filter(None, notes)))
    asked.result()  # which says what is wrong with it
    return completion


def _as_json(answer: Completion | ShapedAnswer[Any]) -> dict[str, Any]:
    from jupyter_llm.ask.answer import ShapedAnswer

    if isinstance(answer, ShapedAnswer):
        from pydantic_core import to_jsonable_python

        shaped = ("value", "probabilities", "elsewhere", "confidence")
        told = {name: to_jsonable_python(getattr(answer, name)) for name in shaped}
        return {**told, **_as_json(answer.completion)}
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

    What comes through a pipe is read first and stands before the prompt, so the question comes
    last, where models heed it most; `-` alone stands for the pipe.

      jupyter llm run "Why is the sky blue?"
      git diff | jupyter llm run "Write a commit message."
      jupyter llm run --seed 1 --json "Name a prime." | python -m json.tool
      jupyter llm run --schema "name, age int" "Who wrote Faust?"

    The answer goes to the standard output as it is written, and all remarks go to the standard
    error. Ctrl-C stops the answer (exit code 130); what was written stays.

    Where no model is named it is that of JUPYTER_LLM_MODEL, or the `model` of [tool.jupyter_llm] in
    the nearest pyproject.toml (which also says how it is loaded and what holds for prompts, as in
    notebooks), the alias `default`, or that of JupyterLab's settings.
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
    """The prompt with what comes through a pipe."""
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

    Each line is a prompt, and what was said before goes along. `/help` lists the commands, Ctrl-C
    stops an answer, Ctrl-D ends the talk. Nothing of it is kept on the disk but for what `audit`
    and `/verify` need. In a pipe each line is answered in turn.
    """
    from jupyter_llm.api import llm
    from jupyter_llm.models.discover import better_model_hint

    sampling = _with_defaults(options)
    info = llm.use(options.model).info
    assert info is not None
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        name = ", ".join(filter(None, (info.name, better_model_hint(info.name, "/pull"))))
        say("chat", f"{name}. Ctrl-C stops an answer, Ctrl-D ends the talk, /help helps.")
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
            say("chat", str(error))
    return OK


def _lines(*, is_terminal: bool) -> Iterator[str]:
    """Yield what is typed, or comes through a pipe, until its end."""
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
        except KeyboardInterrupt:  # gives up what was typed
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
    """The commands that need no notebook."""
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
