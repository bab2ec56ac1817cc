"""The ASGI application: who may come in, what there is to call, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
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
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from jupyter_llm.engine.options import DRAWN
from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError
from jupyter_llm.frontends.serve import calls
from jupyter_llm.frontends.serve.answering import Answer, failure, refused

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
_MAX_BODY = 2 << 20  # bytes: while the engine tells tokens apart in it, cells wait
MOST_CALLS = 128  # at a time
_AT_ONCE = 64  # texts that vectors are made of before it is looked who is still there


class Gate:
    """Lets in who knows the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"bearer {token}".encode()
        self._num_calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or answer why not."""
        app = self._app
        if is_call := scope["type"] == "http":
            scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
            given = f"{scheme.lower()} {token.strip()}".encode("utf-8", "replace")
            if not secrets.compare_digest(given, self._expected):
                told = "The token is missing or wrong; `%llm /serve token` shows it in a notebook."
                app = failure(401, told, "invalid_api_key")
            else:
                scope["state"]["guest"].is_known = True
            if self._num_calls >= MOST_CALLS:
                app = failure(503, f"{MOST_CALLS} calls are being answered. Call again later.")
        self._num_calls += is_call
        try:
            await app(scope, receive, send)
        finally:
            self._num_calls -= is_call


class Desk:
    """What clients may call: the models that are loaded, and none that would have to be.

    Only that of the chats is loaded again where it has gone, as for any prompt.
    """

    def __init__(self, current: CurrentEngine) -> None:
        self._current = current
        self._turn = asyncio.Lock()

    @property
    def routes(self) -> list[BaseRoute]:
        """What is called under which path: OpenAI's paths and llama-server's."""
        posted: dict[str, Callable[..., Any]] = {
            "/v1/chat/completions": partial(self._answer, calls.ChatCall),
            "/v1/completions": partial(self._answer, calls.TextCall),
            "/v1/embeddings": self._embed,
            **dict.fromkeys(("/tokenize", "/detokenize"), self._tell),
        }
        return [
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._models),
            Route("/props", self._props),
            # lm-evaluation-harness asks for it. Which texts steer the model is not reported.
            Route(
                "/tokenizer_info", lambda _: JSONResponse({"eos_token": None, "bos_token": None})
            ),
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posted.items()),
        ]

    def _models(self, request: Request) -> Response:
        models: list[ModelInfo | ModelEntry] = [*self._served]
        if self._current.resident is None:  # what the next prompt loads, and this does not
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
        call = await self._read(request, kind)
        engine = await self._engine(call.model, "chat")
        sender = call.prompt_cache_key or request.state.guest.name
        return Answer(call, engine, await run_sync(call.wishes, engine), sender)

    async def _tell(self, request: Request) -> Response:
        call = await self._read(request, calls.TokensCall)
        engine = await self._engine(call.model, "chat")
        return JSONResponse(await run_sync(call.told, engine))

    async def _embed(self, request: Request) -> Response:
        call = await self._read(request, calls.VectorCall)
        engine = await self._engine(call.model, "embed")
        texts = [call.input] if isinstance(call.input, str) else call.input
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), _AT_ONCE):
            if await request.is_disconnected():
                raise ClientDisconnect
            rows += [*await run_sync(engine.embed, texts[start : start + _AT_ONCE])]
        return await run_sync(_vectors, rows, texts, call.encoding_format, engine)

    async def _props(self, _request: Request) -> Response:
        """What is told of the model of the chats, by llama-server's names."""
        info = (await self._engine("", "chat")).info
        drawn = {name: getattr(info.sampling.params, name) for name in DRAWN}
        told = {"build_info": info.build, "n_ctx": info.n_ctx, "total_slots": 16, "params": drawn}
        return JSONResponse(told)

    async def _read(self, request: Request, kind: type[calls.T]) -> calls.T:
        return await run_sync(calls.read_call, kind, await request.body())

    @property
    def _served(self) -> list[ModelInfo]:
        return [one.info for one in self._current.loaded if not one.info.host]

    async def _engine(self, name: str, role: ModelRole) -> Engine:
        """The engine of a model that is served; without a name that which a role goes to."""
        found = self._current.resident_of(role)
        is_only = len(self._served) == 1  # which answers to any name
        if found is None or not (is_only or name in ("", found.info.name)):
            async with self._turn:  # threads are few, and only one waits for a model
                found = await run_sync(self._other, name, role)
        _here(found.info)
        return found

    def _other(self, name: str, role: ModelRole) -> Engine:
        """The engine of another model than that which a role goes to now."""
        if name in (names := [info.name for info in self._served]):
            return self._current.named(name)
        chosen = _here(self._current.chosen(role)).name
        if name in ("", chosen) or not names:
            # No cell waits for it, so none shows how far it is.
            return self._current.get(role=role, show=lambda _step: None)
        told = f"There is no model {name[:80]!r} here; this server has {', '.join(names)}."
        raise ModelNotFoundError(name, message=told)


def _here(model: ModelInfo | ModelEntry | Address) -> Any:
    """A model of this machine; others are refused."""
    if host := getattr(model, "host", ""):
        told = f"The model is on {host}, and only those of this machine are served."
        raise ModelNotFoundError("", message=told)
    return model


def _model(one: ModelInfo | ModelEntry) -> dict[str, Any]:
    """A model that is served; by its owner clients know this server."""
    told = {"id": one.name, "object": "model", "created": 0, "owned_by": "jupyter_llm"}
    return {**told, "max_model_len": getattr(one, "n_ctx", None)}


def _vectors(
    rows: Sequence[np.ndarray], texts: list[str], encoding: str, engine: Engine
) -> Response:
    """Vectors of texts, as numbers or as the bytes of 32-bit floats."""
    told = [
        base64.b64encode(row.astype("<f4").tobytes()).decode()
        if encoding == "base64"
        else row.tolist()
        for row in rows
    ]
    data = [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(told)]
    num_tokens = sum(map(len, engine.tokenize_texts(texts)))
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    name = engine.info.name
    return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})


def application(
    current: CurrentEngine, token: str, routes: Sequence[BaseRoute] = (), lifespan: Any = None
) -> Starlette:
    """The application, with what else is served behind the same gate."""
    return Starlette(
        routes=[*Desk(current).routes, *routes],
        middleware=[
            # Another site's name may be made to mean this machine, so that its pages in a browser
            # may talk to it; the `Host` header still says it.
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False),
            Middleware(Gate, token=token),
            Middleware(RequestBodyLimitMiddleware, max_body_size=_MAX_BODY),
        ],
        exception_handlers=dict.fromkeys(
            (JupyterLLMError, HTTPException, ClientDisconnect, Exception), refused
        ),
        lifespan=lifespan,
    )
