"""Raw prompts of texts with control tokens written into them."""

from __future__ import annotations

import re

from jupyter_llm.engine.request import RawPrompt, Special

_CONTROL = re.compile(r"(<\|\w+\|>)")


def with_specials(text: str) -> RawPrompt:
    """A text as the parts it is made of: `<|im_end|>` and the like are control tokens."""
    parts = _CONTROL.split(text)
    return RawPrompt(tuple(Special(p) if _CONTROL.fullmatch(p) else p for p in parts if p))
