"""The commands of prompts, which begin with `/`; the same in all front ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jupyter_llm.ask.question import Question
from jupyter_llm.common.markdown import code_block
from jupyter_llm.common.nearest import nearest
from jupyter_llm.common.tables import count_of, markdown_table
from jupyter_llm.engine.roles import ROLE_WORDS
from jupyter_llm.errors import LicenceError, MagicUsageError
from jupyter_llm.frontends.prompt import history
from jupyter_llm.frontends.prompt.loading import REMOVE, alias, overruled, typed_model
from jupyter_llm.frontends.prompt.model_list import (
    ListedModel,
    listed_models,
    listed_servers,
    model_table,
)
from jupyter_llm.frontends.prompt.options import Options, flags_in
from jupyter_llm.frontends.topics import topic, topic_table
from jupyter_llm.notebook.cells.rules import RULES_FILE
from jupyter_llm.notebook.cells.shell import current_shell, own_variables, user_namespace
from jupyter_llm.notebook.values import secrets
from jupyter_llm.notebook.values.learning import learn
from jupyter_llm.tasks.explain import explain
from jupyter_llm.tasks.fix import fix
from jupyter_llm.tasks.numpy_doc import document
from jupyter_llm.tasks.review import review
from jupyter_llm.tasks.tests import write_tests

if TYPE_CHECKING:
    from jupyter_llm.api import LLM
    from jupyter_llm.chat.conversation import Chat
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.base import Stream
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.engine.tokens import ShownTokens
    from jupyter_llm.models.catalog import Suggestion
    from jupyter_llm.tasks.proposal import Proposal
    from jupyter_llm.tasks.task import Task


_COMMAND = re.compile(r"/([A-Za-z][\w-]*)(?=\s|$)\s*(.*)", re.DOTALL)
_INTO = re.compile(r"(.*?)\s+--into[\s=]+([\"']?)(.+?)\2\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """Untrusted Markdown, and what some front ends show instead.

    `rich`: an object that a notebook displays. `completion`: a model's answer. `proposal`: a
    proposed cell. `tokens`: an answer with its probabilities. `choices`: commands that a panel
    offers next.
    """

    text: str = ""
    rich: object = None
    completion: Completion | None = None
    proposal: Proposal | None = None
    tokens: ShownTokens | None = None
    choices: tuple[Any, ...] = ()

    @classmethod
    def report(cls, report: object) -> Shown:
        """Return an object that a notebook displays, and whose `str` is Markdown."""
        return cls(str(report), rich=report)

    @classmethod
    def answer(cls, completion: Completion) -> Shown:
        """Return a model's answer."""
        return cls(str(completion), completion=completion)

    @classmethod
    def change(cls, proposal: Proposal) -> Shown:
        """Return a proposal."""
        return cls(str(proposal), proposal=proposal, completion=proposal.completion)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A typed command and its objects.

    `show` reads the stream of an answer to its end; `show_progress` receives the progress of other
    work.
    """

    llm: LLM
    chat: Chat
    argument: str = ""
    options: Options = field(default_factory=Options)
    show: Callable[[Stream], Completion] = lambda stream: stream.result()
    show_progress: ShowProgress | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, its argument, its help, and the function that carries it out."""

    name: str
    argument: str
    help: str
    run: Callable[[Call], Shown]


@dataclass(frozen=True, slots=True)
class Order:
    """A typed command with its argument."""

    command: Command
    argument: str


def named(*commands: Command) -> dict[str, Command]:
    """Return commands by their names."""
    return {command.name: command for command in commands}


def find_command(prompt: str, commands: Mapping[str, Command]) -> Order | None:
    """Return the command of a prompt; None for an ordinary prompt.

    Raises `MagicUsageError` if there is no such command.
    """
    match = _COMMAND.fullmatch(prompt.strip())
    if match is None:
        return None
    command = commands.get(match[1])
    if command is None:
        hint = nearest(match[1], list(commands), "`/help` lists them.")
        raise MagicUsageError(
            f"There is no command /{match[1]}.",
            f"{hint.replace('mean ', 'mean /')} A prompt may begin with a slash after --.",
        )
    argument = match[2].strip()
    if argument and not command.argument:
        raise MagicUsageError(f"/{command.name} takes nothing after it, not {argument[:40]!r}.")
    return Order(command, argument)


def _text(run: Callable[[Call], str]) -> Callable[[Call], Shown]:
    """Let a command show the Markdown that a function returns."""
    return lambda call: Shown(run(call))


def help_command(commands: Callable[[], Mapping[str, Command]], *parts: str) -> Command:
    """Return `/help`, which shows a front end's introduction, commands and topics, or a topic."""

    @_text
    def run(call: Call) -> str:
        if call.argument:
            return topic(call.argument.removeprefix("/"))
        rows = [(f"`{f'/{c.name} {c.argument}'.rstrip()}`", c.help) for c in commands().values()]
        table, (first, *others) = markdown_table(("command", ""), rows), parts or ("",)
        return "\n\n".join(filter(None, (first, table, *others, topic_table())))

    return Command("help", "[TOPIC]", "this page, or one of the topics below it", run)


@_text
def _status(call: Call) -> str:
    return replace(call.llm.status(), asked=call.options.params).to_markdown()


@_text
def _use(call: Call) -> str:
    is_allowed = call.argument.strip() == ALLOW
    name, options = ("", {}) if is_allowed else typed_model(call.argument, "role")
    if not name and not options and not is_allowed:
        raise MagicUsageError("/use needs a model.", "`%llm /models` lists what can be loaded.")
    show = call.show_progress
    info = call.llm.use(name or None, show_progress=show, allow=is_allowed, **options).info
    assert info is not None
    details = f"{info.quantization}, context window {info.n_ctx} tokens"
    if info.host:
        details = f"prompts are sent to {info.host} from now on"
    role = options.get("role", "chat")
    purpose = f" for {ROLE_WORDS[role]}" if role != "chat" else ""
    remark = overruled(call.llm, call.options.model) if role == "chat" else ""
    return f"Using **{info.name}**{purpose} ({details}). {remark}".rstrip()


@_text
def _pull(call: Call) -> str:
    name, is_accepted = to_pull(call.argument)
    if not name:
        return suggested(suggestions())
    try:
        pulled = call.llm.pull(name, accept_licence=is_accepted, show_progress=call.show_progress)
    except LicenceError as error:
        if not error.text:
            raise
        return f"{code_block(error.text, 'text')}\n\n{error}"
    return str(pulled)


ACCEPT, ALLOW = "--accept-licence", "--allow"


def to_pull(argument: str) -> tuple[str, bool]:
    """Return the model's name after `/pull`, and whether its licence is accepted."""
    flags, name = flags_in("pull", argument, (ACCEPT,))
    return name.strip("\"'"), bool(flags)


def suggestions() -> list[Suggestion]:
    """Return the models of the catalogue that suit this machine, best first."""
    from jupyter_llm.engine.local.native.llama import device_memory
    from jupyter_llm.models.catalog import suitable
    from jupyter_llm.models.machine import available_cores, free_memory

    return suitable(free_memory(device_memory()), available_cores())


def suggested(models: list[Suggestion]) -> str:
    """Return a text with suggested models, and the way to pull one."""
    from jupyter_llm.models.catalog import catalog, suggestion_table

    others = len(catalog()) - len(models)
    return (
        f"{suggestion_table(models)}\n\n`%llm /pull NAME` downloads one from the Hugging Face hub; "
        "`%llm /pull owner/repo:quantization` any other. "
        f"{count_of(others, 'model')} of the catalogue would not fit into the memory that is free."
    )


@_text
def _unload(call: Call) -> str:
    current, name = call.llm.current, _name(call)
    before = current.loaded
    current.unload(name or None)
    here = [one.info for one in current.loaded]
    removed = [one.info for one in before if one.info not in here]
    if not removed:
        return f"{name} is not loaded." if name else "No model is loaded."
    if hosts := [info.host for info in removed if info.host]:
        servers = " and ".join(dict.fromkeys(hosts))
        return (
            f"Nothing is sent to {servers} any more until the next prompt; `/use NAME` ends that."
        )
    return "The model's memory is free again. The next prompt that needs it loads it."


@_text
def _reset(call: Call) -> str:
    count = len(call.chat.turns)
    call.llm.chats.forget(call.chat)
    return f"Forgot {count_of(count, 'turn')} of chat *{call.chat.name}*."


@_text
def _history(call: Call) -> str:
    chats, notebook = call.llm.chats, call.llm.archive.path
    continues = call.options.continue_
    return history.answer(call.argument, call.chat, chats, notebook, continues=continues)


def task_of(llm: LLM, options: Options, **how: Any) -> Task:
    """Return a task about the notebook with the options of a prompt; `how` as for `LLM.task`."""
    task = llm.task(
        model=options.model,
        try_drafts=not options.no_try,
        is_kept=not options.no_save,
        params=options.params,
        **how,
    )
    return replace(task, vars=options.vars)


def _task(
    task: Callable[[Task, str], Any], show: Callable[[Any], Shown] = Shown.change
) -> Callable[[Call], Shown]:
    def run(call: Call) -> Shown:
        showing = {"show": call.show, "show_progress": call.show_progress}
        return show(task(task_of(call.llm, call.options, **showing), call.argument))

    return run


def _do(call: Call) -> Shown:
    """Do a task in several cells."""
    match = _INTO.fullmatch(call.argument)
    task, into = (match[1], match[3]) if match else (call.argument, None)
    if not task.strip():
        raise MagicUsageError("/do needs a task.", "/do Join both tables, and plot the mean.")
    options = call.options
    steps = call.llm.do(
        task,
        into=into,
        model=options.model,
        context=options.context,
        try_drafts=not options.no_try,
        is_kept=not options.no_save,
        params=options.params,
        show=call.show,
        show_progress=call.show_progress,
    )
    if not steps.sources:
        raise MagicUsageError("The model wrote no code.", "Try again, or another model.")
    return Shown.change(steps.proposal)


def _complete(call: Call) -> Shown:
    """Continue a text without chat, cells and template."""
    if not call.argument:
        raise MagicUsageError("/complete needs a text to go on with.")
    options = call.options
    engine = call.llm.current.get(options.model, show=call.show_progress)
    question: Question[str] = Question(
        prompt=call.argument, raw=True, params=options.params, is_kept=not options.no_save
    )
    with question.ask(engine, call.llm.answers) as stream:
        return Shown.answer(call.show(stream))


def _tokens(call: Call) -> Shown:
    """Show the likelihood of each token of an answer, requested with log-probabilities or not."""
    turns = {str(place): turn for place, turn in enumerate(call.chat.turns, 1)}
    turn = turns.get(_name(call) or str(len(turns)))
    if turn is None:
        hint = "Its answers are counted from 1 on." if turns else "It has no answer yet."
        raise MagicUsageError(f"/tokens shows an answer of chat {call.chat.name!r}.", hint)
    tokens = call.llm.read_again(turn.completion).show_tokens()
    return Shown(tokens.summary, rich=tokens, tokens=tokens)


def _context(call: Call) -> Shown:
    from jupyter_llm.chat.context_report import context_report

    chat, options = call.chat, call.options
    return Shown.report(context_report(chat, options.context, continues=options.continue_))


def _mark(name: str, state: str) -> Callable[[Call], Shown]:
    """Return a function that marks the cells that an argument names, by count or id."""

    @_text
    def run(call: Call) -> str:
        words = call.argument.replace(",", " ").split()
        if not words:
            raise MagicUsageError(
                f"/{name} needs the numbers of cells.", f"/{name} 3 5 means In [3] and In [5]."
            )
        named = (int(word) if word.isdecimal() else word for word in words)
        cells = getattr(call.llm.timeline, name)(*named)
        names = ", ".join(f"In [{cell.counts[-1]}]" for cell in cells)
        return f"{names} {'is' if len(cells) == 1 else 'are'} {state}"

    return run


@_text
def _hide(call: Call) -> str:
    words = call.argument.replace(",", " ").split()
    variables = own_variables(current_shell())
    names = [word for word in words if word in variables or secrets.is_shown(word)]
    cells = " ".join(word for word in words if word not in (*names, RULES_FILE))
    results = []
    if cells or not words:
        mark = _mark("hide", "hidden: no prompt includes any run of it from now on.")
        results.append(mark(replace(call, argument=cells)).text)
    if RULES_FILE in words:
        call.llm.timeline.show_rules(is_shown=False)
        file = f"`{RULES_FILE}`"
        results.append(f"{file}: hidden from the next prompt on; `/show {RULES_FILE}` ends that.")
    for name in names:
        secrets.conceal(name, user_namespace())
    if names:
        learn("", user_namespace())
        results.append(
            f"{_quoted(names)}: hidden from the next prompt on; the code of cells is not."
        )
    return " ".join(results)


@_text
def _show(call: Call) -> str:
    """Show named secrets or the project's rules, list what is hidden, or show the last draft."""
    from jupyter_llm.notebook.cells.rendering import secrets_in
    from jupyter_llm.notebook.values.summaries import is_hidden

    cells = call.llm.timeline.snapshot().visible
    variables = own_variables(current_shell()).items()
    own = (name for name, value in variables if is_hidden(name, value))
    hidden = list(dict.fromkeys([*own, *(name for cell in cells for name in secrets_in(cell))]))
    names = call.argument.replace(",", " ").split()
    if names == ["draft"] and "draft" not in hidden:
        if not call.chat.last_draft:
            hint = "`%%llm -f code` asks for some."
            raise MagicUsageError("No code was written in this chat yet.", hint)
        return call.chat.last_draft
    if not names:
        hidden += [RULES_FILE] * call.llm.timeline.rules.is_hidden
        return f"Hidden from the model: {_quoted(hidden)}." if hidden else "Nothing is hidden."
    others = [name for name in names if name != RULES_FILE]
    for name in others:
        if name not in hidden:
            raise MagicUsageError(
                f"Nothing that is called {name[:40]!r} is hidden.",
                nearest(name, hidden, "`/show` alone lists what is."),
            )
    results = []
    if RULES_FILE in names:
        call.llm.timeline.show_rules(is_shown=True)
        file = f"`{RULES_FILE}`"
        results.append(f"{file}: included from the next prompt on; `/hide {RULES_FILE}` ends that.")
    for name in others:
        secrets.show(name)
    if others:
        results.append(
            f"{_quoted(others)}: included like any other value from the next prompt on, and kept "
            f"with the chat. `/hide {others[0]}` hides it again, but turns that included the value "
            "keep it."
        )
    return " ".join(results)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@_text
def _models(call: Call) -> str:
    return models_shown(listed_models(call.llm))


def models_shown(models: list[ListedModel]) -> str:
    """Return the text of `/models`."""
    from jupyter_llm.models.discover import CHOICE_OF_MODEL, GET_A_MODEL

    servers = [f"**{name}** on {server.host}" for name, server in listed_servers()]
    on_servers = [f"Names of servers' models: {', '.join(servers)}."] if servers else []
    here = model_table(models) if models else f"No model found. {GET_A_MODEL}"
    return "\n\n".join([here, *on_servers, CHOICE_OF_MODEL])


@_text
def _serve(call: Call) -> str:
    from jupyter_llm.frontends.serve.notice import serve_here

    return serve_here(call.llm, _name(call))


def _doctor(_call: Call) -> Shown:
    from jupyter_llm.frontends.doctor import diagnose

    return Shown.report(diagnose())


def _verify(call: Call) -> Shown:
    report = call.llm.verify(_name(call) or None, show_progress=call.show_progress)
    return Shown.report(report)


def _undo(call: Call) -> Shown:
    return Shown.report(call.llm.undo())


def _name(call: Call) -> str:
    """Return a command's argument without quotes."""
    return call.argument.strip("\"'")


_SUBJECT = "[N|NAME|error]"


COMMANDS = named(
    Command(
        "status", "", "show the resident model: its content, speed, memory and threads", _status
    ),
    Command("doctor", "", "check the installation, and list what to do", _doctor),
    Command("models", "", "list the models on this machine, and whether they fit", _models),
    Command(
        "use",
        "MODEL [OPTION=VALUE…]|--allow",
        "load a model by name or path and use it from now on; options are those of `llm.use`, as "
        "`n_ctx=8192` or `role=complete`. `http://HOST:PORT/v1 model=NAME` uses a server; "
        "`--allow` permits the server that a project's file names",
        _use,
    ),
    Command(
        "alias",
        f"[NAME [MODEL [OPTION=VALUE…]|{REMOVE}]]",
        "give a model another name, with options; `default` is used if no model is chosen; "
        "without arguments, list the names",
        _text(lambda call: alias(call.argument, call.llm)),
    ),
    Command(
        "pull",
        "[NAME] [--accept-licence]",
        "download a model: a name, `owner/repo[:quantization]` of the Hugging Face hub or a page's "
        "address; without a name, list what suits this machine",
        _pull,
    ),
    Command(
        "serve",
        "[PORT|stop|token]",
        "let other programs on this machine use the model by OpenAI's or Anthropic's protocol "
        "until `stop` or the kernel's end; `token` shows the token that they need",
        _serve,
    ),
    Command("unload", "[MODEL]", "free the memory of all models, or of one", _unload),
    Command(
        "complete",
        "TEXT",
        "continue a text as it is, without chat and notebook; base models do only this",
        _complete,
    ),
    Command(
        "tokens",
        "[N]",
        "show how likely the tokens of the last answer, or of turn N, were",
        _tokens,
    ),
    Command("context", "", "show what the next prompt includes of the notebook, and why", _context),
    Command(
        "pin",
        "N…",
        "include cells In [N] also when others no longer fit",
        _mark("pin", "pinned: included when other cells no longer fit."),
    ),
    Command("unpin", "N…", "end the pin of cells", _mark("unpin", "no longer pinned.")),
    Command(
        "hide",
        "N…|NAME…",
        f"hide cells In [N], values of variables, or the project's `{RULES_FILE}`, from prompts",
        _hide,
    ),
    Command(
        "show",
        "[NAME…|draft]",
        "include a hidden secret in prompts again, or list what is hidden; `draft` shows all of "
        "the last generated code",
        _show,
    ),
    Command(
        "unhide",
        "N…",
        "include hidden cells in prompts again",
        _mark("unhide", "no longer hidden."),
    ),
    Command("fix", "[N]", "propose a change to the cell that caused the last error", _task(fix)),
    Command(
        "explain",
        _SUBJECT,
        "explain the last cell, In [N], a name or the error",
        _task(explain, Shown.answer),
    ),
    Command(
        "do",
        'TASK [--into "NAME TYPE, …"]',
        "do a task in several cells, each tried in a copy of the copy before; `--into` names the "
        'values to compute, as "mean_fare float, n int"',
        _do,
    ),
    Command(
        "undo",
        "",
        "bring back the variables that the last run of generated code changed",
        _undo,
    ),
    Command("doc", "[N|NAME]", "propose a docstring for a function or a class", _task(document)),
    Command("test", "[N|NAME]", "propose a cell with tests", _task(write_tests)),
    Command(
        "review",
        "[N|NAME]",
        "look for bugs in a cell or a function",
        _task(review, Shown.report),
    ),
    Command(
        "verify",
        "[NOTEBOOK]",
        "write recorded answers again, of this kernel or a notebook file, and compare",
        _verify,
    ),
    Command("history", history.ARGUMENT, history.HELP, _history),
    Command(
        "search",
        "WORDS",
        "search the prompts and answers of all chats of the notebook, newest first",
        _text(lambda call: history.search(call.argument, call.llm.chats)),
    ),
    Command("reset", "", "delete the chat", _reset),
)
