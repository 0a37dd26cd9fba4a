"""A real server with a real worker, as clients, crashes and attackers meet it."""

from __future__ import annotations

import base64
import io
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from unsmear.images import read_picture
from unsmear.inference import Deblurrer, Steering

from .makers import Server, photo, pixels, until

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")


def flat(side: int) -> bytes:
    """A picture that is small to send and long to compute."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "PNG")
    return file.getvalue()


SLOW = flat(1500)


def post(server: Server, data: bytes, query: str = "") -> httpx.Response:
    with server.client() as client:
        return client.post(f"/v1/deblur?{query}", content=data)


def test_a_picture_comes_back_as_the_engine_makes_it(server, checkpoint):
    data = photo((90, 70))
    wanted = Deblurrer(checkpoint, device="cpu", dtype="float32").deblur(
        read_picture(data), Steering(threshold=0)
    )
    answer = post(server, data, "threshold=0")
    assert answer.headers["content-type"] == "image/png"
    assert abs(pixels(answer.content).astype(int) - wanted.picture.rgb).max() <= 1
    made = post(server, data, "threshold=0&answer=json").json()
    assert base64.b64decode(made["picture"]) == answer.content
    assert made["report"]["model"] == "little"
    assert made["report"]["touched_fraction"] == pytest.approx(
        wanted.report.touched_fraction, abs=1e-3
    )


def test_pictures_that_come_together_get_what_they_would_get_alone(server):
    pictures = [photo((60 + n, 50), seed=n) for n in range(2)]
    alone = [post(server, data, "threshold=0").content for data in pictures]
    blocker = server.begin(SLOW, "dense=1")
    until(lambda: server.figure("unsmear_under_way") == 1)
    batches = server.figure("unsmear_batch_pictures_count")
    with ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda data: post(server, data, "threshold=0"), pictures)
        until(lambda: server.figure("unsmear_waiting") == 2)
        blocker.close()
        assert [answer.content for answer in together] == alone
    assert server.figure("unsmear_batch_pictures_count") == batches + 1


@needs_proc
def test_a_worker_that_is_killed_takes_one_picture_with_it(server):
    restarts = server.figure("unsmear_worker_restarts_total")
    with ThreadPoolExecutor(2) as pool:
        killed = pool.submit(post, server, SLOW, "dense=1")
        until(lambda: server.figure("unsmear_under_way") == 1)
        waiting = pool.submit(post, server, photo())
        until(lambda: server.figure("unsmear_waiting") == 1)
        os.kill(server.worker(), signal.SIGKILL)
        assert killed.result().status_code == 503
        with server.client() as client:
            assert client.get("/v1/models").status_code == 200
            assert client.get("/healthz").status_code == 503
        assert waiting.result().status_code == 200
    assert server.figure("unsmear_worker_restarts_total") == restarts + 1
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}


@needs_proc
def test_a_worker_that_is_told_to_end_with_the_service_finishes_first(server):
    restarts = server.figure("unsmear_worker_restarts_total")
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(post, server, flat(500), "dense=1")
        until(lambda: server.figure("unsmear_under_way") == 1)
        os.kill(server.worker(), signal.SIGTERM)  # systemd sends it to all processes of a service
        assert under_way.result().status_code == 200
    assert server.figure("unsmear_worker_restarts_total") == restarts


def test_a_full_queue_says_when_to_come_again_and_who_leaves_is_forgotten(server):
    restarts = server.figure("unsmear_worker_restarts_total")
    under_way = server.begin(SLOW, "dense=1")
    until(lambda: server.figure("unsmear_under_way") == 1)
    waiting = [server.begin(SLOW, "dense=1") for _ in range(2)]
    until(lambda: server.figure("unsmear_waiting") == 2)
    refused = post(server, photo())
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    for connection in waiting:
        connection.close()
    until(lambda: server.figure("unsmear_waiting") == 0)
    assert server.figure("unsmear_under_way") == 1
    under_way.close()
    until(lambda: server.figure("unsmear_under_way") == 0)
    assert server.figure("unsmear_worker_restarts_total") == restarts  # it gave up by itself
    assert server.figure('unsmear_requests_total{status="499"}') >= 3
    assert post(server, photo()).status_code == 200


# --- what is meant badly ---


def bomb() -> bytes:
    """A few kilobytes that say they are 10 gigapixels."""
    data = bytearray(photo((9, 9), "BMP"))
    data[18:26] = (100_000).to_bytes(4, "little") * 2
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (bomb(), 413),
        (flat(3001), 413),
        (bytes(2 << 20), 413),
        (photo()[:-200], 422),
        (photo(format="JPEG")[:20], 422),
        (b"GIF89a" + bytes(99), 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", 415),
        (b"/etc/passwd", 415),
    ],
    ids=["bomb", "pixels", "bytes", "cut", "header", "gif", "svg", "path"],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(server, data, status):
    answer = post(server, data)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.json()["detail"].strip()


def test_a_picture_that_unpacks_to_more_than_it_says_harms_nobody(server):
    head = photo((9, 9))
    zeros = flat(2900)
    place, end = zeros.index(b"IDAT") - 4, zeros.index(b"IEND") - 4
    small = head[: head.index(b"IDAT") - 4] + zeros[place:end] + head[head.index(b"IEND") - 4 :]
    assert post(server, small).status_code in (200, 422)
    assert post(server, photo()).status_code == 200


# --- its own description ---


def test_whatever_its_description_allows_it_answers(server):
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    description = schemathesis.openapi.from_url(f"{server.url}openapi.json")
    operations = [each.ok() for each in description.get_all_operations()]
    assert {each.path for each in operations} >= {"/v1/deblur", "/v1/models", "/healthz"}
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=20,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def answers_well(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks)
            if case.method == "POST":  # random bytes are no picture: the same wishes go with one
                case.body, case.media_type = photo((20, 20)), "image/png"
                case.call_and_validate(checks=checks)

        answers_well()
