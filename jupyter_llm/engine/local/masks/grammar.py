"""The mask of an answer in a formal language. The only module that imports llguidance."""

from __future__ import annotations

import math
import re
import threading
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from jupyter_llm.engine.local.masks.beginning import LEAST
from jupyter_llm.errors import EngineError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from llguidance._lib import JsonCompileOptions

    from jupyter_llm.engine.constraint import Grammar
    from jupyter_llm.engine.local.native.vocabulary import Vocabulary

# Blanks only where JSON is commonly written with them: no answer is made of blanks without end,
# and what has to come is known.
_JSON: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}
_MAX_CHARS = 500_000
# llguidance goes down into rules of rules by calls of calls, and its end of the stack would be the
# process's. No letter of a grammar took more than 700 bytes of it.
_STACK_A_CHAR, _LEAST_STACK = 1000, 16 << 20
_COMPILE_S = 5.0
_FUEL = 400_000  # an enum of 5,000 takes a quarter of it
# Each number below it that it may leave takes memory: a prime near a million took 9 s and 400 MB.
_MOST_MULTIPLE = 100_000
_MULTIPLE_OF = re.compile(r'"multipleOf"\s*:\s*([0-9.]+)')
_NUM_KEPT = 64  # compiled grammars
_stack_size = threading.Lock()


def problem_of(grammar: Grammar) -> str:
    """Why nothing can be written in a grammar, as llguidance puts it; "" if something can."""
    try:
        _of_bytes(grammar.kind, grammar.text)
    except ValueError as error:  # which is not kept: the machine may have been busy
        return str(error)
    return ""


def fits(grammar: Grammar, text: str) -> bool:
    """Tell whether a whole text is of a language; needs no model, as `problem_of`."""
    matcher = _of_bytes(grammar.kind, grammar.text).deep_copy()
    data = list(text.encode("utf-8", "replace"))
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


@lru_cache(_NUM_KEPT)
def _of_bytes(kind: str, text: str) -> LLMatcher:
    matcher = _compiled(kind, text, _bytes())
    begun = matcher.deep_copy()
    begun.compute_bitmask()  # where it turns out that there is no text of the language
    if begun.is_error():
        raise ValueError(_reason(begun))
    return matcher


def _reason(matcher: LLMatcher) -> str:
    """Return the error as one line; for a regular expression the line with the reason."""
    lines = matcher.get_error().splitlines() or [""]
    return next((line for line in lines if line.startswith("error: ")), lines[0])


def _compiled(kind: str, text: str, tokenizer: LLTokenizer) -> LLMatcher:
    """Compile a grammar; raise `ValueError` with the reason if that fails.

    This runs in a thread with a stack that is large enough. A thread that takes too long is
    abandoned, and counts as a failure.
    """
    if len(text) > _MAX_CHARS:
        raise ValueError(f"it has {len(text):,} characters, of at most {_MAX_CHARS:,}")
    steps = [Fraction(found).numerator for found in _MULTIPLE_OF.findall(text)]
    if math.lcm(*steps) > _MOST_MULTIPLE:
        raise ValueError(f"its multipleOf may come to {_MOST_MULTIPLE:,} at most, all together")
    made: list[tuple[LLMatcher | None, str]] = []

    def make() -> None:
        try:
            matcher = LLMatcher(tokenizer, _source(kind, text), log_level=0, limits=_limits())
            made.append((None if matcher.is_error() else matcher, _reason(matcher)))
        except BaseException as error:  # noqa: BLE001  panics, too
            made.append((None, str(error)))

    thread = threading.Thread(target=make, name="jupyter-llm-grammar", daemon=True)
    with _stack_size:
        before = threading.stack_size(max(_LEAST_STACK, _STACK_A_CHAR * len(text)))
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join(_COMPILE_S)
    if not made:
        raise ValueError(f"it takes more than {_COMPILE_S:.0f} s to compile")
    matcher, problem = made[0]
    if matcher is None:
        raise ValueError(problem)
    return matcher


def _source(kind: str, text: str) -> str:
    """A grammar as llguidance reads it."""
    if kind == "json":
        return LLMatcher.grammar_from_json_schema(text, overrides=_JSON)
    if kind == "regex":
        return LLMatcher.grammar_from_regex(text)
    return LLMatcher.grammar_from_lark(text)


def _limits() -> LLParserLimits:
    return LLParserLimits(initial_lexer_fuel=_FUEL, verbose_errors=False)


class _Words(TokenizerWrapper):
    """A vocabulary as llguidance asks for it, with an end token of its own.

    That one is never drawn: it is there for vocabularies without.
    """

    is_tokenizer_wrapper = True

    def __init__(self, pieces: Sequence[bytes], tokenize: Callable[[bytes], list[int]]) -> None:
        self.tokens = [*pieces, b""]
        self.eos_token_id = len(pieces)
        self.bos_token_id = None
        self.special_token_ids = ()
        self._tokenize = tokenize

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenize(text if isinstance(text, bytes) else text.encode())


@lru_cache(1)
def _bytes() -> LLTokenizer:
    """A vocabulary of bytes, for whether there is a text at all."""
    return LLTokenizer(_Words([bytes([byte]) for byte in range(256)], list), slices=[])


class Grammars:
    """The grammars that are asked of one loaded model, compiled for its vocabulary.

    `end_ids` are the tokens that end an answer. They must outlive the masks.
    """

    def __init__(self, vocabulary: Vocabulary, end_ids: Collection[int]) -> None:
        words = _Words(
            vocabulary.pieces, lambda text: vocabulary.tokenize(text.decode("utf-8", "replace"))
        )
        # Only the bytes of tokens are looked at, until something is forced.
        self._tokenizer = lru_cache(1)(
            lambda: LLTokenizer(words, eos_token=[*sorted(end_ids), words.eos_token_id])
        )
        self._matcher = lru_cache(_NUM_KEPT)(
            lambda kind, text: _compiled(kind, text, self._tokenizer())
        )
        self._ends = np.array(sorted(end_ids), np.intp)
        self._blanks = np.array([piece[:1].isspace() for piece in vocabulary.pieces])

    def mask(self, grammar: Grammar) -> GrammarMask:
        """Make the mask of one answer, on any thread: a vocabulary's first takes two seconds.

        Raises `OptionError` if the grammar does not compile.
        """
        try:
            _of_bytes(grammar.kind, grammar.text)
            matcher = self._matcher(grammar.kind, grammar.text)
        except ValueError as error:
            told = f"No answer can have that shape ({error}). Write a simpler one."
            raise OptionError(told) from error
        return GrammarMask(matcher.deep_copy(), self._ends, self._blanks)


class GrammarMask:
    """Lets an answer be a text of a language, and end where that has one; see `Grammar`.

    What has to come is no choice, as with `BeginningMask`. Where the answer may end, what begins
    with a blank and may not come speaks for the end, as in "12 apples": one of the tokens `ends`.
    """

    def __init__(self, matcher: LLMatcher, ends: np.ndarray, blanks: np.ndarray) -> None:
        self._matcher = matcher
        self._ends = ends
        self._blanks = blanks
        self._forced: list[int] | None = None  # not known yet

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come but the end."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def apply(self, logits: np.ndarray) -> None:
        """Set the logits of all tokens that may not come to -inf, in place; no others are so.

        Raises `EngineError` if the tokens cannot be computed.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        refused = np.unpackbits(bits, count=len(logits), bitorder="little") == 0
        if self._matcher.is_error() or refused.all():
            reason = _reason(self._matcher) or "no token fits"
            raise EngineError(
                f"The answer cannot go on in its shape ({reason}). Write a simpler one."
            )
        if len(self._ends) and self._matcher.is_accepting():
            end = self._ends[np.argmax(logits[self._ends])]
            others = logits[refused & self._blanks]
            logits[end] = np.logaddexp.reduce(others, initial=logits[end])
        np.maximum(logits, LEAST, out=logits)
        logits[refused] = -np.inf

    def accept(self, token_id: int) -> None:
        """Take in a token that was drawn, one of those that might come."""
        self._forced = self.forced()[1:] or None
        self._matcher.consume_token(token_id)

    def forced(self) -> list[int]:
        """Return the tokens that must come next, as far as the grammar determines them."""
        if self._forced is None:
            self._forced = self._matcher.compute_ff_tokens()
        return self._forced

    def num_fitting(self, token_ids: Sequence[int]) -> int:
        """Return how many of some tokens may come one after the other."""
        return self._matcher.validate_tokens(list(token_ids))
