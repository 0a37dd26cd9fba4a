"""The server, asked over HTTP."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from unsmear.study import AnswerFile, StudyServer, gather_photos, read_answers

from .makers import MODELS, colour, make_restorations

JSON = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    def __init__(self, server: StudyServer) -> None:
        self.port = server.server_port

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, None, headers)

    def post(self, path: str, body: Any, headers: dict[str, str] = JSON) -> Reply:
        return self.send("POST", path, json.dumps(body).encode(), headers)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def questions(self) -> list[dict[str, Any]]:
        return json.loads(self.get("/study").body)["questions"]


Serve = Callable[..., AbstractContextManager[Client]]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return make_restorations(tmp_path / "models")


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "study.jsonl"


@pytest.fixture
def serve(folders: dict[str, Path], answers: Path) -> Serve:
    @contextmanager
    def running(person: str = "ann", blurred: Path | None = None) -> Iterator[Client]:
        photos, _ = gather_photos(folders, blurred)
        with StudyServer(photos, AnswerFile(answers), person, seed=1) as server:
            assert server.server_address[0] == "127.0.0.1"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            yield Client(server)
            server.shutdown()
            thread.join()

    return running


def test_the_page_is_one_file(serve: Serve) -> None:
    with serve() as client:
        reply = client.get("/")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert b"http://" not in reply.body
    assert b"https://" not in reply.body


def test_nothing_sent_tells_the_model(serve: Serve, folders: dict[str, Path]) -> None:
    with serve() as client:
        study = client.get("/study")
        picture = client.get(f"/picture/{client.questions()[0]['pictures'][0]}")
    for reply in (study, picture):
        everything = reply.body + json.dumps(reply.headers).encode()
        assert not any(model.encode() in everything for model in (*MODELS, ".png"))


def test_pictures_are_those_of_the_answer(serve: Serve, answers: Path) -> None:
    with serve() as client:
        questions = client.questions()
        assert len(questions) == 4
        wanted = []
        for question in questions:
            chosen = question["pictures"][1]
            seen = np.asarray(Image.open(io.BytesIO(client.get(f"/picture/{chosen}").body)))
            assert seen.shape == (6, 8, 3)
            wanted.append(tuple(seen[0, 0]))
            assert (
                client.post("/answer", {"question": question["id"], "picture": chosen}).status
                == 200
            )
    given = read_answers(answers)
    assert [colour(each.choice or "", each.photo) for each in given] == wanted
    assert {each.person for each in given} == {"ann"}


def test_files_are_sent_without_format_and_metadata(serve: Serve, folders: dict[str, Path]) -> None:
    for photo in "abcd":
        path = folders["ours"] / f"{photo}.png"
        Image.open(path).save(path.with_suffix(".jpg"), comment=b"made by ours")
        path.unlink()
    with serve() as client:
        pictures = [each for question in client.questions() for each in question["pictures"]]
        replies = [client.get(f"/picture/{each}") for each in pictures]
    assert {reply.headers["Content-Type"] for reply in replies} == {"image/png"}
    assert all(reply.body.startswith(b"\x89PNG") for reply in replies)
    assert not any(b"ours" in reply.body for reply in replies)


def test_a_session_goes_on(serve: Serve) -> None:
    with serve() as client:
        first, second = client.questions()[:2]
        client.post("/answer", {"question": first["id"], "picture": first["pictures"][2]})
        client.post("/answer", {"question": second["id"], "picture": None})
    with serve() as client:
        again = client.questions()
    assert [each["answered"] for each in again] == [True, True, False, False]
    assert again[0]["chosen"] == again[0]["pictures"][2]
    assert again[1]["chosen"] is None
    with serve("bob") as client:
        assert not any(each["answered"] for each in client.questions())


def test_the_photo_as_it_was(serve: Serve, tmp_path: Path) -> None:
    blurred = make_restorations(tmp_path, ("before",))["before"]
    with serve(blurred=blurred) as client:
        question = client.questions()[0]
        assert client.get(f"/picture/{question['blurred']}").status == 200
        said = {"question": question["id"], "picture": question["blurred"]}
        assert client.post("/answer", said).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/picture/",
        "/picture/nothing",
        "/picture/../../models/ours/a.png",
        "/picture/%2e%2e%2fours%2fa.png",
        "/models/ours/a.png",
        "/page.html",
        "//etc/passwd",
    ],
)
def test_no_other_file_is_sent(serve: Serve, path: str) -> None:
    with serve() as client:
        assert client.get(path).status == 404


def test_foreign_pages_are_refused(serve: Serve, answers: Path) -> None:
    with serve() as client:
        question = client.questions()[0]
        said = {"question": question["id"], "picture": None}
        assert client.get("/study", Host="evil.example").status == 403
        assert client.post("/answer", said, JSON | {"Host": "evil.example"}).status == 403
        assert client.post("/answer", said, {"Content-Type": "text/plain"}).status == 403
    assert not answers.exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"question": 1, "picture": null}', b'{"question": "x", "picture": null}'],
)
def test_bad_answers_are_not_recorded(serve: Serve, answers: Path, body: bytes) -> None:
    with serve() as client:
        assert client.send("POST", "/answer", body, JSON).status == 400
        assert client.send("POST", "/elsewhere", body, JSON).status == 404
        assert client.send("POST", "/answer", b" " * 5000, JSON).status == 400
    assert not answers.exists()


def test_a_damaged_picture_does_not_end_the_study(serve: Serve, folders: dict[str, Path]) -> None:
    for photo in "abcd":
        (folders["third"] / f"{photo}.png").write_bytes(b"no picture")
    with serve() as client:
        pictures = client.questions()[0]["pictures"]
        replies = [client.get(f"/picture/{each}").status for each in pictures]
    assert sorted(replies) == [200, 200, 500]


def test_an_answer_that_cannot_be_written_is_not_called_saved(
    serve: Serve, answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unsmear.study.answers.os.fsync", full)
    with serve() as client:
        said = {"question": client.questions()[0]["id"], "picture": None}
        assert client.post("/answer", said).status == 507
