"""Why a request gets no picture; each problem is one sentence and an HTTP status."""

from __future__ import annotations

from http import HTTPStatus

from unsmear.errors import UnsmearError


class RequestError(UnsmearError):
    """Base of what a request can meet with.

    Attributes:
        status: of the HTTP answer.
        headers: that go with it.
    """

    status = 400

    def __init__(self, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.headers = headers or {}

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


class MalformedError(RequestError):
    """A request without a picture where one belongs."""


class UnauthorizedError(RequestError):
    """No key, or a wrong one."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "This service wants its key: send it as 'Authorization: Bearer KEY'.",
            {"WWW-Authenticate": 'Basic realm="unsmear", Bearer realm="unsmear"'},
        )


class UploadTimedOutError(RequestError):
    """The request itself came in too slowly."""

    status = 408


class TooLargeError(RequestError):
    """More bytes, pixels, or pixels a side, than the service takes."""

    status = 413


class UnsupportedError(RequestError):
    """Data that are no picture, or one of a format that is not read."""

    status = 415


class UnusableError(RequestError):
    """A damaged picture, or wishes that do not fit it."""

    status = 422


class QueueFullError(RequestError):
    """Too many requests wait already.

    Attributes:
        retry_after: seconds after which it is worth another try; a whole number from 1.
    """

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many pictures wait already: try again in {retry_after} s.",
            {"Retry-After": str(retry_after)},
        )
        self.retry_after = retry_after


class WorkerDiedError(RequestError):
    """The process that computes ended at this picture, or with the service."""

    status = 503


class TimedOutError(RequestError):
    """The picture was not done in time."""

    status = 504
