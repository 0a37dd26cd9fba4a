"""The HTTP API: one address that deblurs, and those that tell how the service is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from unsmear import __version__
from unsmear.web.answers import (
    DEBLURRED_CONTENT,
    PROBLEM_CONTENT,
    Health,
    Offer,
    json_answer,
    picture_answer,
    problem_answer,
)
from unsmear.web.intake import BODY_CONTENT, Intake
from unsmear.web.middleware import AnswerCount, ApiKeyGuard, BodyLimit, HeadAsGet
from unsmear.web.problems import RequestError, UnusableError
from unsmear.web.service import Answer, Service, Wish

DEBLUR = "/v1/deblur"
OPEN_PATHS = frozenset({"/healthz"})
CLIENT_LEFT = 499  # the metrics alone see it

DESCRIPTION = """Removes motion blur from photos, only where things moved.

Send a picture (JPEG, PNG, TIFF, WebP or BMP) as the body, or as the part `photo` of a form, and get
it back in its own format with its metadata. Nothing that is sent is used as an address or a path.
"""
PROBLEMS = {
    400: "No picture, or a form that cannot be read.",
    401: "No key, or a wrong one.",
    408: "The request came in too slowly.",
    413: "Too many bytes, pixels, or pixels a side.",
    415: "Not a picture of a format that is read.",
    422: "A damaged picture, or wishes that do not fit it.",
    429: "Too many wait; the header Retry-After says for how many seconds.",
    503: "The process that computes died at this picture, or the service is ending.",
    504: "Not done in time.",
}

BOX = r"^\d{1,6},\d{1,6},[1-9]\d{0,5},[1-9]\d{0,5}$"
Box = Annotated[str, WithJsonSchema({"type": "string", "pattern": BOX})]
Share = Annotated[float, Query(ge=0, le=1)]


class OutputFormat(StrEnum):
    """Formats of answers."""

    jpeg = "jpeg"
    png = "png"
    tiff = "tiff"
    webp = "webp"
    bmp = "bmp"


class AnswerKind(StrEnum):
    """What an answer holds."""

    picture = "picture"
    json = "json"


def create_app(service: Service, api_key: str | None = None) -> FastAPI:
    """The API over a service.

    Args:
        service: what deblurs; started and closed by the caller.
        api_key: what clients must send, everywhere but at ``/healthz``.
    """
    app = FastAPIOffline(  # its /docs asks no other host for scripts
        title="unsmear",
        version=__version__,
        description=DESCRIPTION,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if api_key else [],
        redoc_url=None,
        redirect_slashes=False,  # a redirect behind a proxy with TLS leads to http, key and all
    )
    intake = Intake(service)
    named = Query(None, description="Default: the first.", json_schema_extra=_one_of(service))

    @app.post(
        DEBLUR,
        response_class=Response,
        responses={200: {"content": DEBLURRED_CONTENT}, **_problems(*PROBLEMS)},
        openapi_extra={"requestBody": {"required": True, "content": BODY_CONTENT}},
    )
    async def deblur(
        request: Request,
        model: str | None = named,
        strength: Annotated[
            Share, Query(description="Blend between the photo and its deblurred form.")
        ] = 1.0,
        threshold: Annotated[
            Share, Query(description="How sure the network must be of blur; lower touches more.")
        ] = 0.5,
        box: Annotated[
            list[Box] | None,
            Query(max_length=64, description="X,Y,W,H in pixels: deblur only there. Repeatable."),
        ] = None,
        dense: Annotated[
            bool, Query(description="Prune nothing, and let every pixel change.")
        ] = False,
        format: Annotated[
            OutputFormat | None, Query(description="Of the picture; default: its own.")
        ] = None,
        answer: Annotated[
            AnswerKind | None,
            Query(description="Default: JSON where the header Accept wants it, else the picture."),
        ] = None,
    ) -> Response:
        """Deblur a picture: get it back, or JSON with picture, blur map and figures."""
        _refuse_unknown_wishes(request)
        boxes = tuple(_parse_box(text) for text in box or ())
        sent = await intake.read(request)
        wish = Wish(model, strength, threshold, boxes, sent.mask, dense, format and format.value)
        with service.answering():
            made = await _while_client_waits(request, service.deblur(sent.photo, wish))
            if answer is AnswerKind.json or (answer is None and _wants_json(request)):
                return await asyncio.to_thread(json_answer, made)
            return picture_answer(made)

    @app.get("/v1/models", responses=_problems(401))
    async def offer() -> Offer:
        """Tell which networks there are, and what a request may ask for."""
        limits = service.limits
        return Offer(
            models=list(service.models),
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
            max_side=limits.max_side,
            timeout=limits.timeout,
        )

    @app.get("/healthz", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Tell whether pictures can be deblurred; 503 while they cannot. Needs no key."""
        response.status_code = 200 if service.is_ready else 503
        return Health(status="ok" if service.is_ready else "starting")

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_problems(401)},
    )
    async def metrics() -> Response:
        """Give figures for Prometheus."""
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    _handle_errors(app)
    app.add_middleware(BodyLimit, max_bytes=service.limits.max_bytes)
    if api_key:
        app.add_middleware(ApiKeyGuard, key=api_key, open_paths=OPEN_PATHS)
    app.add_middleware(HeadAsGet)
    app.add_middleware(AnswerCount, metrics=service.metrics, path=DEBLUR)
    return app


async def _while_client_waits(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What the work gives; it is given up when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refuse_unknown_wishes(request: Request) -> None:
    """A misspelt wish that is passed over would look like one that is met."""
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise UnusableError(f"No wish is named {unknown[0]!r}: choose from {', '.join(known)}.")


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "image/" not in accepted


def _parse_box(text: str) -> tuple[int, int, int, int]:
    if not re.match(BOX, text):
        raise UnusableError(f"A box is X,Y,W,H in pixels with W and H from 1, got {text!r}.")
    x, y, width, height = map(int, text.split(","))
    return x, y, width, height


def _one_of(service: Service) -> dict[str, Any]:
    return {"enum": list(service.models)}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": PROBLEMS[status], "content": PROBLEM_CONTENT} for status in statuses
    }


def _handle_errors(app: FastAPI) -> None:
    """Let every error be a problem in a sentence."""

    @app.exception_handler(RequestError)
    async def refuse(request: Request, error: RequestError) -> Response:
        return problem_answer(error)

    @app.exception_handler(RequestValidationError)
    async def refuse_wishes(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return problem_answer(UnusableError(f"{name}: {first['msg']}."))

    @app.exception_handler(HTTPException)
    async def refuse_otherwise(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        sentence = str(error.detail).rstrip(".") + "."
        if error.status_code == HTTPStatus.NOT_FOUND:
            sentence = "There is nothing at this address: /docs shows what there is."
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            sentence = f"This address does not take {request.method}: use {headers['Allow']}."
        problem = RequestError(sentence, headers)
        problem.status = error.status_code
        return problem_answer(problem)

    @app.exception_handler(ClientDisconnect)
    async def forget(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_LEFT)
