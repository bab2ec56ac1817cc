"""Renders chat templates in a process with limits: `python rendering.py`, asked in lines of JSON.

A chat template is a program in a file that somebody downloaded. jinja2's sandbox keeps it away from
the machine, but lets it compute for ever and take all memory: `{{ 10 ** 10 ** 8 }}` holds the
interpreter's lock for hours, if only to fold the constant. So whatever computes is compiled and
rendered in a process of its own, which ends by itself when that takes too long. What only strings
texts together, as most do that do not call tools, needs no such process.

Nothing of ours is imported here, so that the process starts quickly.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

Roles = list[dict[str, str]]
"""Messages as templates see them: dicts with `role` and `content`."""

# Of the processor's time. A prompt is rendered up to four times; a message takes 15 microseconds.
COMPILE_S, RENDER_S, MESSAGE_S = 0.4, 0.15, 1e-4
MAX_BYTES = 100 << 20
_SPARE_CHARS, _CHARS_A_MESSAGE = 1 << 16, 1 << 10  # what a template may add to the messages
_TIMES = 4  # that it may tell them

# By what names templates ask whether to think: Qwen 3 and most others, DeepSeek 3.1 and Granite.
_THINKING = ("enable_thinking", "thinking")

_MAX_SIMPLE_CHARS = 1500
_MAX_SIMPLE_DEPTH = 24  # by whose cube jinja2 takes longer: 7 s for 300 times `not`
# Without assignments, calls, arithmetic and loops in loops, a template takes no longer than its
# length times that of the messages.
_SIMPLE = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.CondExpr,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Const, nodes.Name,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Add, nodes.Concat,
)  # fmt: skip
_SIMPLE_CALLS = ("trim", "defined", "undefined", "none", "string")
_TELLING: tuple[type[nodes.Node], ...] = (nodes.Output, nodes.Filter, nodes.Concat, nodes.Add)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def compiled(source: str, bos: str, eos: str) -> Template:
    """A template, ready to render; raises `TemplateError` if it is broken."""
    return _environment(bos, eos).from_string(source)


def _environment(bos: str = "", eos: str = "") -> ImmutableSandboxedEnvironment:
    # Chat templates are written for these two options (Hugging Face's chat_template_utils).
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    environment.globals.update(
        raise_exception=_refuse,
        strftime_now=lambda pattern: datetime.now().astimezone().strftime(pattern),
        bos_token=bos,
        eos_token=eos,
    )
    return environment


def rendered(template: Template, roles: Roles, *, think: bool | None = None) -> str:
    """The text of messages, up to where the answer begins; None leaves thinking to the template."""
    options = {} if think is None else dict.fromkeys(_THINKING, think)
    return template.render(messages=roles, add_generation_prompt=True, **options)


def is_simple(source: str) -> bool:
    """Whether a template only strings texts together, so that it needs no limits."""
    if len(source) > _MAX_SIMPLE_CHARS:
        return False
    try:
        tree = _environment().parse(source)
        if _depth(tree) > _MAX_SIMPLE_DEPTH:
            return False
    except (TemplateError, RecursionError):
        return False
    return all(_is_simple(node) for node in tree.find_all(nodes.Node))


def _depth(node: nodes.Node) -> int:
    return 1 + max(map(_depth, node.iter_child_nodes()), default=0)


def _is_simple(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter | nodes.Test):
        has_arguments = node.args or node.kwargs or node.dyn_args or node.dyn_kwargs
        return getattr(node, "name", "") in _SIMPLE_CALLS and not has_arguments
    if isinstance(node, nodes.For):
        items = node.iter.node if isinstance(node.iter, nodes.Getitem) else node.iter
        is_once = isinstance(items, nodes.Name) and items.name == "messages"
        is_plain = not node.recursive and not any(node.find_all(nodes.For))
        # Where it may write all messages each time, the text grows by their square.
        told = (name for part in node.find_all(_TELLING) for name in part.find_all(nodes.Name))
        return is_once and is_plain and not any(name.name == "messages" for name in told)
    return isinstance(node, _SIMPLE)


# -- the process ---------------------------------------------------------------------------------


def _answer(
    source: str, bos: str, eos: str, roles: Roles | None, *, think: bool | None
) -> Mapping[str, str]:
    """Return the rendered text; without messages, only compile the template."""
    try:
        with _time_limit(COMPILE_S):
            template = compiled(source, bos, eos)
        if roles is None:
            return {}
        with _time_limit(RENDER_S + MESSAGE_S * len(roles)):
            text = rendered(template, roles, think=think)
    except MemoryError:
        return {"excess": "memory"}
    except Exception as error:  # noqa: BLE001  a template is a program from a file
        return {"error": str(error)[:1000]}
    told = sum(len(text) for role in roles for text in role.values())
    most = _SPARE_CHARS + _CHARS_A_MESSAGE * len(roles) + _TIMES * told
    return {"text": text} if len(text) <= most else {"excess": "text"}


@contextmanager
def _time_limit(limit_s: float) -> Iterator[None]:
    """End this process if something takes longer; not even one long operation holds that up."""
    set_timer = getattr(signal, "setitimer", lambda _which, _seconds: None)  # Windows has none
    timer = getattr(signal, "ITIMER_PROF", 0)
    set_timer(timer, limit_s)
    try:
        yield
    finally:
        set_timer(timer, 0)


def _set_limits() -> None:
    with suppress(AttributeError):  # Windows
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # whatever the kernel does with it
    with suppress(ImportError, OSError, ValueError):  # Linux
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + MAX_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve(lines: Iterator[bytes] | Sequence[bytes]) -> None:
    _set_limits()
    for line in lines:
        try:
            *asked, think = json.loads(line)
            reply = json.dumps(_answer(*asked, think=think))
        except MemoryError:
            reply = json.dumps({"excess": "memory"})
        sys.stdout.buffer.write(f"{reply}\n".encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve(iter(sys.stdin.buffer.readline, b""))
