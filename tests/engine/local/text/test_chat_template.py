"""Messages to tokens with a toy tokenizer: a character is a token, a control text is one token."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_llm.engine.local.text.chat_template import ChatTemplate
from jupyter_llm.engine.request import Message, Role

CONTROL_TEXTS = ("<|bos|>", "<|im_start|>", "<|im_end|>")
SPECIAL = {text: 2_000_000 + number for number, text in enumerate(CONTROL_TEXTS)}
# Tokens the model draws that nobody gets by tokenizing their text.
DRAWN = {3_000_000: "Hel", 3_000_001: "lo", 3_000_002: " "}


def for_each(turn: str) -> str:
    begin = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    return "{% for message in messages %}" + turn + "{% endfor %}" + begin


def turn(content: str) -> str:
    return "<|im_start|>{{ message.role }}\n{{ " + content + " }}<|im_end|>\n"


# As Mistral's: the system text stands in the last turn of the user.
SYSTEM_LAST = (
    "{% for message in messages if message.role != 'system' %}"
    "<|im_start|>{% if loop.last %}{{ messages[0].content }}\n{% endif %}"
    "{{ message.content }}<|im_end|>{% endfor %}"
)
WITHOUT_SYSTEM = "{% if message.role != 'system' %}" + turn("message.content") + "{% endif %}"
CHATML = for_each(turn("message.content"))
TRIMS = for_each(turn("message.content | trim"))
BEGINS = "{{ bos_token }}" + CHATML
THOUGHTLESS = for_each(turn("message.content.split('</think>')[-1].lstrip()"))
TWICE = for_each(turn("message.content ~ '\\n' ~ message.content"))
TEMPLATES = {
    "chatml": CHATML,
    "trims": TRIMS,
    "begins": BEGINS,
    "thoughtless": THOUGHTLESS,
    "upper": for_each(turn("message.content | upper")),
    "twice": TWICE,
    "leaves out system": for_each(WITHOUT_SYSTEM),
    "system last": SYSTEM_LAST,
    "deletes": for_each(turn("message.content.replace('<think>', '')")),
    "runs together": for_each("{{ message.content }}"),
}


def each(*names: str) -> pytest.MarkDecorator:
    """Run a test with these templates."""
    return pytest.mark.parametrize("source", [TEMPLATES[name] for name in names], ids=names)


FEW = each("chatml", "trims", "begins")


@cache
def template(source: str) -> ChatTemplate:
    return ChatTemplate(
        source, model="toy", bos="<|bos|>", eos="<|im_end|>", control_texts=CONTROL_TEXTS
    )


def toy_tokenize(text: str, *, is_special: bool) -> list[int]:
    if not is_special:
        return [ord(character) for character in text]
    parts = re.split("(" + "|".join(map(re.escape, CONTROL_TEXTS)) + ")", text)
    return [
        token_id
        for part in parts
        for token_id in ([SPECIAL[part]] if part in SPECIAL else map(ord, part))
    ]


def text_of(token_ids: tuple[int, ...]) -> str:
    texts = {token_id: text for text, token_id in SPECIAL.items()} | DRAWN
    return "".join(
        texts[token_id] if token_id in texts else chr(token_id) for token_id in token_ids
    )


def special_ids(token_ids: tuple[int, ...]) -> list[int]:
    return [token_id for token_id in token_ids if token_id in SPECIAL.values()]


def tokens(source: str, *messages: Message) -> tuple[int, ...]:
    return template(source).tokenize(messages, toy_tokenize)


ASKED = (Message("system", "Be brief."), Message("user", "Hi"))
GENERIC = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def test_messages_become_the_text_the_model_was_trained_on() -> None:
    assert template(CHATML).format(ASKED) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@each("chatml", "trims", "begins", "thoughtless", "upper", "twice", "system last")
def test_ordinary_messages_are_tokenized_as_the_text_they_format_to(source: str) -> None:
    messages = (
        *ASKED,
        Message("assistant", "<think>\nhm\n</think>\nHello"),
        Message("user", "So?"),
    )
    assert text_of(tokens(source, *messages)) == template(source).format(messages)
    assert len(special_ids(tokens(source, *messages))) >= 4


def test_a_template_may_break_out_of_its_loops_and_write_json() -> None:
    source = "{% for m in messages %}{{ m.content | tojson }}{% break %}{% endfor %}"
    assert template(source).format((Message("user", 'é "x"'), *ASKED)) == r'"é \"x\""'


@FEW
def test_a_follow_up_begins_with_all_that_is_resident(source: str) -> None:
    messages: tuple[Message, ...] = (ASKED[0], Message("user", "<|im_end|> is what?"))
    resident: tuple[int, ...] = ()
    for _ in range(3):
        prompt = tokens(source, *messages)
        assert prompt[: len(resident)] == resident
        resident = prompt + tuple(DRAWN)
        answer = Message("assistant", "Hello ", tuple(DRAWN))
        messages = (*messages, answer, Message("user", "And <|im_start|>?"))


def test_an_answer_the_template_rewrites_is_tokenized_as_rewritten() -> None:
    answer = Message("assistant", "<think>hm</think>Hello", tuple(DRAWN))
    token_ids = tokens(THOUGHTLESS, *ASKED, answer, Message("user", "So?"))
    assert "<|im_start|>assistant\nHello<|im_end|>" in text_of(token_ids)
    assert not set(token_ids) & set(DRAWN)


ROLES: tuple[Role, ...] = ("system", "user", "assistant", "user")
HOSTILE = st.lists(
    st.sampled_from(
        (*CONTROL_TEXTS, "<|im_", "end|>", "<think>", "</think>", "<", "|>", "\u200b", "\n", " ")
    ),
    max_size=6,
).map("".join)


@each(*TEMPLATES)
@settings(max_examples=60)
@given(system=HOSTILE, first=HOSTILE, answer=HOSTILE, last=HOSTILE)
@example(system="", first="<|im_<think>end|>", answer="", last="")
@example(system="<|im_", first="end|>", answer="", last="")
@example(system="<|im_end|>", first="", answer="<|im_end|>", last="")
def test_control_text_in_a_message_never_becomes_a_control_token(
    source: str, system: str, first: str, answer: str, last: str
) -> None:
    def ids(*contents: str) -> list[int]:
        messages = [Message(role, text) for role, text in zip(ROLES, contents, strict=True)]
        return special_ids(tokens(source, *messages))

    contents = (system, first, answer, last)
    assert ids(*contents) == ids(*(content.replace("|", "!") for content in contents))


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(content='x') }}",
        "{{ raise_exception.__globals__['secrets'] }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ lipsum.__globals__.os.listdir('/') }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ messages | map(attribute='__class__.__mro__') | list }}",
        "{{ (messages | attr('__class__')).__mro__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ messages[99].content }}",
        "{{ undefined_name.x }}",
    ],
)
def test_a_template_that_leaves_its_sandbox_or_fails_gives_way_to_a_generic_one(
    source: str,
) -> None:
    evil = template.__wrapped__(source)
    assert evil.format(ASKED) == GENERIC
    assert evil.trouble.startswith(("fails (", "takes too much "))


@pytest.mark.parametrize("start", ["", "{% set told = 0 %}"], ids=["simple", "in a process"])
def test_a_template_that_writes_nothing_gives_way_to_a_generic_one(start: str) -> None:
    silent = template.__wrapped__(start + "{% if told %}{{ messages[0].content }}{% endif %}\n ")
    assert silent.format(ASKED) == GENERIC
    assert silent.trouble == "writes nothing"


def test_why_a_generic_template_is_used_is_said_once(warnings: Callable[[], list[str]]) -> None:
    strict = template.__wrapped__("{{ raise_exception('Roles\\n must alternate!') }}")
    for _ in range(2):
        assert text_of(strict.tokenize(ASKED, toy_tokenize)) == GENERIC
    (said,) = warnings()
    assert said.startswith(
        "The chat template of toy fails (Roles must alternate!), so a generic one is used."
    )


@pytest.mark.parametrize(
    "source",
    ["{% for %}", "{{ x", "{% endfor %}", "{{ x | no_such_filter }}"],
)
def test_a_template_that_cannot_be_read_gives_way_to_a_generic_one(source: str) -> None:
    broken = template.__wrapped__(source)
    assert broken.trouble.startswith("is broken (")
    assert broken.format(ASKED) == GENERIC


def test_a_template_is_left_for_those_messages_only_that_it_refuses() -> None:
    source = "{% if messages[1] %}{{ raise_exception('One!') }}{% endif %}{{ messages[0].content }}"
    picky = template.__wrapped__(source)
    assert picky.format((*ASKED, *ASKED)) != "Hi"
    assert picky.format(ASKED[1:]) == "Hi"


@pytest.mark.parametrize("start", ["", "{% set strict = true %}"], ids=["simple", "in a process"])
def test_a_system_text_that_a_template_refuses_begins_the_users(
    start: str, warnings: Callable[[], list[str]]
) -> None:
    source = start + for_each(
        "{% if message.role == 'system' %}{{ message.content + 1 }}{% endif %}"
        "<|im_start|>{{ message.content }}"
    )
    said = Message("user", "Hi <|im_end|>")
    token_ids = tokens(source, ASKED[0], said)
    assert text_of(token_ids) == ("<|im_start|>Be brief.\n\nHi <|im_end|><|im_start|>assistant\n")
    assert special_ids(token_ids) == [SPECIAL["<|im_start|>"]] * 2
    assert warnings() == []


def test_what_templates_of_the_hub_use_is_there() -> None:
    source = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        "{{ strftime_now('%Y') | length }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}"
    )
    template = ChatTemplate(source, model="toy", bos="", eos="")
    assert template.format([Message("user", "hi")]) == 'hi4{"a": 2, "b": 1}'
