"""The ASGI application: who may come in, what there is to call, and what goes wrong."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from jupyter_llm.errors import JupyterLLMError, ModelNotFoundError
from jupyter_llm.frontends.serve import calls, replies
from jupyter_llm.frontends.serve.answering import answer, refused, unless_gone

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import numpy as np
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from jupyter_llm.engine.base import Engine
    from jupyter_llm.engine.current import CurrentEngine
    from jupyter_llm.engine.info import ModelInfo
    from jupyter_llm.engine.roles import ModelRole

Endpoint = Callable[["Request"], Awaitable[Response]]
Mounted = tuple[BaseRoute, Callable[[], "AbstractAsyncContextManager[object]"]]
"""A route beside ours, and what must be entered while it is served."""

_MAX_BODY = 2 << 20  # bytes: while the engine tells tokens apart in it, cells wait
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_AT_ONCE = 64  # texts that vectors are made of before it is looked who is still there


class Gate:
    """Lets in who knows the token, by a name of this machine.

    Another site's name may be made to mean this machine, so that its pages in a browser may talk to
    it; the `Host` header still says it.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = RequestBodyLimitMiddleware(app, max_body_size=_MAX_BODY)  # if none is told
        self._expected = f"bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or answer why not."""
        app = self._app if scope["type"] == "lifespan" else self._admitted(Headers(scope=scope))
        await app(scope, receive, send)

    def _admitted(self, headers: Headers) -> ASGIApp:
        host = headers.get("host", "").lower()
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if name not in _HOSTS:
            told = f"This server goes by {', '.join(_HOSTS)} alone."
            return JSONResponse(replies.failure(told, 421), 421)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = f"{scheme.lower()} {token.strip()}".encode("utf-8", "replace")
        if not secrets.compare_digest(given, self._expected):
            told = "The token is missing or wrong; `%llm /serve token` shows it in the notebook."
            failure = replies.failure(told, 401, "invalid_api_key")
            return JSONResponse(failure, 401, {"www-authenticate": "Bearer"})
        if int(headers.get("content-length", 0)) > _MAX_BODY:
            return JSONResponse(replies.failure(f"A call has {_MAX_BODY} bytes at most.", 413), 413)
        return self._app


class Desk:
    """What clients may call: the models that are loaded, and none that would have to be.

    Only that of the chats is loaded again where it has gone, as for any prompt.
    """

    def __init__(self, current: CurrentEngine) -> None:
        self._current = current
        self._turn = asyncio.Lock()

    @property
    def routes(self) -> list[Route]:
        """What is called under which path: OpenAI's, and what llama-server and vLLM have beside."""
        return [
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._models),
            Route("/v1/chat/completions", self._answering(calls.ChatCall), methods=["POST"]),
            Route("/v1/completions", self._answering(calls.TextCall), methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
            Route("/props", self._props),
            Route("/tokenizer_info", self._tokenizer),
            Route("/apply-template", self._telling(calls.TemplateCall), methods=["POST"]),
            Route("/tokenize", self._telling(calls.TokenizeCall), methods=["POST"]),
            Route("/detokenize", self._telling(calls.DetokenizeCall), methods=["POST"]),
        ]

    def _models(self, request: Request) -> Response:
        data = [replies.model(info.name, info.n_ctx) for info in self._served]
        if self._current.resident is None:  # what the next prompt loads, and this does not
            with suppress(JupyterLLMError):
                _check_is_here(chosen := self._current.chosen("chat"))
                data.append(replies.model(chosen.name))
        if not (name := request.path_params.get("name")):
            return JSONResponse({"object": "list", "data": data})
        for one in data:
            if one["id"] == name:
                return JSONResponse(one)
        raise ModelNotFoundError(name)

    def _answering(self, kind: type[calls.ChatCall | calls.TextCall]) -> Endpoint:
        async def answering(request: Request) -> Response:
            call = await self._read(request, kind)
            engine = await self._engine(call.model, "chat")
            wishes = await run_sync(call.wishes, engine)
            envelope = replies.Envelope(kind=call.kind, info=engine.info)
            return await answer(request.receive, call, engine, wishes, envelope)

        return answering

    def _telling(self, kind: type[calls.TellingCall]) -> Endpoint:
        async def telling(request: Request) -> Response:
            call = await self._read(request, kind)
            engine = await self._engine(call.model, "chat")
            return JSONResponse(await run_sync(call.told, engine))

        return telling

    async def _embed(self, request: Request) -> Response:
        call = await self._read(request, calls.VectorCall)
        engine, texts = await self._engine(call.model, "embed"), call.texts()

        async def vectors() -> list[np.ndarray]:
            some = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
            return [row for group in some for row in await run_sync(engine.embed, group)]

        rows = await unless_gone(request.receive, vectors())
        num_tokens = sum(map(len, await run_sync(engine.tokenize_texts, texts)))
        told = (rows, call.encoding_format, engine.info.name, num_tokens)
        return await run_sync(lambda: JSONResponse(replies.vectors(*told)))

    async def _props(self, _request: Request) -> Response:
        return JSONResponse(replies.properties((await self._engine("", "chat")).info))

    async def _tokenizer(self, _request: Request) -> Response:
        # What texts steer the model is nobody's to type here; tokens do, by their numbers.
        return JSONResponse({"eos_token": None, "bos_token": None})

    async def _read(self, request: Request, kind: type[calls.T]) -> calls.T:
        return await run_sync(calls.read_call, kind, await request.body())

    @property
    def _served(self) -> list[ModelInfo]:
        return [one.info for one in self._current.loaded if not one.info.host]

    async def _engine(self, name: str, role: ModelRole) -> Engine:
        """The engine of a model that is served; without a name that which a role goes to."""
        found = self._current.resident_of(role)
        if found is None or name not in ("", found.info.name):
            async with self._turn:  # threads are few, and only one waits for a model
                found = await run_sync(self._other, name, role)
        _check_is_here(found.info)
        return found

    def _other(self, name: str, role: ModelRole) -> Engine:
        """The engine of another model than that which a role goes to now."""
        if name in (names := [info.name for info in self._served]):
            return self._current.named(name)
        if self._current.resident_of(role) is None:
            _check_is_here(chosen := self._current.chosen(role))
            if name in ("", chosen.name):  # no cell waits for it, so none shows how far it is
                return self._current.get(role=role, show=lambda _step: None)
        there = ", ".join(names) or "none is loaded now"
        raise ModelNotFoundError(name, message=f"No {name[:80]!r} is served here: {there}.")


def _check_is_here(model: object) -> None:
    if host := getattr(model, "host", ""):
        told = f"The model is on {host}, and only those of this machine are served."
        raise ModelNotFoundError("", message=told)


def application(desk: Desk, token: str, mounts: Sequence[Mounted] = ()) -> Starlette:
    """The application, with what else is served behind the same gate."""

    @asynccontextmanager
    async def entered(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for _, enter in mounts:
                await stack.enter_async_context(enter())
            yield

    return Starlette(
        routes=[*desk.routes, *(route for route, _ in mounts)],
        middleware=[Middleware(Gate, token=token)],
        exception_handlers=dict.fromkeys(
            (JupyterLLMError, HTTPException, ClientDisconnect, Exception), _explained
        ),
        lifespan=entered,
    )


async def _explained(request: Request, error: Exception) -> Response:
    """Say why there is no answer, always in OpenAI's way."""
    if isinstance(error, ClientDisconnect):  # nobody hears it
        return Response(status_code=400)
    if not isinstance(error, HTTPException):
        return refused(error)
    told = f"{error.detail}: {request.method} {request.url.path}"
    failure = replies.failure(told, error.status_code)
    return JSONResponse(failure, error.status_code, error.headers)
