"""Prompts to tokens with real vocabularies: each part once, begun once, and ended where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.engines import ask, load, num_read, prefill, wait_until_idle
from support.tiny_model import write_tiny_model

from jupyter_llm.engine.info import FimTokens, NotebookTokens
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.request import Message, Prompt, RawPrompt, Special
from jupyter_llm.errors import ContextOverflowError

CODE = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
CODE_ENDS = ("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
NOTEBOOK = ("<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>")
STARCODER = (*(text.replace("|", "") for text in CODE), *NOTEBOOK, "<repo_name>", "<file_sep>")
CELLS = tuple(f"In [{n}]:\nx_{n} = {n}\n\n" for n in range(60))


@pytest.fixture
def engine(tiny_gguf: Path) -> LocalEngine:
    return load(tiny_gguf, checkpoints=False)


@contextmanager
def tokenized(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, by: str = "tokenize"
) -> Iterator[list[str]]:
    """The texts that are tokenized meanwhile by one of two: `_tokens` is llama.cpp itself."""
    texts: list[str] = []
    weights = engine._model.weights
    tokenize = getattr(weights, by)

    def listening(text: str, **options: Any) -> list[int]:
        texts.append(text)
        tokens: list[int] = tokenize(text, **options)
        return tokens

    with monkeypatch.context() as patch:
        patch.setattr(weights, by, listening)
        yield texts


def test_of_a_prompt_of_many_cells_only_the_one_that_changed_is_tokenized(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.tokenize(RawPrompt((*CELLS, "import nump")))
    with tokenized(engine, monkeypatch) as texts:
        after = engine.tokenize(RawPrompt((*CELLS, "import numpy")))
    assert texts == ["import numpy"]
    assert after == engine.tokenize("".join(CELLS)) + engine.tokenize("import numpy")
    assert before == engine.tokenize("".join(CELLS)) + engine.tokenize("import nump")


def test_of_a_prompt_that_was_read_ahead_only_the_new_part_is_read(engine: LocalEngine) -> None:
    start: tuple[str | Special, ...] = (Special("<|im_start|>"), *CELLS, "import nump")
    prefill(engine, RawPrompt(start), conversation="ghost", temperature=1)
    wait_until_idle(engine)
    completion = ask(engine, RawPrompt((*start, "y as")), 1, conversation="ghost", exact=False)
    assert num_read(completion) <= len("y as")


@pytest.mark.parametrize("is_spm", [False, True], ids=["bpe", "spm"])
def test_the_begin_token_stands_in_front_once(tmp_path: Path, *, is_spm: bool) -> None:
    engine = load(write_tiny_model(tmp_path / "begins.gguf", begins=True, is_spm=is_spm))
    bos = engine._model.weights.bos
    (begin,) = engine.tokenize(RawPrompt((Special(bos),)))
    hello = engine.tokenize_texts(["Hello"])[0]
    prompts: tuple[Prompt, ...] = (
        "Hello",
        RawPrompt(("Hello",)),
        RawPrompt((Special(bos), "Hello")),
    )
    assert {engine.tokenize(prompt) for prompt in prompts} == {(begin, *hello)}
    assert engine.tokenize("") == engine.tokenize(RawPrompt(("",))) == ()
    plain = engine.tokenize(bos)
    assert plain[0] == begin
    assert begin not in plain[1:]


def test_no_space_gets_between_plain_parts(tmp_path: Path) -> None:
    engine = load(write_tiny_model(tmp_path / "spm.gguf", is_spm=True))
    whole = engine.tokenize("int(x)")
    assert text_of(engine, whole) == b" int(x)"
    for parts in (("i", "nt(", "x)"), ("", "i", "", "nt(x)"), ("int(x", ")")):
        assert text_of(engine, engine.tokenize(RawPrompt(parts))) == text_of(engine, whole)
    after = engine.tokenize(RawPrompt((Special("</s>"), "i", "nt(x)")))
    assert text_of(engine, after[1:]) == text_of(engine, whole)


TORN = ("<a>", "a>bcd", "<|x|>", "|>y", "[b]", "[b][c]", "zz", "zzz")


@pytest.mark.parametrize("is_spm", [False, True], ids=["bpe", "spm"])
def test_a_long_text_has_the_tokens_that_llama_cpp_gives_it_whole(
    tmp_path: Path, *, is_spm: bool
) -> None:
    engine = load(write_tiny_model(tmp_path / "torn.gguf", control_texts=TORN, is_spm=is_spm))
    weights, random = engine._model.weights, Random(0)  # noqa: S311
    words = (*TORN, *weights.control_ids, "<a>bcd", "<|x|>y", "<", " ", "\n\n", "the quick", "é")
    for _ in range(20):
        text = "".join(random.choices(words, k=1000))
        for is_special in (False, True):
            pieces = weights.tokenize(text, is_special=is_special)
            assert pieces == weights._tokens(text, is_special=is_special, add_bos=False)


def test_many_short_messages_are_read_a_few_at_a_time_and_no_further_than_they_fit(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = tuple(Message("user", f"number {number}") for number in range(20_000))
    engine.tokenize(messages[:1])
    with tokenized(engine, monkeypatch, "_tokens") as texts:
        engine.tokenize(messages[:2000])
        assert max(map(len, texts)) < 1100
        assert "".join(texts) == engine.format(messages[:2000])
        for num_messages in (2000, 20_000):
            texts.clear()
            with pytest.raises(ContextOverflowError, match="more than 8192 tokens"):
                ask(engine, messages[:num_messages])
            assert sum(map(len, texts)) < 3 * 8192


def text_of(engine: LocalEngine, token_ids: tuple[int, ...]) -> bytes:
    return b"".join(map(engine._model.weights.bytes_of, token_ids))


@pytest.mark.parametrize(
    ("control_texts", "fim", "notebook"),
    [
        ((), None, None),
        (CODE[:2], None, None),
        (NOTEBOOK[:3], None, None),
        (CODE, FimTokens(prefix=CODE[0], suffix=CODE[1], middle=CODE[2]), None),
        (
            (*CODE, *CODE_ENDS),
            FimTokens(
                prefix=CODE[0],
                suffix=CODE[1],
                middle=CODE[2],
                pad="<|fim_pad|>",
                repository="<|repo_name|>",
                file_separator="<|file_sep|>",
            ),
            None,
        ),
        (
            STARCODER,
            FimTokens(
                prefix="<fim_prefix>",
                suffix="<fim_suffix>",
                middle="<fim_middle>",
                repository="<repo_name>",
                file_separator="<file_sep>",
            ),
            NotebookTokens(
                start="<jupyter_start>",
                text="<jupyter_text>",
                code="<jupyter_code>",
                output="<jupyter_output>",
            ),
        ),
    ],
    ids=["neither", "half of fim", "half of notebook", "fim", "qwen", "starcoder"],
)
def test_a_model_tells_its_tokens_for_gaps_and_notebooks_and_each_is_one(
    control_texts: tuple[str, ...],
    fim: FimTokens | None,
    notebook: NotebookTokens | None,
    tmp_path: Path,
) -> None:
    engine = load(write_tiny_model(tmp_path / "code.gguf", control_texts=control_texts))
    assert engine.info.fim == fim
    assert engine.info.notebook == notebook
    assert len(engine.tokenize(RawPrompt(tuple(map(Special, control_texts))))) == len(control_texts)


@pytest.mark.parametrize(
    "control_texts", [(*CODE, *CODE_ENDS), STARCODER], ids=["qwen", "starcoder"]
)
def test_a_completion_ends_at_such_a_token_and_does_not_show_it(
    control_texts: tuple[str, ...], tmp_path: Path
) -> None:
    engine = load(write_tiny_model(tmp_path / "code.gguf", control_texts=control_texts))
    for text in (*control_texts, "<|endoftext|>"):
        (token_id,) = engine.tokenize(RawPrompt((Special(text),)))
        drawn = {"ignore_eos": False, "logit_bias": ((token_id, 1e4),)}
        completion = ask(engine, "x = ", 5, **drawn)
        assert (completion.text, completion.finish_reason) == ("", "stop")
