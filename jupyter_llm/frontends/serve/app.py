"""The ASGI application: access, routes and errors."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from jupyter_llm.engine.options import DRAWN
from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError, ServeError
from jupyter_llm.frontends.serve import calls
from jupyter_llm.frontends.serve.answering import Answer, failure, refused
from jupyter_llm.frontends.serve.blocks import BlockAnswer
from jupyter_llm.frontends.serve.messages import MessagesAnswer, MessagesCall, TokenCountCall
from jupyter_llm.frontends.serve.responses import ResponsesAnswer, ResponsesCall

if TYPE_CHECKING:
    import numpy as np
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.engine.remote.address import Address
    from jupyter_llm.engine.roles import ModelRole
    from jupyter_llm.models.discover import ModelEntry

_HOSTS = ("127.0.0.1", "localhost")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*]+")
_MAX_BODY = 2 << 20  # bytes: cells wait while the engine tokenizes it
MOST_CALLS = 128  # simultaneous calls
_AT_ONCE = 64  # texts to embed between checks whether the client is connected


class Gate:
    """Middleware that requires the token for all but `/health`."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"bearer {token}".encode()
        self._num_calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or answer with an error."""
        app = self._app
        if is_call := scope["type"] == "http":
            headers = Headers(scope=scope)
            scheme, _, token = headers.get("authorization", "").partition(" ")
            # Anthropic's clients send either header, or both with different keys.
            each = f"{scheme.lower()} {token.strip()}", f"bearer {headers.get('x-api-key', '')}"
            given = [one.encode("utf-8", "replace") for one in each]
            if scope["path"] == "/health":
                app = JSONResponse({"status": "ok"})
            elif not any(secrets.compare_digest(one, self._expected) for one in given):
                reason = (
                    "The token is missing or wrong. `%llm /serve token` shows it in a notebook."
                )
                app = failure(401, reason, "invalid_api_key")
            else:
                scope["state"]["guest"].is_authorized = True
            if self._num_calls >= MOST_CALLS:
                app = failure(
                    503, f"The server answers {MOST_CALLS} calls already. Call again later."
                )
        self._num_calls += is_call
        try:
            await app(scope, receive, send)
        finally:
            self._num_calls -= is_call


class Desk:
    """The endpoints: they use loaded models only.

    Only the chats' model is loaded again if it was unloaded, as for any prompt.
    """

    def __init__(self, current: CurrentEngine) -> None:
        self._current = current
        self._turn = asyncio.Lock()

    @property
    def routes(self) -> list[BaseRoute]:
        """Return the endpoints by path: OpenAI's, Anthropic's and llama-server's."""
        posted: dict[str, Callable[..., Any]] = {
            "/v1/chat/completions": partial(self._answer, calls.ChatCall),
            "/v1/completions": partial(self._answer, calls.TextCall),
            "/v1/messages": partial(self._answer_form, MessagesAnswer, MessagesCall),
            "/v1/messages/count_tokens": self._count,
            "/v1/responses": partial(self._answer_form, ResponsesAnswer, ResponsesCall),
            "/v1/embeddings": self._embed,
            **dict.fromkeys(("/tokenize", "/detokenize"), self._tokens),
        }
        return [
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._models),
            Route("/props", self._props),
            # lm-evaluation-harness requests it. The control texts are not revealed.
            Route(
                "/tokenizer_info", lambda _: JSONResponse({"eos_token": None, "bos_token": None})
            ),
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posted.items()),
        ]

    def _models(self, request: Request) -> Response:
        models: list[ModelInfo | ModelEntry] = [*self._served]
        if self._current.resident is None:  # the next prompt would load it
            with suppress(JupyterLLMError):
                models.append(_here(self._current.chosen("chat")))
        if not (name := request.path_params.get("name")):
            return JSONResponse({"object": "list", "data": [*map(_model, models)]})
        for one in models:
            if one.name == name:
                return JSONResponse(_model(one))
        raise ModelNotFoundError(name)

    async def _answer(
        self, kind: type[calls.ChatCall | calls.TextCall], request: Request
    ) -> Response:
        return await self._answered(Answer, await self._read(request, kind), request)

    async def _answer_form(
        self, form: type[BlockAnswer], kind: type[calls.ChatForm], request: Request
    ) -> Response:
        call = await self._read(request, kind)
        return await self._answered(partial(form, call), call.chat, request)

    async def _answered(
        self, form: Callable[..., Answer], call: calls.ChatCall | calls.TextCall, request: Request
    ) -> Response:
        engine = await self._engine(call.model, "chat")
        sender = call.prompt_cache_key or request.state.guest.name
        return form(call, engine, await run_sync(call.answers, engine), sender)

    async def _count(self, request: Request) -> Response:
        chat = (await self._read(request, TokenCountCall)).chat
        engine = await self._engine(chat.model, "chat")
        (answer,) = await run_sync(chat.answers, engine)
        think = answer.request.params.think
        number = await run_sync(partial(engine.count_tokens, answer.request.prompt, think=think))
        return JSONResponse({"input_tokens": number})

    async def _tokens(self, request: Request) -> Response:
        call = await self._read(request, calls.TokensCall)
        engine = await self._engine(call.model, "chat")
        return JSONResponse(await run_sync(call.result, engine))

    async def _embed(self, request: Request) -> Response:
        call = await self._read(request, calls.VectorCall)
        engine = await self._engine(call.model, "embed")
        texts = await run_sync(call.texts, engine)
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), _AT_ONCE):
            if await request.is_disconnected():
                raise ClientDisconnect
            rows += [*await run_sync(engine.embed, texts[start : start + _AT_ONCE])]
        return await run_sync(_vectors, rows, texts, call, engine)

    async def _props(self, _request: Request) -> Response:
        """Return the facts about the chats' model, by llama-server's names."""
        info = (await self._engine("", "chat")).info
        drawn = {name: getattr(info.sampling.params, name) for name in DRAWN}
        facts = {"build_info": info.build, "n_ctx": info.n_ctx, "total_slots": 16, "params": drawn}
        return JSONResponse(facts)

    async def _read(self, request: Request, kind: type[calls.T]) -> calls.T:
        return await run_sync(calls.read_call, kind, await request.body())

    @property
    def _served(self) -> list[ModelInfo]:
        return [one.info for one in self._current.loaded if not one.info.host]

    async def _engine(self, name: str, role: ModelRole) -> Engine:
        """Return the engine of a served model; without a name, the role's."""
        engine = self._current.resident_of(role)
        is_only = len(self._served) == 1  # it answers to any name
        if engine is None or not (is_only or name in ("", engine.info.name)):
            async with self._turn:  # only one of the few threads waits for a model
                engine = await run_sync(self._other, name, role)
        _here(engine.info)
        return engine

    def _other(self, name: str, role: ModelRole) -> Engine:
        """Return the engine of another model than the role's present one."""
        if name in (names := [info.name for info in self._served]):
            return self._current.named(name)
        chosen = _here(self._current.chosen(role)).name
        if name in ("", chosen) or not names:
            # No cell waits, so none shows the progress.
            return self._current.get(role=role, show=lambda _step: None)
        message = f"This server has no model {name[:80]!r}. It has {', '.join(names)}."
        raise ModelNotFoundError(name, message=message)


def _here(model: ModelInfo | ModelEntry | Address) -> Any:
    """Return a model of this machine; raise `ModelNotFoundError` for others."""
    if host := getattr(model, "host", ""):
        message = f"The model is on {host}. Only models on this machine are served."
        raise ModelNotFoundError("", message=message)
    return model


def _model(one: ModelInfo | ModelEntry) -> dict[str, Any]:
    """Return a model's entry; the owner identifies this server to clients."""
    entry = {"id": one.name, "object": "model", "created": 0, "owned_by": "jupyter_llm"}
    return {**entry, "max_model_len": getattr(one, "n_ctx", None)}


def _vectors(
    rows: Sequence[np.ndarray], texts: list[str], call: calls.VectorCall, engine: Engine
) -> Response:
    encoded = map(call.encoded, rows)
    data = [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(encoded)]
    num_tokens = sum(map(len, engine.tokenize_texts(texts)))
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    name = engine.info.name
    return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})


def application(
    current: CurrentEngine,
    token: str,
    *,
    origins: Sequence[str] = (),
    routes: Sequence[BaseRoute] = (),
    lifespan: Any = None,
) -> Starlette:
    """Return the application, with further routes behind the same gate.

    Scripts of pages from `origins` may call it, if they have the token.
    """
    if bad := next((one for one in origins if not _ORIGIN.fullmatch(one)), None):
        raise ServeError(f"{bad!r:.80} is no origin. Write it as https://example.org:8443.")
    return Starlette(
        routes=[*Desk(current).routes, *routes],
        middleware=[
            # A site could point its own name to this machine, so that its pages in a browser reach
            # this server; the `Host` header reveals that.
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False),
            # Before the gate: a browser first asks without the token whether a page may call.
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                allow_private_network=True,
            ),
            Middleware(Gate, token=token),
            Middleware(RequestBodyLimitMiddleware, max_body_size=_MAX_BODY),
        ],
        exception_handlers=dict.fromkeys(
            (JupyterLLMError, HTTPException, ClientDisconnect, Exception), refused
        ),
        lifespan=lifespan,
    )
