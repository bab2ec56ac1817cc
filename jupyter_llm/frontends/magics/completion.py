"""Tab completion: options, values and commands on `%llm` lines; names after `@` in cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from jupyter_llm.api import llm
from jupyter_llm.engine.options import LOADING
from jupyter_llm.frontends.prompt.options import OPTIONS, word_at
from jupyter_llm.frontends.topics import topics
from jupyter_llm.models.aliases import aliases
from jupyter_llm.models.catalog import catalog
from jupyter_llm.models.discover import list_models

Matcher = Callable[[CompletionContext], SimpleMatcherResult]

_MAGIC = re.compile(r"\s*%%?llm(\s.*)", re.DOTALL)
_CELL = re.compile(r"\s*%%llm(?!\S)")
_NAMES = [name for option in OPTIONS for name in option.names]
_VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "model": lambda: [*aliases(), *(entry.name for entry in list_models())],
    "chat": lambda: (chat.name or "" for chat in llm.chats),
}


def matcher(commands: Iterable[str]) -> Matcher:
    """Return the matcher that IPython calls for the words at the cursor."""

    def complete(context: CompletionContext) -> SimpleMatcherResult:
        before = context.text_until_cursor
        match = _MAGIC.match(before)
        fragment, words = words_at(match[1], commands) if match is not None else ("", [])
        fitting = [word for word in words if word.startswith(fragment)]
        if not fitting and (match is not None or _CELL.match(context.full_text)):
            from jupyter_llm.frontends.comm.suggestions import suggestions  # not light

            named = suggestions(before, len(before), llm.timeline.snapshot().visible)
            fitting = [item.text for item in named.items if item.kind != "command"]
            fragment = before[named.start :]
        return {
            "completions": [SimpleCompletion(word, type="magic") for word in fitting],
            "matched_fragment": fragment,
            "suppress": bool(fitting),
        }

    registered: Matcher = context_matcher(identifier="LLMMagics.complete")(complete)
    return registered


_ARGUMENTS: dict[str, Callable[[], Iterable[str]]] = {
    r"\s*/(?:use|alias\s+\S+)\s+(\S*)": _VALUES["model"],
    r"\s*/(?:use|alias\s+\S+)\s+https?://\S+\s(?:.*\s)?(\w*)": lambda: (
        *("role=", "model=", "api_key_env="),
    ),
    r"\s*/(?:use|alias\s+\S+)\s+\S+\s(?:.*\s)?(\w*)": lambda: (
        "role=",
        *(f"{name}=" for name in LOADING),
    ),
    r"\s*/pull\s+(\S*)": lambda: (entry.name for entry in catalog()),
    r"\s*/help\s+(\S*)": topics,
}


def words_at(before: str, commands: Iterable[str]) -> tuple[str, list[str]]:
    """Return the word at the end of a line, and its possible completions."""
    for pattern, words in _ARGUMENTS.items():
        if argument := re.fullmatch(pattern, before):
            return argument[1], list(words())
    if command := re.fullmatch(r"\s*(/\w*)", before):
        return command[1], [f"/{name}" for name in commands]
    typing = word_at(before)
    if typing is None:
        return "", []
    fragment, option = typing
    if option is not None:
        return fragment, list(_VALUES.get(option.key, lambda: option.words)())
    return fragment, [name for name in _NAMES if name.startswith("--") or name == fragment]
