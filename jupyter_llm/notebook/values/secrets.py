"""What looks like a secret, by its name or by itself, and is not shown to a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

HIDDEN: Final = "<hidden: looks like a secret>"

_ALONE = re.compile(
    r"""
      \w*pass(?:words?|wd|phrases?|code) | pwd | pword | secrets? | credentials? | creds | cookies?
    | auth | authorization | bearer | dsn | \w*apikeys? | conn(?:ection)?str(?:ing)?
    | (?:private|secret|access)key | (?:auth|access)token | sessionid
    """,
    re.VERBOSE,
)
_PAIR = re.compile(
    "api keys?|(?:private|secret|access|signing|encryption|master|account|session|ssh) keys?"
    "|session ids?|conn(?:ection)? str(?:ing)?|sas token|pass (?:word|phrase)"
)
# `token` is a secret in `hf_token`, a word or a number in `pad_token` and `token_count`.
_OF_TEXTS = re.compile(
    "eos|bos|pad|padding|unk|unknown|mask|sep|cls|next|num|max|min|special|per|prev|previous|last"
    "|first|stop|start|begin|end|new|each|current|image|text|word|sub|input|output|prompt|decoded"
    "|completion|chosen|target|sampled|generated|likeliest|top"
)
_AFTER_TOKEN = re.compile(r"value|str|string|secret|key|\d+")
# `password_length` and `has_password` tell about a secret; they are none.
_ABOUT = re.compile(
    "len|length|counts?|size|ids|types?|index|idx|expiry|expires|limit|policy|strength"
    "|columns?|cols?|fields?|files?|path|dir|folder"
)
_CLAIM = re.compile("is|has|num|n|max|min|len|count|total|no|needs|uses?")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def looks_secret(name: str) -> bool:
    """Whether something of that name is likely a password, a key, or the like."""
    words = [word.lower() for word in _WORD.findall(name[:200])]
    if not words or _ABOUT.fullmatch(words[-1]):
        return False
    if len(words) > 1 and _CLAIM.fullmatch(words[0]):
        return False
    pairs = (f"{one} {other}" for one, other in pairwise(words))
    return any(map(_ALONE.fullmatch, words)) or any(map(_PAIR.fullmatch, pairs)) or _is_token(words)


def _is_token(words: list[str]) -> bool:
    """Whether the words name an access token, not a piece of text."""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word == "token" and not _OF_TEXTS.fullmatch(before):
            return not after or bool(_AFTER_TOKEN.fullmatch(after))
    return False


_KEYS = re.compile(
    r"""
      -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----|\Z)
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                             # AWS
    | \beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?                    # JSON web tokens
    | \bsk-(?=[\w-]*\d)[\w-]{16,} | \b[srp]k_(?:live|test)_\w{10,}  # OpenAI and others, Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bhf_[A-Za-z0-9]{20,} | \bxox[abposr]-[\w-]{10,} | \bAIza[\w-]{30,}
    | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[\w-]{30,}
    | (?<=Bearer[ ])[\w.~+/=-]{12,} | (?<=Basic[ ])[\w+/=]{12,}
    """,
    re.VERBOSE | re.DOTALL,
)
_URL_PASSWORD = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*+://[^\s/:@'\"]*:)[^\s/'\"]+@")
_ASSIGNED = re.compile(
    r"""(?<![\w-])([A-Za-z_][\w-]*+(?:[ ][A-Za-z]++)?)["']?\s*+(?:=>|[:=](?!=))\s*"""
)
_QUOTED = re.compile(
    r"""[A-Za-z]{0,2}(?P<quote>"{3}|'{3}|"|')(?:\\.|(?!(?P=quote)).)*+(?P=quote)?""", re.DOTALL
)
_PLAIN = re.compile(r"(?:(?:Bearer|Basic|Digest|Token)\s+)?[^\s,;&)}\]]+")
_OPENING = re.compile(r"[\w.]*([(\[{<])")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}


def scrub(text: str) -> str:
    """A text with what looks like a secret in it replaced."""
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", _KEYS.sub(HIDDEN, text))
    parts: list[str] = []
    end = 0
    for start, stop in _secret_values(text):
        parts += [text[end:start], HIDDEN]
        end = stop
    return "".join([*parts, text[end:]])


def _secret_values(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the values are that a secret's name stands before: `password='…'`."""
    end = 0
    for assigned in _ASSIGNED.finditer(text):
        if assigned.start() >= end and looks_secret(assigned[1]):
            start = assigned.end()
            end = _value_end(text, start)
            if end > start and text[start:end] != HIDDEN:
                yield start, end


def _value_end(text: str, start: int) -> int:
    """Where a value ends that begins at `start`: a quoted text, a bracket or a word."""
    if quoted := _QUOTED.match(text, start):
        return quoted.end()
    if opening := _OPENING.match(text, start):
        return _bracket_end(text, opening.start(1))
    word = _PLAIN.match(text, start)
    return word.end() if word else start


def _bracket_end(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, or the text's end."""
    waiting: list[str] = []
    place = start
    while place < len(text):
        char = text[place]
        if char in "\"'" and (quoted := _QUOTED.match(text, place)):
            place = quoted.end()
            continue
        if char in _CLOSING and char != "<":
            waiting.append(_CLOSING[char])
        elif char == "<" and place == start:
            waiting.append(">")
        elif waiting and char == waiting[-1]:
            waiting.pop()
            if not waiting:
                return place + 1
        place += 1
    return len(text)
