"""How photos get on the page's desk, and how the browser sees what lies there."""

from __future__ import annotations

from urllib.parse import quote, unquote

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from unsmear.web.answers import problem_answer
from unsmear.web.intake import Intake
from unsmear.web.page_desk import Desk, Leaf
from unsmear.web.page_files import VIEW, clean_name, kind_of
from unsmear.web.problems import RequestError, UnsupportedError
from unsmear.web.service import Service

FILES = "page/files/"
PLAIN_BYTES = "application/octet-stream"
HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page_routes(desk: Desk, service: Service) -> APIRouter:
    """POST /page/photos takes a photo, GET /page/files/NAME gives what lies on the desk."""
    router = APIRouter(include_in_schema=False)
    intake = Intake(service)

    @router.post("/page/photos")
    async def take(request: Request) -> Response:
        """Take a photo as it is; the body is its bytes."""
        try:
            # Another site's page cannot send this type unless we allow it to, and we do not.
            if request.headers.get("content-type") != PLAIN_BYTES:
                raise UnsupportedError(f"Send the photo's bytes as {PLAIN_BYTES}.")
            name = clean_name(unquote(request.headers.get("x-photo-name", "")))
            data = (await intake.read(request)).photo
            kind = kind_of(data, name)
            service.limits.check(data, name)
            token = desk.put(Leaf(data, kind.media_type, name))
            before = await view_of(token, desk, service)
        except RequestError as problem:
            return problem_answer(problem)
        return JSONResponse({"token": token, "name": name, "before": FILES + before})

    @router.get("/" + FILES + "{token}")
    async def give(token: str, download: bool = False) -> Response:
        """Give a file, to look at or to keep."""
        try:
            leaf = desk.get(token)
        except RequestError as problem:
            return problem_answer(problem)
        way = "attachment" if download else "inline"
        headers = {"Content-Disposition": f"{way}; filename*=UTF-8''{quote(leaf.name, safe='')}"}
        return Response(leaf.data, headers=HEADERS | headers, media_type=leaf.media_type)

    return router


async def view_of(token: str, desk: Desk, service: Service) -> str:
    """The name of what a browser can show of a file: the file itself, or the same as PNG.

    Raises:
        RequestError: it cannot be read.
    """
    leaf = desk.get(token)
    if kind_of(leaf.data, leaf.name).is_viewable:
        return token
    view = await service.deblur(leaf.data, VIEW)
    return desk.put(Leaf(view.data, view.media_type, leaf.name))
