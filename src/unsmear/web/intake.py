"""The picture, and the mask, in a request's body."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from unsmear.web.answers import MEDIA_TYPES
from unsmear.web.problems import MalformedError, UnusableError, UploadTimedOutError
from unsmear.web.service import Service

_PARTS = ("photo", "mask")
_FILE = {"type": "string", "format": "binary"}

BODY_CONTENT = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "photo": {**_FILE, "description": "The picture's file."},
                "mask": {
                    **_FILE,
                    "description": "A picture of its size: deblur where it is white.",
                },
            },
            "required": ["photo"],
            "additionalProperties": False,
        }
    },
    **{name: {"schema": _FILE} for name in (*MEDIA_TYPES, "application/octet-stream")},
}
"""What OpenAPI says of bodies."""


class Sent(NamedTuple):
    """What a body holds.

    Attributes:
        photo: a picture file's bytes.
        mask: likewise.
    """

    photo: bytes
    mask: bytes | None


class Intake:
    """Reads bodies into memory, no more at a time than may wait afterwards.

    Args:
        service: what they are for.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reading = 0

    async def read(self, request: Request) -> Sent:
        """Read a picture: the body itself, or the part "photo" of a form.

        Raises:
            QueueFullError: too many wait or come in already; nothing was read.
            MalformedError: there is no picture.
            UnusableError: a form with parts that have no meaning here.
            UploadTimedOutError: it came too slowly.
        """
        self._service.check_room(self._reading)
        self._reading += 1
        timeout = self._service.limits.timeout
        try:
            sent = await asyncio.wait_for(_sent(request), timeout)
        except TimeoutError:
            raise UploadTimedOutError(f"The request took longer than {timeout:g} s.") from None
        finally:
            self._reading -= 1
        if not sent.photo:
            raise MalformedError("There is no picture: send its file as the request's body.")
        return sent


async def _sent(request: Request) -> Sent:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        # What a body is, its first bytes decide: programs send pictures under many names.
        return Sent(await request.body(), None)
    parser = _FormInMemory(
        request.headers, request.stream(), max_files=len(_PARTS), max_fields=len(_PARTS)
    )
    try:
        form = await parser.parse()
    except MultiPartException as problem:
        raise MalformedError(f"{problem.message.rstrip('.')}.") from None
    return await _from_form(form)


class _FormInMemory(MultiPartParser):
    """Writes no file, however large, to a disk; the body's bytes have their limit already."""

    spool_max_size = 0


async def _from_form(form: FormData) -> Sent:
    files: dict[str, bytes] = {}
    for name, part in form.multi_items():
        if name not in _PARTS or name in files or not isinstance(part, UploadFile):
            raise UnusableError(
                "A form holds the file 'photo' and perhaps the file 'mask', once each, with their "
                f"names; got {name!r}. Wishes go into the address: ?strength=0.5"
            )
        files[name] = await part.read()
    return Sent(files.get("photo", b""), files.get("mask"))
