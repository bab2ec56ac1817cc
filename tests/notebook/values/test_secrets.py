"""What looks like a secret is not shown."""

from __future__ import annotations

import collections
import dataclasses
import os
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_llm.notebook.values import seen_secrets
from jupyter_llm.notebook.values.learning import learn
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import HIDDEN, looks_secret
from jupyter_llm.notebook.values.summaries import summarize
from jupyter_llm.notebook.values.variables import describe

SECRET = "hunter2-correct-horse"  # noqa: S105


SECRETS = """
password db_password PASSWD dbpassword user.passwd pwd passphrase secret client_secret SECRETS
AWS_SECRET_ACCESS_KEY aws_access_key_id token hf_token HF_TOKEN githubToken token_2 access_token
token_value api_key apikey API-KEY openaiApiKey OPENAI_API_KEY private_key ssh_key credential
credentials creds auth basic_auth Authorization bearer cookie set-cookie session_id sessionId dsn
connection_string cohere_key TWILIO_KEY openweather_key
"""
FALSE_FRIENDS = """
tokenizer num_tokens tokens token_ids token_count eos_token pad_token next_token max_token
token_type tokenized author authors authored password_length has_password is_secret num_secrets
credentials_path key keys monkey keyboard session sessions passenger compass secretary df x _ 123
compassion bypass pass_rate stoken mdp
"""


def test_names_of_secrets_and_false_friends() -> None:
    assert [name for name in SECRETS.split() if not looks_secret(name)] == []
    assert [name for name in ("", *FALSE_FRIENDS.split()) if looks_secret(name)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAIOSFODNN7EXAMPLE!", f"key {HIDDEN}!"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- ok", f"{HIDDEN} ok"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", HIDDEN),
        ("postgres://ann:pa@ss@db:5432/x", f"postgres://ann:{HIDDEN}@db:5432/x"),
        ("Settings(password='a b', n=1)", f"Settings(password={HIDDEN}, n=1)"),
        ("{'password': ['a', {'b': 1}], 'n': 1}", f"{{'password': {HIDDEN}, 'n': 1}}"),
        ('{"token": "a\\"b1", "n": 1}', f'{{"token": {HIDDEN}, "n": 1}}'),
        ("https://x.org/?api_key=abc&n=1", f"https://x.org/?api_key={HIDDEN}&n=1"),
        ("password='never closed, n=1", f"password={HIDDEN}"),
        ("auth=<Secret ab>, n=1", f"auth={HIDDEN}, n=1"),
        ("mysql --password correcthorse x", f"mysql --password {HIDDEN} x"),
        ("run --password 'a 1 b' --user x", f"run --password {HIDDEN} --user x"),
        ("<password>correct horse</password>", f"<password>{HIDDEN}</password>"),
        ("login ann password correcthorse", f"login ann password {HIDDEN}"),
        ("%env PASSWORD correcthorse", f"%env PASSWORD {HIDDEN}"),
        ("CREATE USER ann PASSWORD 'horse'", f"CREATE USER ann PASSWORD {HIDDEN}"),
        ("Index(['a[1]b'], name='password')", f"Index({HIDDEN}, name='password')"),
        ("run --password '%s'", "run --password '%s'"),
        ("password == other", "password == other"),
        ("see http://x.org:80/a@b", "see http://x.org:80/a@b"),
    ],
)
def test_secrets_in_a_text_are_replaced(text: str, shown: str) -> None:
    assert scrub(text) == shown
    assert scrub(shown) == shown


@dataclasses.dataclass
class Login:
    user: str
    password: str
    note: str = dataclasses.field(default="", repr=False)


class Account:
    def __init__(self) -> None:
        self.user = "ann"
        self.api_key = SECRET


class Told:
    def __repr__(self) -> str:
        return f"Told(user='ann', password={SECRET!r})"


def sign_in(user: str, password: str = SECRET) -> None:
    """Sign in."""


class Pair(NamedTuple):
    user: str
    token: str


@pytest.mark.parametrize(
    "value",
    [
        {"user": "ann", "password": SECRET},
        [{"user": {"user": "ann", "session_id": [SECRET]}}],
        Login("ann", SECRET),
        Login("ann", "", note=SECRET),
        Pair("ann", SECRET),
        Account(),
        Told(),
        sign_in,
        SimpleNamespace(user="ann", secret=SECRET),
        pd.DataFrame({"user": ["ann"], "password": [SECRET]}),
        pd.DataFrame({("user", "api_key"): [SECRET]}),
        pd.Series([SECRET], name="token", index=["user"]),
        pd.Series({"user": "ann", "password": SECRET}),
        pd.Index([SECRET], name="user_password"),
        pl.DataFrame({"user": ["ann"], "api_key": [SECRET]}),
        pl.Series("user_secret", [SECRET]),
        np.array([("ann", SECRET)], dtype=[("user", "U9"), ("passwd", "U30")]),
        f"https://user:{SECRET}@host/",
        {f"https://user:{SECRET}@host/": 1},
        f"user x password={SECRET}".encode(),
        collections.OrderedDict(user=1, cookie=SECRET),
        {"PATH": "/bin", "HOME": "user", "MY_OWN": SECRET},
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_inside_of_values_are_not_shown(value: Any) -> None:
    text = summarize("value", value)
    assert SECRET not in text
    assert "user" in text.lower() or "environment" in text


def test_of_a_secret_variable_only_the_type_is_shown() -> None:
    assert summarize("api_key", SECRET) == f"api_key: {HIDDEN} (str)"
    assert summarize("credentials", {"a": SECRET}) == f"credentials: {HIDDEN} (dict)"
    assert summarize("auth", Told()) == f"auth: {HIDDEN} ({__name__}.Told)"
    assert "class" in summarize("token", Told)  # a class holds nothing
    assert SECRET not in describe("@password", [], {"password": SECRET})[0].text


def test_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMLESS", SECRET)
    told = summarize("env", os.environ), summarize("env", dict(os.environ), max_chars=9999)
    assert SECRET not in "".join(told)
    assert all("environment" in text for text in told)


def test_no_half_of_a_secret_stands_at_a_cut() -> None:
    values = [f"{'x' * 90} password={SECRET}", [f"{'x' * 20} token={SECRET}"] * 3]
    for value, max_chars in product(values, range(0, 400, 7)):
        assert SECRET[:7] not in summarize("value", value, max_chars=max_chars)


NAMES = st.sampled_from(["password", "api_key", "authToken", "SECRET", "session-id", "cookies"])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=6)
        | st.dictionaries(NAMES, st.just(SECRET) | st.lists(st.just(SECRET)), max_size=3)
        | st.frozensets(LEAVES, max_size=6)
        | st.lists(inner, max_size=6).map(collections.deque)
    ),
    max_leaves=30,
)


@given(VALUES, st.integers(0, 1500))
def test_any_nested_containers_are_told_within_the_room_and_without_secrets(
    value: Any, max_chars: int
) -> None:
    text = summarize("value", value, max_chars=max_chars)
    assert len(text) <= max_chars
    assert SECRET not in text
    assert "not readable" not in text
    text.encode()  # no halves of characters


def test_measures_and_counts_that_bear_the_name_of_a_secret_are_told() -> None:
    frame = pd.DataFrame({"pw": [0.25, 1.5], "session_id": [104728, 104729], "password": [4711, 7]})
    text = summarize("frame", frame)
    assert "0.25" in text
    assert "104728" in text
    assert "4711" not in text
    assert SECRET not in summarize("frame", pd.DataFrame({"session_id": [SECRET]}))
    frame = pd.DataFrame({"token": ["the", "n't", "S02x9"], "pass": ["yes", "no", "yes"]})
    text = summarize("frame", frame)
    assert all(word in text for word in ("n't", "yes", "hidden"))
    assert "S02x9" not in text


@pytest.mark.parametrize("key", [("db", "password"), b"password", "password"])
def test_a_row_is_called_alike_where_it_is_told_and_where_it_is_learned(key: object) -> None:
    host = ("db", "host") if isinstance(key, tuple) else "host"
    rows = pd.Series({host: "h1", key: SECRET})
    assert SECRET not in summarize("rows", rows)
    seen_secrets.forget()
    learn("", {"rows": rows})
    assert SECRET not in scrub(f"it is {SECRET}")
