"""What stands before every route: the key, the largest body, HEAD, and a count of answers."""

from __future__ import annotations

import base64
import binascii
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unsmear.web.answers import problem_answer
from unsmear.web.metrics import Metrics
from unsmear.web.problems import RequestError, TooLargeError, UnauthorizedError


class ApiKeyGuard:
    """Lets nobody in without the key, but to the paths that are open.

    The key comes as ``Authorization: Bearer KEY``, or as the password of HTTP basic authentication,
    which browsers ask for by themselves.

    Args:
        app: what is guarded.
        key: the key.
        open_paths: paths that need none.
    """

    def __init__(self, app: ASGIApp, key: str, open_paths: frozenset[str]) -> None:
        self._app = app
        self._key = key.encode()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await problem_answer(UnauthorizedError())(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if scope["type"] == "lifespan" or _path(scope) in self._open_paths:
            return True
        return secrets.compare_digest(_given_key(Headers(scope=scope)), self._key)


def _path(scope: Scope) -> str:
    """The address as the app's own routes have it, without what a proxy offers it under."""
    return scope["path"].removeprefix(scope.get("root_path", ""))


def _given_key(headers: Headers) -> bytes:
    scheme, _, text = headers.get("authorization", "").partition(" ")
    value = text.strip().encode("latin-1")  # as starlette decoded it
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


class BodyLimit:
    """Refuses a body above a limit: by its Content-Length, and while it comes in.

    Args:
        app: what is protected.
        max_bytes: of any request's body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and int(said) > self._max_bytes:
            await problem_answer(self._problem())(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._max_bytes:
                raise self._problem()
            return message

        await self._app(scope, counted, send)

    def _problem(self) -> RequestError:
        return TooLargeError(
            f"The request's body has more than {self._max_bytes:,} bytes: make the picture smaller."
        )


class HeadAsGet:
    """Answers HEAD as GET, which it must not differ from; the server leaves the body out.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        # Not in the scope itself: the server looks there for whether to send the body.
        asked = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope
        await self._app(asked, receive, send)


class AnswerCount:
    """Counts answers of one path by their status.

    Args:
        app: what answers.
        metrics: where they are counted.
        path: the path.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self._app = app
        self._requests = metrics.requests
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._requests.labels(message["status"]).inc()
            await send(message)

        watched = scope["type"] == "http" and _path(scope) == self._path
        await self._app(scope, receive, counted if watched else send)
