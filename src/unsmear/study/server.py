"""The study's page, served to browsers on this machine alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from unsmear.errors import UnsmearError
from unsmear.images import Picture, encode_picture, read_picture
from unsmear.images.metadata import Metadata
from unsmear.images.samples import to_eight_bit
from unsmear.study.answers import Answer, AnswerFile
from unsmear.study.material import Photo
from unsmear.study.questions import Question, ask

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
LARGEST_ANSWER = 4096
# The page is one file: nothing of it comes from, or goes to, anywhere else.
POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


class StudyServer(ThreadingHTTPServer):
    """Asks one person about all photos; `serve_forever` runs it.

    Args:
        photos: what is asked about.
        answers: where the answers go, and what was answered before.
        person: who is asked.
        seed: decides the order of photos and models.
        port: 0 takes a free one.

    Attributes:
        url: the page's address.
    """

    daemon_threads = True

    def __init__(
        self,
        photos: Sequence[Photo],
        answers: AnswerFile,
        person: str = "",
        seed: int = 0,
        port: int = 0,
    ) -> None:
        self._questions, self._files = ask(photos, person, seed)
        self._by_id = {question.id: question for question in self._questions}
        self._answers = answers
        self._person = person
        self.picture = lru_cache(maxsize=16)(self._picture)
        super().__init__((HOST, port), _Handler)
        self.url = f"http://{HOST}:{self.server_port}/"

    def describe(self) -> dict[str, Any]:
        """What the page needs to know: questions in order, and the answers given before."""
        models = self._questions[0].models if self._questions else ()
        before = self._answers.of(self._person, models)
        return {"questions": [_for_page(each, before.get(each.photo)) for each in self._questions]}

    def answer(self, question_id: str, picture_id: str | None) -> bool:
        """Record an answer; False where there is no such question or picture."""
        question = self._by_id.get(question_id)
        if question is None or picture_id not in (None, *question.pictures):
            return False
        choice = None
        if picture_id is not None:
            choice = question.models[question.pictures.index(picture_id)]
        self._answers.add(Answer(self._person, question.photo, question.models, choice))
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a browser hang up in the middle of a picture."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def _picture(self, picture_id: str) -> bytes | None:
        """A picture as PNG, whatever its file is: neither format nor metadata tell the model."""
        path = self._files.get(picture_id)
        if path is None:
            return None
        picture = read_picture(path)
        rgb = picture.rgb if picture.rgb.dtype == np.uint8 else to_eight_bit(picture.rgb)
        # Without its profile a picture of a wide gamut would look pale.
        profile = Metadata(icc=picture.metadata.icc_for("rgb"))
        plain = Picture.from_samples(Picture.from_array(rgb).samples, metadata=profile)
        return encode_picture(plain, "PNG")


def _for_page(question: Question, answer: Answer | None) -> dict[str, Any]:
    chosen = None
    if answer is not None and answer.choice is not None:
        chosen = question.pictures[question.models.index(answer.choice)]
    return {
        "id": question.id,
        "pictures": question.pictures,
        "blurred": question.blurred,
        "answered": answer is not None,
        "chosen": chosen,
    }


class _Handler(BaseHTTPRequestHandler):
    """Four addresses: the page, the questions, a picture, an answer."""

    server: StudyServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version = "unsmear-study"
    sys_version = ""

    def do_GET(self) -> None:
        """Give the page, the questions or a picture."""
        path = urlsplit(self.path).path
        if not self._is_local():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif path == "/":
            self._send(PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path == "/study":
            self._send_json(self.server.describe())
        elif path.startswith("/picture/"):
            self._send_picture(path.removeprefix("/picture/"))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take an answer."""
        # Another site's page can send forms to this address, but no JSON.
        is_json = self.headers.get_content_type() == "application/json"
        length = self.headers.get("Content-Length", "")
        if not self._is_local() or not is_json:
            self._refuse(HTTPStatus.FORBIDDEN)
        elif urlsplit(self.path).path != "/answer":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal() or int(length) > LARGEST_ANSWER:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self._take(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests are none of the command's output."""

    def _is_local(self) -> bool:
        # A foreign name that was made to point here must not read the page.
        host = self.headers.get("Host", "").partition(":")[0]
        return host in (HOST, "localhost")

    def _take(self, body: bytes) -> None:
        try:
            said = json.loads(body)
            question, picture = said["question"], said["picture"]
            known = isinstance(question, str) and isinstance(picture, str | None)
            saved = known and self.server.answer(question, picture)
        except (ValueError, TypeError, KeyError):
            saved = False
        except OSError:  # a full disk: the page must not say that the answer is safe
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE)
            return
        if saved:
            self._send_json({"saved": True})
        else:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _send_picture(self, picture_id: str) -> None:
        try:
            png = self.server.picture(picture_id)
        except UnsmearError:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        if png is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(png, "image/png")

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _refuse(self, status: HTTPStatus) -> None:
        # What the request still holds is not read, so the connection cannot be used again.
        self.close_connection = True
        self._send(status.phrase.encode(), "text/plain", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
