"""Answers that are of a language: always, by any option, in fewer steps than they have tokens."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from support.engines import (
    ask,
    assert_nothing_leaks,
    before_each_step,
    closing,
    exact_in_company,
    load,
    submit,
)
from support.schemas import SCHEMAS, record

from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.constraint import BeginsWith, Grammar
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.masks import grammar as grammars
from jupyter_llm.engine.local.masks.grammar import GrammarMask, Grammars, problem_of
from jupyter_llm.engine.request import Message, Priority
from jupyter_llm.errors import EngineError, OptionError

PROMPT = "the quick brown fox jumps over "
HOT = {"temperature": 1.5, "seed": 3}


def short(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


PERSON = record(
    name=short(8),
    age={"type": "integer", "minimum": 0, "maximum": 150},
    tall={"type": "boolean"},
    home={"enum": ["Köln", "x"]},
)
SCHEMA = Grammar("json", json.dumps(PERSON))
STARTS = ("the lazy dog", "thermometer", "ein Übermut ✓", "the other hand and then the rain")
PATTERN = Grammar("regex", r"(the|ein) (dog|Übermut)( [a-c]{1,3})?")
LARK = Grammar("lark", 'start: "<" item ("," item)* ">"\nitem: /[0-9é👩]{1,4}/')


def is_of(grammar: Grammar, text: str) -> bool:
    if grammar.kind == "regex":
        return re.fullmatch(grammar.text, text) is not None
    if grammar.kind == "lark":
        return re.fullmatch("<[0-9é👩]{1,4}(,[0-9é👩]{1,4})*>", text) is not None
    jsonschema.validate(json.loads(text), json.loads(grammar.text))  # type: ignore[no-untyped-call]
    return True


def asked(engine: LocalEngine, grammar: Grammar, prompt: str = PROMPT, **more: Any) -> Completion:
    more = {"max_tokens": 120, "ignore_eos": False, **more}
    return ask(engine, prompt, constraint=grammar, **more)


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LocalEngine]:
    with closing():
        yield load(tiny_gguf, checkpoints=False)


# -- the grammar -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grammar", [SCHEMA, PATTERN, LARK, Grammar("json", "{}")])
def test_a_grammar_that_compiles_has_no_problem(grammar: Grammar) -> None:
    assert problem_of(grammar) == ""


HOSTILE = {
    "no pattern": (Grammar("regex", "(a"), "unclosed group"),
    "looks around": (Grammar("regex", "(?=a)b"), "look-around"),
    "no JSON": (Grammar("json", "{"), "EOF"),
    "no language": (Grammar("lark", "x"), ""),
    "no text": (Grammar("json", '{"$ref": "#"}'), ""),
    "unknown keyword": (Grammar("json", '{"not": {"type": "string"}}'), "not"),
    "two to the forty": (
        Grammar("lark", "start: R0\n" + "".join(f"R{i}: R{i + 1} R{i + 1}\n" for i in range(40))
                + 'R40: "a"'),
        "too big",
    ),
    "deep": (Grammar("lark", "start: " + "(" * 9999 + '"a"' + ")" * 9999), "nested"),
    "remainders": (Grammar("json", '{"type": "integer", "multipleOf": 999983}'), "multipleOf"),
    "large": (Grammar("regex", "a" * 600_000), "600,000 characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_compile_says_why_and_fails_alone(engine: LocalEngine, name: str) -> None:
    grammar, why = HOSTILE[name]
    assert why in problem_of(grammar)
    assert problem_of(grammar).count("\n") == 0
    with pytest.raises(OptionError, match="No answer can have that shape"):
        asked(engine, grammar)
    assert_nothing_leaks(engine)


def test_a_blank_that_may_not_come_speaks_for_the_end() -> None:
    pieces = [*(bytes([byte]) for byte in range(256)), b" apples", b"(apples", b""]
    vocabulary: Any = SimpleNamespace(pieces=pieces, tokenize=lambda text: [*text.encode()])
    mask = Grammars(vocabulary, [258]).mask(Grammar("regex", "[0-9]{1,9}"))
    for may_end in (False, True):
        logits = np.zeros(len(pieces), np.float32)
        logits[-3:] = (5, 9, 1)
        mask.apply(logits)
        assert logits[258] == pytest.approx(
            math.log(math.e + math.e**5 + 6) if may_end else -math.inf
        )
        assert np.isfinite(logits).sum() == 10 + may_end
        mask.accept(ord("1"))


def test_rules_of_rules_do_not_reach_the_end_of_the_stack() -> None:
    rules = "".join(f"r{i}: r{i + 1}\n" for i in range(20_000))
    assert problem_of(Grammar("lark", f'start: r0\n{rules}r20000: "a"')) == ""


# -- answers ---------------------------------------------------------------------------------------

BANS = tuple((token, -math.inf) for token in range(200))
SAMPLING: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": HOT,
    "chain": {**HOT, "exact": False, "top_k": 2, "min_p": 0.3, "repeat_penalty": 1.7},
    "very hot": {"temperature": 1e6, "seed": 5},
    "exact": {"exact": True},
    "no drafts": {"lookup": False},
    "logprobs": {"logprobs": 2},
    "bulk": {"priority": Priority.BULK},
    "bytes banned": {"logit_bias": BANS},
    "another token wanted": {"logit_bias": ((ord("Q"), 1e30),)},
    "no end": {"ignore_eos": True},
}


@pytest.mark.parametrize("name", SAMPLING)
def test_an_answer_is_of_its_language_or_is_cut(engine: LocalEngine, name: str) -> None:
    num_whole = 0
    for grammar in (SCHEMA, PATTERN, LARK):
        for seed in range(4 if "seed" in SAMPLING[name] else 1):
            more = {**SAMPLING[name], **({"seed": seed} if "seed" in SAMPLING[name] else {})}
            completion = asked(engine, grammar, **more)
            assert completion.finish_reason in ("stop", "length", "repetition")
            if completion.finish_reason == "stop":
                assert is_of(grammar, completion.text)
                num_whole += 1
    assert num_whole
    assert_nothing_leaks(engine)


@pytest.mark.parametrize("model", ["tiny_utf8_gguf", "tiny_base_gguf", "tiny_window_gguf"])
def test_other_vocabularies_write_it_too(request: pytest.FixtureRequest, model: str) -> None:
    engine = load(request.getfixturevalue(model), checkpoints=False)
    for seed in range(5):
        completion = asked(engine, SCHEMA, temperature=1.2, seed=seed)
        assert completion.finish_reason == "stop"
        assert is_of(SCHEMA, completion.text)


@pytest.mark.parametrize("begin", ["", "abc"])
def test_a_mask_that_fails_fails_its_answer_alone(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    def fail(_mask: GrammarMask, _logits: np.ndarray) -> None:
        raise EngineError("The answer cannot go on in its shape.")

    monkeypatch.setattr(GrammarMask, "apply", fail)
    many = Grammar("regex", f"{begin}[xy]+")
    other = submit(engine, PROMPT, 20)
    with pytest.raises(EngineError, match="cannot go on in its shape"):
        asked(engine, many, max_tokens=500)
    assert len(other.result(60).token_ids or ()) == 20
    assert_nothing_leaks(engine)


def test_others_go_on_while_a_grammar_is_compiled(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Grammar("regex", "(yes|no), never compiled before")
    may_go_on, compiled = threading.Event(), grammars._compiled
    with monkeypatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr(grammars, "_compiled", lambda *what: may_go_on.wait(60) and compiled(*what))
        waiting = pool.submit(asked, engine, new)
        assert len(ask(engine, PROMPT, 20).token_ids or ()) == 20
        may_go_on.set()
        assert is_of(new, waiting.result(60).text)
    assert_nothing_leaks(engine)


def test_a_grammar_that_was_given_up_is_compiled_when_it_is_asked_for_again(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Grammar("regex", "(yes|no), on a machine that was busy")

    def give_up(*_what: object) -> None:
        raise ValueError("it takes more than 5 s")

    monkeypatch.setattr(grammars, "_compiled", give_up)
    streams = [submit(engine, PROMPT, constraint=new, ignore_eos=False) for _ in range(2)]
    for stream in streams:
        with pytest.raises(OptionError, match="more than 5 s"):
            stream.result(60)
    monkeypatch.undo()
    assert is_of(new, asked(engine, new).text)


def mixed(seed: int) -> dict[str, Any]:
    """Answers with a shape and free ones, greedy and drawn ones."""
    return {
        "prompt": PROMPT + str(seed % 3),
        "max_tokens": 60,
        "constraint": (SCHEMA, PATTERN, BeginsWith(STARTS), None)[seed % 4],
        "ignore_eos": False,
        "temperature": seed % 3 and 1.2,
        "repeat_penalty": 1.3 if seed % 5 == 1 else 1,
        "logprobs": 1 if seed % 3 < 2 else None,
    }


@pytest.mark.parametrize(
    "model",
    [
        *("touchy_gguf", "tiny_recurrent_gguf", "tiny_window_gguf"),
        pytest.param("smollm2", marks=[pytest.mark.slow, pytest.mark.soak]),
    ],
)
def test_company_drafts_and_forced_tokens_change_no_exact_answer(
    request: pytest.FixtureRequest, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_exact = model != "tiny_recurrent_gguf"
    path = request.getfixturevalue(model)
    answers = exact_in_company(path, mixed, monkeypatch, is_exact=is_exact)
    assert all(one.text.startswith(STARTS) for one in answers[2::4])


@pytest.mark.parametrize("priority", [Priority.CHAT, Priority.BULK])
def test_an_object_takes_fewer_steps_than_it_has_tokens(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch, priority: Priority
) -> None:
    engine = load(smollm2, checkpoints=False, exact=False)
    steps: list[int] = []
    before_each_step(engine, monkeypatch, steps.append)
    prompt = (Message("user", "Invent a person."),)
    shape = Grammar("json", json.dumps(record(**dict.fromkeys(
        ("name", "city", "occupation", "favourite_colour"), short(20)
    ))))  # fmt: skip
    completion = ask(engine, prompt, 80, constraint=shape, ignore_eos=False, priority=priority)
    assert is_of(shape, completion.text)
    assert len(steps) <= 0.7 * completion.usage.completion_tokens


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "num_objects", [4, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.slow])]
)
def test_objects_of_real_schemas_validate_or_are_a_reported_cut(
    smollm2: Path, num_objects: int
) -> None:
    engine = load(smollm2, checkpoints=False, exact=False)
    small = ("person", "review", "call", "flags")
    names = small if num_objects == len(small) else tuple(SCHEMAS)
    streams = []
    for number in range(num_objects):
        asks, schema = SCHEMAS[names[number % len(names)]]
        shape = Grammar("json", json.dumps(schema))
        more: dict[str, Any] = {"constraint": shape, "temperature": 1.2, "seed": number}
        prompt = (Message("user", f"{asks} Answer in JSON."),)
        more |= {"ignore_eos": False, "priority": Priority.BULK}
        streams.append((shape, submit(engine, prompt, 300 if num_objects > 4 else 120, **more)))
    num_whole = 0
    for shape, stream in streams:
        completion = stream.result(600)
        assert not re.search(r"\s{20}$", completion.text)
        if completion.finish_reason == "stop":
            assert is_of(shape, completion.text)
            num_whole += 1
        else:
            assert completion.finish_reason in ("length", "repetition")
    assert num_whole > 0.7 * num_objects
    assert_nothing_leaks(engine)
