"""A chat that goes on after a restart gives the model the same tokens as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_llm.chat.archive import Archive
from jupyter_llm.chat.context import Context, Part, Turn
from jupyter_llm.chat.store import StoredChats
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.models.discover import find_model

LETTERS = tuple((ord(letter), 100.0) for letter in "in")
PROMPTS = ("The quick brown fox?", "And the dog, é\n\t?")


def test_the_next_prompt_is_token_for_token_what_it_would_have_been(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    engine = LocalEngine(find_model(tiny_gguf), EngineOptions(n_threads=1))
    archive = Archive()
    archive.open(tmp_path / "a.ipynb")
    turns: tuple[Turn, ...] = ()
    for number, prompt in enumerate(PROMPTS, 1):
        told = (Part(f"x{number} = 1\n", variable="x"),)
        shape: dict[str, Any] = {"instruction": f"One of {number}."}
        asked = Context(prompt=prompt, turns=turns, variables=told, **shape)
        # Letter by letter, which is not how the text would be read.
        params = SamplingParams(seed=number, max_tokens=24, ignore_eos=True, logit_bias=LETTERS)
        completion = engine.submit(Request(prompt=asked.messages, params=params)).result(60)
        turn = Turn(
            prompt, completion, parts=asked.parts, number=number, parent=number - 1, **shape
        )
        archive.write(StoredChats.keep, "default", turn)
        turns = (*turns, turn)

    restarted = Archive()
    restarted.open(tmp_path / "a.ipynb")
    restored = restarted.waiting["default"].turns
    messages = Context(prompt="Go on.", turns=turns).messages
    assert Context(prompt="Go on.", turns=restored).messages == messages
    plain = tuple(Message(message.role, message.content) for message in messages)
    assert engine.tokenize(plain) != engine.tokenize(messages)
    engine.close()
