"""The HTTP side by itself, over a service that answers without computing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import tempfile

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.responses import Response

from unsmear.web import api
from unsmear.web.api import create_app
from unsmear.web.limits import Limits
from unsmear.web.problems import QueueFullError, RequestError, TimedOutError, WorkerDiedError
from unsmear.web.service import Answer, Service, Wish

from .makers import photo

MAP = np.arange(6, dtype=np.uint8).reshape(2, 3)


class Canned(Service):
    """Answers everything with the same, and remembers what it was asked."""

    def __init__(self, problem: Exception | None = None, **limits: object) -> None:
        super().__init__(["first", "second"], Limits(**limits))
        self.problem = problem
        self.asked: list[tuple[bytes, Wish]] = []

    async def deblur(self, data: bytes, wish: Wish, progress: object = None) -> Answer:
        self.limits.check(data)
        self.asked.append((data, wish))
        if self.problem is not None:
            raise self.problem
        return Answer(b"made", "image/png", MAP, {"seconds": 1.5}, changed=True)


def send(
    service: Service,
    method: str,
    path: str,
    key: str | None = None,
    root_path: str = "",
    **request: object,
) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(service, key), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **request)

    return asyncio.run(once())


def post(service: Service, path: str = "/v1/deblur", **request: object) -> httpx.Response:
    return send(service, "POST", path, **{"content": photo(), **request})


def assert_problem(answer: httpx.Response, status: int, why: str = "") -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert why in problem["detail"]
    assert problem["detail"].endswith((".", "=0.5"))


# --- what comes in ---


@pytest.mark.parametrize("kind", ["image/png", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_of_any_type_is_the_picture(kind):
    service = Canned()
    answer = post(service, headers={"Content-Type": kind})
    assert (answer.status_code, answer.content) == (200, b"made")
    assert answer.headers["content-type"] == "image/png"
    assert service.asked[0][0] == photo()


def test_a_form_holds_photo_and_mask():
    service = Canned()
    send(service, "POST", "/v1/deblur", files={"photo": ("../../a", photo()), "mask": b"m"})
    ((data, wish),) = service.asked
    assert (data, wish.mask) == (photo(), b"m")


def test_a_large_form_does_not_go_to_a_disk(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: pytest.fail("a file was made"))
    service, large = Canned(), photo() + bytes(2 << 20)
    send(service, "POST", "/v1/deblur", files={"photo": large, "mask": large})
    ((data, wish),) = service.asked
    assert data == wish.mask == large


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"picture": photo()}},
        {"files": {"photo": photo()}, "data": {"strength": "1"}},
        {"files": [("photo", photo()), ("photo", photo())]},
        {"data": {"photo": "http://example.com/a.png"}, "files": {"mask": photo()}},
    ],
    ids=["another name", "a field", "two", "an address"],
)
def test_a_form_with_anything_else_is_refused(form):
    assert_problem(send(Canned(), "POST", "/v1/deblur", **form), 422, "A form holds")


def test_a_form_that_is_none_is_refused():
    kind = {"Content-Type": "multipart/form-data"}
    assert_problem(post(Canned(), headers=kind), 400)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert_problem(post(Canned(), headers=kind), 400)


def test_wishes_come_in_the_address():
    service = Canned()
    query = "model=second&strength=0.5&threshold=0.25&box=1,2,3,4&box=5,6,7,8&dense=1&format=jpeg"
    post(service, f"/v1/deblur?{query}")
    wish = service.asked[0][1]
    boxes = ((1, 2, 3, 4), (5, 6, 7, 8))
    assert wish.__dict__ == Wish("second", 0.5, 0.25, boxes, None, True, "jpeg").__dict__
    post(service)
    assert service.asked[1][1].__dict__ == Wish().__dict__


@pytest.mark.parametrize(
    "query",
    ["strength=1.1", "strength=nan", "threshold=-1", "box=1,2,3", "box=1,2,0,4", "format=gif"],
)
def test_wishes_out_of_range_are_refused_by_name(query):
    assert_problem(post(Canned(), f"/v1/deblur?{query}"), 422, query.partition("=")[0])


def test_a_box_is_told_as_a_box_is_written():
    assert_problem(post(Canned(), "/v1/deblur?box=1,2,3"), 422, "X,Y,W,H in pixels")


def test_a_misspelt_wish_is_not_passed_over():
    service = Canned()
    assert_problem(post(service, "/v1/deblur?strenght=0.5"), 422, "'strenght'")
    assert not service.asked


def test_nothing_is_no_picture():
    assert_problem(post(Canned(), content=b""), 400, "no picture")
    assert_problem(post(Canned(), content=b"http://example.com/photo.png"), 415)


# --- what goes out ---


@pytest.mark.parametrize(
    ("query", "accept", "is_json"),
    [
        ("", "*/*", False),
        ("", "application/json", True),
        ("", "image/*, application/json", False),
        ("?answer=json", "*/*", True),
        ("?answer=picture", "application/json", False),
    ],
)
def test_the_answer_is_the_picture_or_json(query, accept, is_json):
    answer = post(Canned(), f"/v1/deblur{query}", headers={"Accept": accept})
    assert answer.headers["content-type"] == ("application/json" if is_json else "image/png")


def test_the_service_is_not_idle_while_an_answer_is_put_together(monkeypatch):
    service, idle = Canned(), []
    monkeypatch.setattr(api, "json_answer", lambda _: idle.append(service.is_idle) or Response())
    assert post(service, "/v1/deblur?answer=json").status_code == 200
    assert idle == [False]
    assert service.is_idle


def test_json_holds_picture_map_and_figures():
    made = post(Canned(), "/v1/deblur?answer=json").json()
    assert base64.b64decode(made.pop("picture")) == b"made"
    blur_map = Image.open(io.BytesIO(base64.b64decode(made.pop("blur_map"))))
    assert np.array_equal(np.asarray(blur_map), MAP)
    assert made == {"media_type": "image/png", "changed": True, "report": {"seconds": 1.5}}


@pytest.mark.parametrize(
    "problem", [QueueFullError(7), WorkerDiedError("It died."), TimedOutError("Too slow.")]
)
def test_what_the_service_meets_with_is_told(problem: RequestError):
    answer = post(Canned(problem))
    assert_problem(answer, problem.status, str(problem))
    assert answer.headers.get("retry-after") == ("7" if problem.status == 429 else None)


def test_what_is_not_there_is_a_problem_too():
    assert_problem(send(Canned(), "GET", "/v1/nothing"), 404, "/docs")
    assert_problem(send(Canned(), "GET", "/v1/deblur"), 405, "POST")
    # A redirect to the right address would be to http, for what a proxy got by TLS, key and all.
    assert_problem(send(Canned(), "POST", "/v1/deblur/"), 404, "/docs")


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/docs"])
def test_head_tells_what_get_would(path):
    head, get = (send(Canned(), method, path) for method in ("HEAD", "GET"))
    assert head.status_code == get.status_code == 200
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_asks_for_health_and_needs_no_key():
    assert send(Canned(), "HEAD", "/healthz", "secret").status_code == 503


# --- limits ---


def test_a_body_above_the_limit_is_refused_by_its_length():
    service = Canned(max_bytes=len(photo()))
    assert post(service).status_code == 200
    assert_problem(post(service, content=photo() + b"x"), 413, "more than")


def test_a_body_without_a_length_is_refused_while_it_comes():
    came = 0

    async def endless():
        nonlocal came
        while came < 10_000:
            came += 100
            yield bytes(100)

    assert_problem(post(Canned(max_bytes=1000), content=endless()), 413, "more than")
    assert came <= 1300


def test_a_body_that_does_not_come_is_not_waited_for():
    async def slow():
        yield photo()[:100]
        await asyncio.sleep(60)

    assert_problem(post(Canned(timeout=0.05), content=slow()), 408, "0.05 s")


def test_no_more_bodies_are_read_than_may_wait():
    service = Canned(queue=1)

    async def crowd() -> list[int]:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            enough = asyncio.Event()

            async def slow():
                yield photo()
                await enough.wait()

            slow_ones = [
                asyncio.ensure_future(client.post("/v1/deblur", content=slow())) for _ in range(2)
            ]
            await asyncio.sleep(0.05)
            refused = await client.post("/v1/deblur", content=photo())
            enough.set()
            done = await asyncio.gather(*slow_ones)
            after = await client.post("/v1/deblur", content=photo())
            return [refused.status_code, *(each.status_code for each in done), after.status_code]

    assert asyncio.run(crowd()) == [429, 200, 200, 200]


def test_the_documentation_asks_no_other_host():
    page = send(Canned(), "GET", "/docs").text
    asked = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert any("swagger" in address for address in asked)
    for address in asked:
        assert address.startswith("/")
        assert send(Canned(), "GET", address).is_success


# --- the key ---

BASIC = base64.b64encode(b"anyone:secret").decode()


@pytest.mark.parametrize("given", ["Bearer secret", "bearer secret", f"Basic {BASIC}"])
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/docs", "/openapi.json"])
def test_the_key_opens(given, path):
    assert send(Canned(), "GET", path, "secret", headers={"Authorization": given}).is_success


@pytest.mark.parametrize(
    "given",
    [
        *("", "secret", "Bearer Secret", "Bearer secret2", "Bearer ", "Basic ?", "Basic c2VjcmV0"),
        *(b"Bearer \xe9", b"Basic \xe9", "Basic é".encode()),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/docs", "/", "/v1/deblur"])
def test_nothing_else_does(given, path):
    answer = send(Canned(), "GET", path, "secret", headers={"Authorization": given})
    assert_problem(answer, 401, "key")
    assert "Basic" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("root_path", ["", "/photos/unsmear"])
def test_health_needs_no_key(root_path):
    answer = send(Canned(), "GET", root_path + "/healthz", "secret", root_path)
    assert (answer.status_code, answer.json()) == (503, {"status": "starting"})
    assert_problem(send(Canned(), "GET", root_path + "/v1/models", "secret", root_path), 401)


def test_without_a_key_none_is_asked_for():
    assert send(Canned(), "GET", "/v1/models").json()["models"] == ["first", "second"]


# --- what it tells of itself ---


def test_answers_are_counted_by_status():
    service = Canned()
    post(service)
    post(service, content=b"")
    lines = send(service, "GET", "/metrics").text.splitlines()
    assert 'unsmear_requests_total{status="200"} 1.0' in lines
    assert 'unsmear_requests_total{status="400"} 1.0' in lines


def test_openapi_names_the_models_bodies_and_answers():
    schema = send(Canned(), "GET", "/openapi.json").json()
    deblur = schema["paths"]["/v1/deblur"]["post"]
    assert "multipart/form-data" in deblur["requestBody"]["content"]
    assert {"200", "413", "415", "422", "429", "503", "504"} <= deblur["responses"].keys()
    assert "application/problem+json" in deblur["responses"]["429"]["content"]
    model = next(each for each in deblur["parameters"] if each["name"] == "model")
    assert model["schema"]["enum"] == ["first", "second"]
    assert "HTTPBearer" not in json.dumps(schema)
