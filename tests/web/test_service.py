"""The service's door; no worker is started, so that whoever comes waits."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from unsmear.errors import InputError, ModelError
from unsmear.web.limits import Limits
from unsmear.web.problems import (
    QueueFullError,
    TimedOutError,
    TooLargeError,
    UnsupportedError,
    UnusableError,
)
from unsmear.web.service import Service, Wish

from .makers import photo


def idle(**limits: object) -> Service:
    return Service(["some/where/first.safetensors", "lmdvit-tiny"], Limits(**limits))


def test_models_are_known_by_their_stems():
    assert idle().models == ("first", "lmdvit-tiny")


@pytest.mark.parametrize("models", [[], ["a/x.pth", "b/x.safetensors"]], ids=str)
def test_models_without_names_of_their_own_are_refused(models):
    with pytest.raises(InputError, match="name"):
        Service(models)


@pytest.mark.parametrize(
    ("data", "wish", "error"),
    [
        (b"hello", Wish(), UnsupportedError),
        (photo((90, 90)), Wish(), TooLargeError),
        (photo((9, 9)), Wish(mask=photo((90, 90))), TooLargeError),
        (photo((9, 9)), Wish(mask=b"hello"), UnsupportedError),
        (photo((9, 9)), Wish(model="some/where/first.safetensors"), UnusableError),
        (photo((9, 9)), Wish(format="gif"), UnusableError),
    ],
    ids=["no picture", "pixels", "mask's pixels", "no mask", "a path", "format"],
)
def test_what_cannot_be_done_is_refused_before_it_waits(data, wish, error):
    service = idle(max_pixels=8000)
    with pytest.raises(error):
        asyncio.run(service.deblur(data, wish))
    service.check_room(service.limits.queue)


def test_what_is_not_done_in_time_ends():
    service = idle(timeout=0.01, queue=0)
    for _ in range(3):  # and leaves its place
        with pytest.raises(TimedOutError, match=r"0\.01 s"):
            asyncio.run(service.deblur(photo(), Wish()))


def test_a_full_queue_refuses_and_who_gives_up_makes_room():
    async def crowd() -> None:
        service = idle(queue=1)
        waiting = [asyncio.ensure_future(service.deblur(photo(), Wish())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await service.deblur(photo(), Wish())
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        service.check_room()
        waiting[1].cancel()

    asyncio.run(crowd())


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    service = Service([str(damaged)], device="cpu")
    with pytest.raises(ModelError, match="damaged"):
        service.start()
    service.close()


def test_a_start_that_is_interrupted_leaves_no_process(monkeypatch):
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    service = Service(["lmdvit-tiny"], device="cpu")
    monkeypatch.setattr(service._supervisor.settled, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        service.start()
    assert not service._supervisor.is_alive()
