"""Names of secrets: what is not told to a model because of how it is called.

Somebody may say of any name what it is: what was shown is no secret any more in this kernel, and
what was hidden is one, and so is what else the notebook calls the same object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

HIDDEN: Final = "<hidden: looks like a secret>"

_ALONE = re.compile(
    r"""
      pass | \w*pass(?:words?|wd|phrases?|code) | pwd | pword | pws? | \w*secrets? | credentials?
    | creds? | cookies? | auth | authorization | bearer | dsn | \w*apikeys? | jwts?
    | conn(?:ection)?str(?:ing)? | (?:private|secret|access)key | (?:auth|access)token | sessionid
    | otp | totp | mnemonic | passwort | kennwort | contrasena | senha | wachtwoord
    """,
    re.VERBOSE,
)
# Of whom a key may be that only its owner knows. A `user_key` joins two tables.
_KEYS: Final = (
    "private|secret|access|signing|encryption|master|account|session|ssh|subscription"
    "|shared|service|consumer|app|application|licen[cs]e|webhook|hmac|aes|rsa|gpg|pgp|pem|tls|ssl"
    "|deploy|admin|fernet|cipher|jwt|bot|openai|anthropic|claude|gemini|google|azure"
    "|aws|gcp|github|gitlab|hf|huggingface|mistral|cohere|groq|xai|grok|deepseek|together"
    "|replicate|perplexity|openrouter|nvidia|ngc|stripe|paypal|twilio|sendgrid|mailgun|mailchimp"
    "|slack|discord|telegram|kaggle|wandb|comet|neptune|pinecone|weaviate|qdrant|langchain"
    "|langsmith|tavily|serper|serpapi|firebase|supabase|mapbox|maps|deepl|elevenlabs|tmdb|nasa"
    "|fred|quandl|polygon|finnhub|alpaca|binance|coinbase|openweather|weather|news|twitter|spotify"
    "|youtube|reddit|notion|airtable|algolia|cloudflare|databricks|snowflake|datadog"
    "|sentry|llm"
)
# Of whom a `pass` is a password: `forward_pass` and `pass_rate` are none.
_PASSES: Final = (
    "db|database|user|usr|login|admin|root|sudo|smtp|imap|mail|email|ftp|sftp|ssh|wifi|vpn|proxy"
    "|ldap|pg|postgres|mysql|sql|mongo|redis|rabbit|elastic|es|neo4j|git|github|gitlab|jira|api"
    "|app|web|http|service|svc|account|acct|master|my|key|cert|pem|zip|pdf|keystore|basic"
)
_TOKENS: Final = "api|access|auth|refresh|bearer|session|bot|csrf|github|hf|oauth"
_PAIR = re.compile(
    rf"api keys?|(?:{_KEYS}) keys?|(?:{_PASSES}) pass|(?:{_TOKENS}) tokens|session ids?"
    "|conn(?:ection)? str(?:ing)?|sas token|pass (?:word|phrase)|seed phrase"
    "|(?:recovery|backup) (?:codes?|keys?|phrase)|(?:verification|sms|login) code"
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
    "|columns?|cols?|fields?|files?|path|dir|folder|rate|names?|user|username|url|uri|endpoint"
    "|host|port|label|hint|msg|message|error|regex|pattern|format|algorithm|algo|alg|issuer"
    "|audience|method|mode|provider|backend|version|level|status|state|enabled|required|valid"
    "|manager|client|sock|socket|agent|env|age|ttl|timeout|scopes?|domain|mock|test|func|function"
    "|generator|checker|validator|score|accuracy"
)
_ABOUT_PAIR = re.compile("secret (?:id|arn)|pass (?:rate|count|fail|through|band)|auth (?:id|app)")
_CLAIM = re.compile("is|has|num|n|max|min|len|count|total|no|needs|uses?")

# What stands for a secret that somebody is still to put in, or that a program does.
_PLACEHOLDER = re.compile(
    r"""
      [\s.,:;*•#_=/\\+-]* | x{3,} | \$\{\w+\} | \$\(.* | \{+[^{}"']*\}+ | %s | %\(\w+\)s
    | \$(?-i:[A-Z_][A-Z0-9_]*) | %(?-i:[A-Z_]+)%
    | (?:bearer|basic|digest|token|none|null|nil|undefined|true|false|nan|na|n/a|nat)\s*
    | <?(?:your|insert|enter|replace|hidden|redacted)(?:[ :_-].*)?>?
    | str|string|object|category|u?int\d*|float\d*|bool|boolean|count|nunique|first|last|size
    | password|passwd|pwd|pw|secret|api_?key
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

# A quick look for what may name a secret: without any of these a text holds no name of one.
_HINT = re.compile(
    "pass|pw|secret|token|key|cred|cookie|auth|bearer|dsn|conn|session|jwt|otp|mnemonic|phrase|code"
    "|identified|app_?id|salt|cert|log_?in|sign_?in|kennwort|contrasena|senha|wachtwoord",
    re.IGNORECASE,
)
# Where a secret lies is none: `credentials = '~/key.json'`.
_PATH = re.compile(
    r"(?:[A-Za-z]:\\|~|\.{0,2}/)[\w.@ /\\-]*\.\w{1,5}"
    r"|(?:~|\.{0,2})(?:/[\w.@-]{1,40}){2,}/?"
)
# A token is a word of a sentence, too, or a sign in it, and `pass` how something ended.
_WORDS_TOO: Final = frozenset({"token", "pass", "cookie", "cookies", "mnemonic"})
_LIKE_A_WORD = re.compile(r"[^\W\d_]+|\D{1,15}")
# What counts rows under these names is shorter than what opens anything.
_NUMBERS_TOO = re.compile("(?:session[ _-]?id|account[ _-]?key)s?")
_LEAST_OPENING: Final = 16
_SMALL = re.compile(r"[-+]?(?=\.?\d)\d{0,3}(?:\.\d*)?")
_CONSTANT_NAME = re.compile("[A-Z][A-Z_]{2,60}")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MAX_NAME: Final = 200
_MAX_BITS: Final = 10_000

_shown: set[str] = set()  # names whose secrets are to be told
# Names of what is to be hidden, with the variables that tell which object that is now.
_concealed: dict[str, Mapping[str, object]] = {}
_NO_OBJECTS: Final = (type(None), bool, int, float, complex)  # equal ones may be one object


def looks_secret(name: str) -> bool:
    """Whether something of that name is likely a password, a key, or the like, and not shown."""
    return _is_secret(name[:_MAX_NAME]) and not is_shown(name)


def is_secret(name: str, value: object = None) -> bool:
    """Whether a variable looks like a secret by its name, or somebody hides it or its object."""
    return looks_secret(name) or is_concealed(name, value)


def is_concealed(name: str, value: object) -> bool:
    """Whether somebody hides a variable of that name, or the object it stands for."""
    if name in _concealed:
        return True
    held = [names.get(one) for one, names in _concealed.items()]
    # By identity, since a class may have its own `__eq__`.
    return any(o is value for o in held) and not any(o is type(value) for o in _NO_OBJECTS)


def concealed_in(source: str) -> list[str]:
    """The words of a piece of code that name something that is hidden."""
    names = next(iter(_concealed.values()), {})
    words = dict.fromkeys(_IDENTIFIER.findall(source)) if _concealed else ()
    return [word for word in words if is_concealed(word, names.get(word))]


def may_name(text: str) -> bool:
    """Whether there may be the name of a secret in a text; a quick look."""
    return _HINT.search(text) is not None


def is_placeholder(text: str) -> bool:
    """Whether a text beside the name of a secret only holds its place."""
    if _PLACEHOLDER.fullmatch(text) or _PATH.fullmatch(text):
        return True
    # `os.environ['OPENAI_API_KEY']` and the like name a secret and are none.
    return bool(_CONSTANT_NAME.fullmatch(text)) and _is_secret(text)


def is_small(text: str) -> bool:
    """Whether a text is a number of few digits, as `0.25` or `42`, which is no secret."""
    return _SMALL.fullmatch(text) is not None


def is_told(name: str, text: str) -> bool:
    """Whether a text is told although it stands beside the name of a secret."""
    last = name.lower().rpartition(".")[2]
    is_word = last in _WORDS_TOO and _LIKE_A_WORD.fullmatch(text)
    is_number = len(text) < _LEAST_OPENING and _NUMBERS_TOO.fullmatch(last)
    return bool(is_word or is_number) or is_placeholder(text)


def plain_text(value: object) -> str:
    """A text, bytes or a whole number as a text; an empty one for all else."""
    if type(value) is bytes:
        return value.decode("latin-1")
    if type(value) is int:  # `str` refuses long ones
        return str(value) if value.bit_length() <= _MAX_BITS else hex(value)
    return value if type(value) is str else ""


def show(name: str) -> None:
    """From here on, tell what goes by a name."""
    _shown.add(name.lower())
    _concealed.pop(name, None)


def conceal(name: str, namespace: Mapping[str, object]) -> None:
    """From here on, hide what goes by a name, and the variable of a namespace."""
    _shown.discard(name.lower())
    _concealed[name] = namespace


def forget() -> None:
    """Tell and hide what is told and hidden by itself."""
    _shown.clear()
    _concealed.clear()


def said() -> frozenset[str]:
    """What is told on purpose, for those who remember what is hidden."""
    return frozenset(_shown)


def is_shown(name: str) -> bool:
    """Whether it was said that what goes by a name, or by its last part, is to be told."""
    low = name.lower()
    return bool(_shown) and not _shown.isdisjoint((low, low.rpartition(".")[2]))


@lru_cache(maxsize=8192)
def _is_secret(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or _ABOUT.fullmatch(words[-1]):
        return False
    if len(words) > 1 and _CLAIM.fullmatch(words[0]):
        return False
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    if any(map(_ABOUT_PAIR.fullmatch, pairs)):
        return False
    whole = words if len(words) == 1 else [word for word in words if word != "pass"]
    return any(map(_ALONE.fullmatch, whole)) or any(map(_PAIR.fullmatch, pairs)) or _is_token(words)


def _is_token(words: list[str]) -> bool:
    """Whether the words name an access token, not a piece of text."""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word == "token" and not _OF_TEXTS.fullmatch(before):
            return not after or bool(_AFTER_TOKEN.fullmatch(after))
    return False
