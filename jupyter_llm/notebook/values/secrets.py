"""Names of secrets: variables that prompts exclude because of their names.

The user may change this for any name in this kernel. A shown name is no secret any more. A hidden
name is one, and so are other variables with the same object.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

HIDDEN: Final = "<hidden: looks like a secret>"

_PART = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Letters that Unicode does not decompose into a letter and an accent.
_PLAIN = str.maketrans({"ł": "l", "ø": "o", "\u0131": "i", "Ł": "L", "Ø": "O"})
_VOICED: Final = "\u3099\u309a"  # marks that change a Japanese letter into another


@lru_cache(maxsize=8192)
def words_of(name: str) -> str:
    """Return the words of a name, joined by `_`, in lower case and without accents."""
    if not name.isascii():
        letters = unicodedata.normalize("NFKD", name.translate(_PLAIN))
        plain = (c for c in letters if c in _VOICED or not is_mark(c))
        name = unicodedata.normalize("NFC", "".join(plain))
    return "_".join(_PART.findall(_HUMP.sub("_", name))).lower()


def is_mark(char: str) -> bool:
    """Whether a character only modifies the letter before it, as vowel signs of Hindi do."""
    return unicodedata.category(char) in ("Mn", "Mc", "Cf")


def read_lists(file: str) -> dict[str, list[str]]:
    """Read a file of lists in this folder: `name: word word`, one a line."""
    lines = Path(__file__).with_name(file).read_text(encoding="utf-8").split("\n")
    named = (line.partition(": ")[::2] for line in lines if line and line[0] != "#")
    return {name: words.split() for name, words in named}


_LISTS: Final = {
    name: [*map(words_of, words)] for name, words in read_lists("secret_words.txt").items()
}
_KEYS, _PASSES, _WHICH, _FACTS = (
    "|".join(_LISTS.pop(name)) for name in ("keys", "passes", "tokens", "facts")
)
_HINTS: Final = _LISTS.pop("hints")
_FOREIGN: Final = [word for words in _LISTS.values() for word in words]
# A word that is not ASCII may have an ending, or be joined with other words.
_PASSWORDS: Final = (
    r"[^_]*pass(?:words?|wor[dt]|wd|w|phrases?|code|_(?:word|phrase|wd))|[^_]*pwd|pword|psw"
    rf"|(?:{_PASSES})_?(?:pass|pw)|psk|mdp_[^_]+|{'|'.join(filter(str.isascii, _FOREIGN))}"
    + "".join(f"|[^_]*{word}[^_]*" for word in _FOREIGN if not word.isascii())
)
# A quick filter: a text without any of these has no name of a secret.
_STEMS: Final = {*_HINTS, *(max(one.split("_"), key=len) for one in _FOREIGN if one.isascii())}
_HINT = re.compile(rf"{'|'.join(sorted(_STEMS))}|[^\x00-\x7f]")
# These are secrets with any other words in the name.
_ALWAYS = (
    rf"{_PASSWORDS}|credentials?|creds?|(?:{_KEYS})_(?:keys?|pat)"
    r"|[^_]*apikeys?|(?:private|secret|access)keys?|jwts?|conn(?:ection)?_?str(?:ing)?|(?:auth|access|csrf|xsrf)_?tokens?|bearer|totp"
    "|(?:cle|clave|chave|llave)_(?:de_)?(?:api|secreta?|privada|privee)"
    "|(?:api|access|auth|refresh|bearer|session|bot|csrf|github|hf|oauth)_tokens|sas_token"
    "|(?:session|seed)_?(?:ids?|phrase)|(?:recovery|backup)_(?:codes?|keys?|phrase)"
    "|(?:verification|sms|login)_code|auth_(?:value|secret|header|key)"
)
# These only as the last word, or before its owner: `secret_santa` is no secret.
_LAST = (
    r"pws?|[^_]*secrets?|cookies?|[^_]*cookie|[^_]*sess(?:ion)?id|auth|authorization|dsn|otp|mnemonic|clave|clef"
    "|chave|parola|pass|secreto|segredo|geheimnis|[^_]*токен|jeton"
)
_OF: Final = (
    "prod|dev|test|staging|live|old|new|main|backup|value|val|string|str|text|hash|hex|b64|key"
    rf"|token|base|\d+|[a-z]|{_KEYS}|{_PASSES}"
)
_SECRET = re.compile(rf"(?:^|_)(?:(?:{_ALWAYS})(?=_|$)|(?:{_LAST})(?:_(?:{_OF}|do_[^_]+))*$)")
# A value with such a name is a secret if it looks random.
_WEAK = re.compile(
    r"(?:.*_)?(?:keys?|tok|app_?id|signature|sig|pin|code|cert|salt|pat|pepper|klucz|schlussel|ключ)"
    rf"(?:_?\d+)?|(?:.*_)?(?:{_LAST})_.*"
)
# `token` is a secret in `hf_token`, a word or a number in `pad_token` and `token_count`.
_TOKEN = re.compile(rf"(?:^|_)token(?:_(?:{_OF}|secret))*$")
_OF_TEXTS = re.compile(rf"(?:^|.*_)(?:{_WHICH})_token(?:_.*)?")
# `password_length` and `has_password` describe a secret; they are none.
_ABOUT = re.compile(
    rf"(?:.*_)?(?:{_FACTS}|expir[^_]*_(?:at|in|on)|palabras?_[^_]+|secret_(?:id|arn)"
    "|auth_(?:id|app|test))|(?:is|has|num|n|max|min|len|count|total|no|needs|uses?)_.*"
)

# Placeholders for a secret.
_PLACEHOLDER = re.compile(
    r"""
      [\s.,:;*•#_=/\\+-]* | x{3,} | \$\(.* | \$?\{+[^{}"']*\}+ | %s | %\(\w+\)s
    | \$(?-i:[A-Z_][A-Z0-9_]*) | %(?-i:[A-Z_]+)%
    | (?:bearer|basic|digest|token|none|null|nil|undefined|true|false|yes|no|nan|na|n/a|nat)\s*
    | <?(?:your|insert|enter|replace|hidden|redacted)(?:[ :_-].*)?>? | change[_-]?me
    | <[a-z_-]+> | <[a-z _-]*(?:key|token|password|secret)>
    | (?-i:[Yy]our[A-Z][A-Za-z]*) | .*\bhere\b[\W_]*
    | str|string|object|category|u?int\d*|float\d*|bool|boolean|count|nunique|first|last|size
    | \w*(?:char2?|text|blob)(?:\(.*)?|binary|bytes|integer|numeric|utf8|\d{4}-\d\d-\d\d.*
    | [\d.]+[ ]?(?:s|sec\w*|m|min\w*|h|hours?|d|days?|weeks?|months?|years?)
    | password|passwd|pwd|pw|secret|api_?key
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

_HEAD = re.compile(r"(?i)\A(?:bearer|basic|token)\s+(?=\S)")
# The path of a secret is none: `credentials = '~/key.json'`.
_PATH = re.compile(
    r"(?:[A-Za-z]:\\|~|\.{0,2}/)[\w.@ /\\-]*\.\w{1,5}"
    r"|[\w.@ /\\-]+\.(?:pem|key|crt|cer|p12|pfx|jks|ppk|pub|json|ya?ml|toml|txt|csv|ini|env|cfg)"
    r"|(?:~|\.{0,2})(?:/[\w.@-]{1,40}){2,}/?"
)
# `token` may be a word or a sign in a sentence, and `pass` the result of a test.
_WORDS_TOO: Final = frozenset({"token", "pass", "cookie", "cookies", "mnemonic"})
_KEYS_TOO: Final = frozenset({"clave", "chave", "parola"})  # in music, of a text
_LIKE_A_WORD = re.compile(r"[^\W\d_]+|\D{1,15}")
# Row numbers under these names are shorter than real keys.
_NUMBERS_TOO = re.compile("(?:session[ _-]?id|account[ _-]?key)s?")
# An address is a secret only with a password or the like.
_ADDRESSES = re.compile(r"(?:dsn|str|string)(?:_\d+)?$")
_GRANTS_ACCESS = re.compile(r"(?i)pass|pwd|pw=|key|secret|token|sig|cred|@|^[\w+/=-]+$")
_LEAST_OPENING: Final = 16
_LEAST_DRAWN: Final = 20
# Words and numbers joined by signs are a name: `encoder.layer.0.dense.weight`.
_DRAWN = re.compile(
    r"(?:[\w+/=.~-]*[+/=.~_-])?(?=[A-Za-z0-9]{8})(?:[A-Za-z]++\d|\d++[A-Za-z])[\w+/=.~-]*"
)
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_SMALL = re.compile(r"[-+]?(?=\.?\d)\d{0,3}(?:\.\d*)?%?")
_CONSTANT_NAME = re.compile("[A-Z][A-Z_]{2,60}")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_MAX_NAME: Final = 200
_MAX_BITS: Final = 10_000

_shown: set[str] = set()  # names that the user shows
# Hidden names, also former ones of their objects, each with the current namespace.
_concealed: dict[str, Mapping[str, object]] = {}
# the same, for variables that only hidden cells have bound
_bound: dict[str, Mapping[str, object]] = {}
_running: list[Mapping[str, int]] = []  # ids of the variables before the running hidden cell
NO_OBJECTS: Final = (type(None), bool, int, float, complex)  # equal values may share an object


def looks_secret(name: str) -> bool:
    """Whether a name suggests a password, a key or the like, and the user does not show it."""
    return _is_secret(name[:_MAX_NAME]) and not is_shown(name)


def is_secret(name: str, value: object = None) -> bool:
    """Whether a variable is kept secret.

    It is if its name looks secret and the user does not show it, if the user hides it, if only
    hidden cells bind it, or if a hidden name refers to the same object `value`.
    """
    return looks_secret(name) or is_concealed(name, value)


def is_secret_name(name: str) -> bool:
    """Whether a name looks like a secret's, or `/hide NAME` hides it."""
    return looks_secret(name) or name in _concealed


def is_concealed(name: str, value: object) -> bool:
    """Whether the user hides a variable with this name, or its object."""
    running = () if value is None or not name else _running
    is_new = any(before.get(name) != id(value) for before in running)
    return is_new or name in _concealed or name in _bound or bool(_concealed_as(value))


def _hiding() -> dict[str, Mapping[str, object]]:
    """Return a copy of the hidden names: other threads change them meanwhile."""
    return {**_bound, **_concealed}


def _concealed_as(
    value: object, hiding: Mapping[str, Mapping[str, object]] | None = None
) -> list[str]:
    """Return the hidden names that refer to an object now."""
    # By identity, since a class may have its own `__eq__`.
    if any(kind is type(value) for kind in NO_OBJECTS):
        return []
    hidden = list((hiding or _hiding()).items())
    return [one for one, names in hidden if names.get(one) is value]


def concealed_in(source: str) -> list[str]:
    """Return the words of code that name hidden variables."""
    names = next(iter(_hiding().values()), None)
    if names is None:
        return []
    words = dict.fromkeys(_IDENTIFIER.findall(source))
    return [word for word in words if is_concealed(word, names.get(word))]


def may_name(text: str) -> bool:
    """Whether a text may contain the name of a secret; a quick filter."""
    return _HINT.search(text.lower()) is not None


def is_placeholder(text: str) -> bool:
    """Whether a text beside the name of a secret is only a placeholder."""
    text = _HEAD.sub("", text)
    if _PLACEHOLDER.fullmatch(text) or _PATH.fullmatch(text):
        return True
    # `os.environ['OPENAI_API_KEY']` only names a secret.
    return bool(_CONSTANT_NAME.fullmatch(text)) and _is_secret(text)


def is_small(text: str) -> bool:
    """Whether a text is a number of few digits, as `0.25` or `42`, and so no secret."""
    return _SMALL.fullmatch(text) is not None


def is_drawn(text: str) -> bool:
    """Whether a text looks random, and is no path or name with numbers in it."""
    is_path = "/" in text and "." in text
    is_long = len(text) >= _LEAST_DRAWN and not is_path
    return is_long and _DRAWN.fullmatch(text) is not None and is_mixed(text)


def is_mixed(text: str, least: float = 0.25) -> bool:
    """Whether lower case, upper case and digits alternate as often as in a random text.

    A word, even with a capital, counts once: `vaswani2017attention` has three runs.
    """
    runs = _RUN.findall(text)
    return len(runs) >= least * sum(map(len, runs))


def is_harmless(name: str, text: str) -> bool:
    """Whether a text is no secret although it is beside the name of one."""
    last = name.lower().rpartition(".")[2]
    is_word = last in _WORDS_TOO and bool(_LIKE_A_WORD.fullmatch(text))
    if words_of(last).rpartition("_")[2] in _KEYS_TOO:
        is_word = " " in text or not any(map(str.isdigit, text))
    if _ADDRESSES.search(words_of(last)) and not _GRANTS_ACCESS.search(text):
        return True
    is_number = len(text) < _LEAST_OPENING and _NUMBERS_TOO.fullmatch(last)
    return bool(is_word or is_number) or is_placeholder(text)


def plain_text(value: object) -> str:
    """Return a string, bytes or an integer as a string, and "" for any other value."""
    if type(value) is bytes:
        return value.decode("latin-1")
    if type(value) is int:  # `str` refuses long ones
        return str(value) if value.bit_length() <= _MAX_BITS else hex(value)
    return value if type(value) is str else ""


def show(name: str) -> None:
    """Show the values of a name from now on."""
    value = _hiding().get(name, {}).get(name)
    for one in (name, *_concealed_as(value)):
        _shown.add(one.lower())
        _concealed.pop(one, None)
        _bound.pop(one, None)


def conceal(name: str, namespace: Mapping[str, object]) -> None:
    """Hide the values of a name, and the variable's object, from now on."""
    _shown.discard(name.lower())
    _concealed[name] = namespace


def conceal_bound(names: Iterable[str], namespace: Mapping[str, object]) -> None:
    """Hide the variables that hidden cells have bound, in place of the last such list."""
    now = {name: namespace for name in names if not is_shown(name)}
    _bound.update(now)  # first, so that no thread finds a hidden name missing
    for name in _bound.keys() - now:
        del _bound[name]


def conceal_new(*before: Mapping[str, int]) -> None:
    """Hide the variables bound from now on, given the ids of all present ones.

    Without ids, stop.
    """
    _running[:] = before


def bound_texts() -> list[tuple[str, str]]:
    """Return the variables that hidden cells have bound to strings, with the strings."""
    values = ((name, names.get(name)) for name, names in list(_bound.items()))
    return [(name, value) for name, value in values if type(value) is str]


def conceal_others(names: Iterable[tuple[str, object]]) -> None:
    """Hide other names of hidden objects from now on."""
    for namespace in list(_concealed.values())[:1]:
        other_names = (name for name, value in names if _concealed_as(value, _concealed))
        _concealed.update(dict.fromkeys(other_names, namespace))


def forget() -> None:
    """Undo all calls that show or hide a name."""
    _shown.clear()
    for kept in (_concealed, _bound, _running):
        kept.clear()


def shown_names() -> frozenset[str]:
    """Return the names that the user shows, as a key for caches."""
    return frozenset(_shown)


def is_shown(name: str) -> bool:
    """Whether the user shows a name, or its last part."""
    low = name.lower()
    return bool(_shown) and not _shown.isdisjoint((low, low.rpartition(".")[2]))


def is_about(name: str) -> bool:
    """Whether a name describes a secret and is none, as `user` and `type`."""
    return _ABOUT.fullmatch(words_of(name[:_MAX_NAME])) is not None


def may_be_secret(name: str) -> bool:
    """Whether a value with this name is a secret if it looks random."""
    words = words_of(name[:_MAX_NAME])
    return _WEAK.fullmatch(words) is not None and not is_shown(name)


@lru_cache(maxsize=8192)
def _is_secret(name: str) -> bool:
    words = words_of(name)
    if not words or _ABOUT.fullmatch(words):
        return False
    is_token = _TOKEN.search(words) and not _OF_TEXTS.fullmatch(words)
    return bool(is_token or _SECRET.search(words))
