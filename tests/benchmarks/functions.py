"""Sixty requests with functions to call: our server beside llama-server with `--jinja`.

Run as: python tests/benchmarks/functions.py [--model FILE.gguf] [--only N,N] [--json FILE]
        [--contestants ours,llama-server] [--server FILE]

The official client asks the servers in turn, for at most 200 tokens at temperature 0.

- well formed: every call names an offered function, and its JSON fits the function's schema. A
  call that the server left in the text is not well formed.
- right function: the called functions are the expected ones. Eight requests need none.
- right arguments: the calls are also well formed, and equal the expected ones in lower case.
- alone: the requests that only this contestant has right.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
import tomllib
from ast import literal_eval, parse
from contextlib import ExitStack, closing
from functools import partial
from itertools import compress, permutations, product
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
from openai import APIError, OpenAI

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.guests import LLAMA_SERVER, ours
from benchmarks.peers import LlamaServer
from benchmarks.report import table
from benchmarks.side_by_side import choices, default_model, describe, parser_for, show, write_json

CONTESTANTS = ("ours", "llama-server")
MARKS = ("well formed", "right function", "right arguments")
_LEFT_IN_TEXT = re.compile(r'</?tool|<function|"(?:name|function|arguments|parameters)"\s*:')
Call = tuple[str, str]  # a function's name, and its arguments as JSON


class Request(NamedTuple):
    """A prompt. `wanted`: the expected calls; a tuple lists right values, `...`: none is right."""

    number: int
    ask: str
    tools: dict[str, Any]
    wanted: list[tuple[str, dict[str, Any]]]


def tool(name: str, about: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a function in the protocol's form; a parameter with a default is optional."""
    required = [key for key, schema in parameters.items() if "default" not in schema]
    schema = {"type": "object", "properties": parameters, "required": required}
    function = {"name": name, "description": about, "parameters": schema}
    return {"type": "function", "function": function}


def requests() -> list[Request]:
    """Read the requests; their numbers are their places in the file."""
    parts = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    tools = {name: tool(name, **about) for name, about in parts["functions"].items()}
    read = []
    for number, (ask, offered, source) in enumerate(parts["requests"], 1):
        calls: list[Any] = [line.value for line in parse(source).body]
        wanted = [(c.func.id, {a.arg: literal_eval(a.value) for a in c.keywords}) for c in calls]
        read.append(Request(number, ask, {name: tools[name] for name in offered.split()}, wanted))
    return read


def is_well_formed(call: Call, tools: dict[str, Any]) -> bool:
    try:
        schema = tools[call[0]]["function"]["parameters"]
        return bool(jsonschema.Draft202012Validator(schema).is_valid(json.loads(call[1])))
    except (KeyError, ValueError):
        return False


def fits(call: Call, name: str, wanted: dict[str, Any]) -> bool:
    """Whether a well formed call is an expected one."""
    given = json.loads(call[1].casefold())
    several = {key: one if isinstance(one, tuple) else (one,) for key, one in wanted.items()}
    is_right = all(given.get(key, ...) in values for key, values in several.items())
    return is_right and call[0] == name and given.keys() <= wanted.keys()


def marks(calls: list[Call], request: Request) -> list[str]:
    """Return those of MARKS that the calls deserve."""
    is_sound = all(is_well_formed(call, request.tools) for call in calls)
    has_names = sorted(name for name, _ in calls) == sorted(name for name, _ in request.wanted)
    pairings = (zip(calls, order, strict=True) for order in permutations(request.wanted))
    are_equal = (all(fits(call, *one) for call, one in pairing) for pairing in pairings)
    return [*compress(MARKS, (is_sound, has_names, is_sound and has_names and any(are_equal)))]


def asked(client: OpenAI, who: str, request: Request, max_tokens: int = 200) -> dict[str, Any]:
    """Ask a server, and judge its answer."""
    asking: Any = {"messages": [{"role": "user", "content": request.ask}], "temperature": 0}
    asking |= {"tools": [*request.tools.values()], "tool_choice": "auto"}
    asking |= {"parallel_tool_calls": True, "max_tokens": max_tokens}
    model, num_tokens, began_s = client.models.list().data[0].id, 0, time.perf_counter()
    try:
        reply = client.chat.completions.create(model=model, **asking)
        message, num_tokens = reply.choices[0].message, reply.usage.completion_tokens
        calls = [(one.function.name, one.function.arguments) for one in message.tool_calls or ()]
        text = message.content or ""
        calls += [("in the text", text)] if _LEFT_IN_TEXT.search(text) else []
    except APIError as error:  # the other requests go on
        calls, text = [("no answer", str(error))], ""
    took_s = time.perf_counter() - began_s
    print(f"--- {request.number} {who}: {request.ask}", calls or text, sep="\n", file=sys.stderr)
    answer = {"number": request.number, "contestant": who, "calls": calls, "text": text}
    return answer | {"marks": marks(calls, request), "num_tokens": num_tokens, "took_s": took_s}


def counted(answers: list[dict[str, Any]]) -> str:
    """Return a row for each contestant as Markdown, with the requests that not all have right."""
    rows, names = [], dict.fromkeys(one["contestant"] for one in answers)
    right = {(one["contestant"], mark, one["number"]) for one in answers for mark in one["marks"]}
    for who in names:
        mine = [one for one in answers if one["contestant"] == who]
        row = [who, str(len(mine))]
        for mark in MARKS:
            numbers = sorted(number for *key, number in right if key == [who, mark])
            alone = [n for n in numbers if not all((name, mark, n) in right for name in names)]
            row.append(f"{len(numbers)}" + f" (alone: {str(alone)[1:-1]})" * bool(alone))
        row.append(str(sum(one["num_tokens"] for one in mine)))
        rows.append([*row, f"{statistics.median(one['took_s'] for one in mine):.2f}"])
    return table(["contestant", "requests", *MARKS, "tokens", "median s"], rows)


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--only", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--contestants", type=partial(choices, CONTESTANTS), default=CONTESTANTS)
    parser.add_argument("--server", type=Path, default=LLAMA_SERVER, help="see build_peers.py")
    arguments = parser.parse_args()
    model: Path = arguments.model or default_model()
    chosen = [one for one in requests() if not arguments.only or one.number in arguments.only]
    setting, answers, clients = describe(model, 1), [], {}
    with ExitStack() as stack:
        for who in arguments.contestants:
            if who == "ours":
                url, token = stack.enter_context(ours(model))
            else:
                peer = LlamaServer(model, arguments.server, "--jinja")
                url, token = stack.enter_context(closing(peer)).url, "-"
            clients[who] = OpenAI(base_url=url, api_key=token, max_retries=0)
            asked(clients[who], who, chosen[0], 1)  # loads the model
        for request, (who, client) in product(chosen, clients.items()):
            answers.append(asked(client, who, request))
            write_json(arguments.json, setting, answers=answers)
    show(setting, counted(answers))


if __name__ == "__main__":
    main()
