"""A chat that goes on after a restart gives the model the same tokens as before."""

from __future__ import annotations

from pathlib import Path

from jupyter_llm.chat.history import History
from jupyter_llm.chat.saved import SavedTurn
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
    history = History(tmp_path / "a.ipynb", folder=tmp_path / "history")
    messages: tuple[Message, ...] = ()
    for number, prompt in enumerate(PROMPTS):
        sent = Message.of_parts("user", [f"In [{number}]: x\n", prompt]) if number else None
        asked = (*messages, sent or Message("user", prompt))
        # Letter by letter, which is not how the text would be read.
        params = SamplingParams(seed=number, max_tokens=24, ignore_eos=True, logit_bias=LETTERS)
        completion = engine.submit(Request(prompt=asked, params=params)).result(60)
        turn = SavedTurn(chat="default", prompt=prompt, completion=completion, sent=sent)
        history.record(turn)
        messages = (*messages, *turn.messages)
    assert history.flush(30)
    history.close()

    restarted = History(tmp_path / "a.ipynb", folder=tmp_path / "history")
    turns = restarted.load()["default"].turns
    restarted.close()
    restored = tuple(message for turn in turns for message in turn.messages)
    follow_up = Message("user", "Go on.")
    assert restored == messages
    assert engine.tokenize((*restored, follow_up)) == engine.tokenize((*messages, follow_up))
    plain = tuple(Message(message.role, message.content) for message in messages)
    assert engine.tokenize((*plain, follow_up)) != engine.tokenize((*messages, follow_up))
    engine.close()
