"""The OpenAI-compatible interface of a router, on this machine only."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.io.strict_yaml import explain

from ..plan import PlanError
from .exchange import DONE, FailedError
from .router import Router

HOST = "127.0.0.1"
CLOSING_S = 30  # that answers in hand are waited for when the server ends


class _Body(BaseModel):
    """What the router itself reads of a request; all of it goes on to the expert."""

    model_config = ConfigDict(strict=True, extra="ignore")
    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)


def make_app(router: Router) -> Starlette:
    """The application: `/v1/models` and `/v1/chat/completions`."""

    async def models(request: Request) -> Response:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "edge-experts"} for name in router.models]
        return JSONResponse({"object": "list", "data": listed})

    async def complete(request: Request) -> Response:
        try:
            raw = parse_json((await request.body()).decode())
            body = _Body.model_validate(raw)
            text = _last_text(body.messages)
        except ValidationError as error:
            return _error(400, explain(error))
        except ValueError as error:
            return _error(400, f"the request {error}")
        if body.model not in router.models:
            told = f"there is no model '{body.model}'; take one of {', '.join(router.models)}"
            return _error(404, told, "model_not_found")
        try:
            expert, pieces, running = await router.route(body.model, text, raw)
            return await _answer(router.pieces(pieces, running), expert, bool(body.stream))
        except FailedError as error:
            return _failed(error)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await router.close(CLOSING_S)

    return Starlette(
        routes=[Route("/v1/models", models), Route("/v1/chat/completions", complete, methods=["POST"])],
        # a page in a browser must not get at it under a name of its own
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        lifespan=lifespan,
    )


async def _answer(pieces: AsyncIterator[str], expert: str, is_streamed: bool) -> Response:
    headers = {"x-edge-expert": expert}
    if not is_streamed:
        whole = "".join([piece async for piece in pieces])
        return Response(whole, media_type="application/json", headers=headers)
    first = await anext(pieces, "")  # what fails at once is told by a status
    return StreamingResponse(_events(first, pieces), media_type="text/event-stream", headers=headers)


async def _events(first: str, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Server-sent events, as the interface has them."""
    try:
        if first:
            yield f"data: {first}\n\n"
        async for piece in pieces:
            yield f"data: {piece}\n\n"
    except FailedError as error:
        yield f"data: {json.dumps({'error': {'message': str(error), 'type': 'upstream_error'}})}\n\n"
    yield f"data: {DONE}\n\n"


def _last_text(messages: list[dict[str, Any]]) -> str:
    """What the user says last: what gate and judges read.

    Raises:
        ValueError: if no message of a user holds text.
    """
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") == "user":
            if isinstance(content, list):
                content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            if isinstance(content, str) and content.strip():
                return content
    raise ValueError("has no message of the role 'user' that holds text")


def _error(status: int, message: str, code: str | None = None, kind: str = "invalid_request_error") -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


def _failed(error: FailedError) -> JSONResponse:
    response = _error(error.status, str(error), None, "invalid_request_error" if error.theirs else "upstream_error")
    if error.retry_after.isascii() and error.retry_after:
        response.headers["retry-after"] = error.retry_after
    return response


def listen(port: int) -> socket.socket:
    """A socket on this machine; port 0: a free one.

    Raises:
        PlanError: if the port is in use, or not ours to take.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise PlanError(f"--port: {port} cannot be taken ({error.strerror}): name another one, or 0") from None
    return listener


def server_of(router: Router) -> uvicorn.Server:
    """The server; `run(sockets=[...])` serves until it is interrupted."""
    config = uvicorn.Config(
        make_app(router), log_level="warning", access_log=False, timeout_graceful_shutdown=CLOSING_S, lifespan="on"
    )
    return uvicorn.Server(config)
