"""What clients are answered by OpenAI's protocol: JSON, whole or in pieces."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from jupyter_llm.engine.completion import Chunk, Completion, Usage
from jupyter_llm.engine.options import DRAWN
from jupyter_llm.engine.tokens import TokenLogprob
from jupyter_llm.frontends.serve.calls import Wish

if TYPE_CHECKING:
    import numpy as np

    from jupyter_llm.engine.info import ModelInfo

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of a wish: what was written, and what was read before that."""

    wish: Wish
    completion: Completion | None = None
    read: Completion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is the same in all pieces of an answer to one call, which is of a chat or of a text."""

    kind: str
    info: ModelInfo
    created: int = field(default_factory=lambda: int(time.time()))
    number: str = field(default_factory=lambda: secrets.token_hex(12))

    def whole(self, answers: Sequence[Answered]) -> Json:
        """The answers, all at once."""
        choices = []
        for index, one in enumerate(answers):
            text = one.wish.echo + (one.completion.text if one.completion else "")
            told: Json = {"text": text}
            if self.kind == "chat":
                told = {"message": {"role": "assistant", "content": text}}
                if one.completion is not None and one.completion.reasoning:
                    told["message"]["reasoning_content"] = one.completion.reasoning
            choices.append({"index": index, **told, **self._ending(one)})
        return self._around("", choices=choices, usage=_usage(answers))

    def told(self, index: int, piece: Chunk | Answered, begun: set[int]) -> Json:
        """A piece of an answer; its end tells why, and how likely its tokens were."""
        text = thought = ""
        ending: Json = {"logprobs": None, "finish_reason": None}
        if isinstance(piece, Answered):
            ending = self._ending(piece)
        else:
            text, thought = piece.text, piece.reasoning
        said = {
            **({} if index in begun else {"role": "assistant"}),
            **({"content": text} if text else {}),
            **({"reasoning_content": thought} if thought else {}),
        }
        begun.add(index)
        told: Json = {"delta": said} if self.kind == "chat" else {"text": text}
        return self._around(".chunk", choices=[{"index": index, **told, **ending}])

    def usage(self, answers: Iterable[Answered]) -> Json:
        """What it all cost."""
        return self._around(".chunk", choices=[], usage=_usage(answers))

    def _ending(self, answered: Answered) -> Json:
        logprobs = _chat_logprobs if self.kind == "chat" else _text_logprobs
        is_whole = answered.completion is not None and answered.completion.finish_reason == "stop"
        # OpenAI has one word for whatever else ends an answer.
        return {"logprobs": logprobs(answered), "finish_reason": "stop" if is_whole else "length"}

    def _around(self, ending: str, **more: Any) -> Json:
        is_chat = self.kind == "chat"
        return {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{self.number}",
            "object": f"chat.completion{ending}" if is_chat else "text_completion",
            "created": self.created,
            "model": self.info.name,
            "system_fingerprint": self.info.build,
            **more,
        }


def model(name: str, n_ctx: int | None = None) -> Json:
    """A model that is served; by its owner clients know this server."""
    told = {"id": name, "object": "model", "created": 0, "owned_by": "jupyter_llm"}
    return {**told, "max_model_len": n_ctx}


def properties(info: ModelInfo) -> Json:
    """What is told of the model of the chats, by llama-server's names."""
    drawn = {name: getattr(info.sampling.params, name) for name in DRAWN}
    return {"build_info": info.build, "n_ctx": info.n_ctx, "total_slots": 16, "params": drawn}


def vectors(rows: Sequence[np.ndarray], encoding: str, name: str, num_tokens: int) -> Json:
    """Vectors of texts, as numbers or as the bytes of 32-bit floats."""
    told = [
        base64.b64encode(row.astype("<f4").tobytes()).decode()
        if encoding == "base64"
        else row.tolist()
        for row in rows
    ]
    data = [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(told)]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def failure(message: str, status: int, code: str | None = None) -> Json:
    """Why there is no answer."""
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004  HTTP's
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _usage(answers: Iterable[Answered]) -> Json:
    """What answers cost together; a prompt that was asked several times counts once."""
    prompt = cached = written = thought = 0
    for one in answers:
        usage = one.completion.usage if one.completion else Usage()
        written += usage.completion_tokens
        thought += usage.reasoning_tokens
        if one.wish.is_again:
            continue
        if one.read is not None:  # its first token, and those behind it
            prompt += one.read.usage.prompt_tokens + one.read.usage.completion_tokens
        else:
            prompt += usage.prompt_tokens
            cached += usage.cached_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _chat_logprobs(answered: Answered) -> Json | None:
    tokens = answered.completion.logprobs if answered.completion else None
    if tokens is None:
        return None
    told = [
        {**_likely(t.text, t.logprob), "top_logprobs": [_likely(*other) for other in t.top]}
        for t in tokens
    ]
    return {"content": told, "refusal": None}


def _likely(text: str, logprob: float) -> Json:
    whole = None if "\ufffd" in text else list(text.encode())  # half a character is no text
    return {"token": text, "logprob": logprob, "bytes": whole}


def _text_logprobs(answered: Answered) -> Json | None:
    wish = answered.wish
    if wish.logprobs is None:
        return None
    found = (one.logprobs for one in (answered.read, answered.completion) if one is not None)
    tokens = [token for some in found for token in some or ()]
    if answered.completion is not None and answered.completion.ending is not None:
        tokens.append(answered.completion.ending)  # as vLLM has it, and whoever counts tokens
    first = [wish.first] if wish.first else []  # of which nothing is known
    texts = [*first, *(token.text for token in tokens)]
    return {
        "tokens": texts,
        "token_logprobs": [*(None for _ in first), *(token.logprob for token in tokens)],
        "top_logprobs": [*(None for _ in first), *map(_tops, tokens)],
        "text_offset": list(accumulate(map(len, texts), initial=0))[:-1],
    }


def _tops(token: TokenLogprob) -> dict[str, float]:
    """The likeliest texts in a token's place, and its own; of tokens of one text the likeliest."""
    tops: dict[str, float] = {}
    for text, logprob in (*token.top, (token.text, token.logprob)):
        tops.setdefault(text, logprob)
    return tops
