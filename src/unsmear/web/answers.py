"""How answers look on the wire."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from unsmear.images import Picture, encode_picture
from unsmear.web.messages import Answer
from unsmear.web.problems import RequestError

PROBLEM_TYPE = "application/problem+json"
NEVER_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Deblurred(BaseModel):
    """A deblurred picture with its figures."""

    picture: str = Field(description="The picture's file, in base64.")
    media_type: str = Field(description="Of the picture's file.", examples=["image/jpeg"])
    changed: bool = Field(description="Whether any pixel changed.")
    blur_map: str = Field(
        description="Where blur was found: a grey PNG in base64, 255 where it is certain."
    )
    report: dict[str, Any] = Field(description="The figures, as `unsmear --json` has them.")


class ProblemDetails(BaseModel):
    """Why a request was not answered, as RFC 9457 has it."""

    title: str = Field(description="The status in words.", examples=["Too Many Requests"])
    status: int = Field(description="The HTTP status.", examples=[429])
    detail: str = Field(description="What is wrong and what to do, in a sentence.")


class Health(BaseModel):
    """Whether pictures can be deblurred."""

    status: str = Field(description="ok, or starting while the process that computes is not up.")


class Offer(BaseModel):
    """What is served."""

    models: list[str] = Field(description="Names of the networks, the default first.")
    max_bytes: int = Field(description="Largest body of a request.")
    max_pixels: int = Field(description="Largest width times height of a picture.")
    max_side: int = Field(description="Most pixels of a picture's longer side.")
    timeout: float = Field(description="Seconds in which a picture is answered or given up.")


MEDIA_TYPES = ("image/jpeg", "image/png", "image/tiff", "image/webp", "image/bmp")
DEBLURRED_CONTENT = {
    "application/json": {"schema": Deblurred.model_json_schema()},
    **{name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES},
}
PROBLEM_CONTENT = {PROBLEM_TYPE: {"schema": ProblemDetails.model_json_schema()}}
"""What OpenAPI says of answers."""


def picture_answer(answer: Answer) -> Response:
    """The picture itself."""
    return Response(answer.data, media_type=answer.media_type, headers=NEVER_KEPT)


def json_answer(answer: Answer) -> Response:
    """Picture, blur map and figures together; takes its time over large ones."""
    blur_map = encode_picture(Picture.from_array(answer.blur_map), "PNG")
    body = Deblurred(
        picture=base64.b64encode(answer.data).decode(),
        media_type=answer.media_type,
        changed=answer.changed,
        blur_map=base64.b64encode(blur_map).decode(),
        report=answer.report,
    )
    return Response(body.model_dump_json(), media_type="application/json", headers=NEVER_KEPT)


def problem_answer(problem: RequestError) -> Response:
    """Why there is no picture."""
    body = ProblemDetails(title=problem.title, status=problem.status, detail=str(problem))
    headers = NEVER_KEPT | problem.headers
    return JSONResponse(body.model_dump(), problem.status, headers, media_type=PROBLEM_TYPE)
