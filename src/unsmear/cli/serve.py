"""``unsmear serve``: a web page and an HTTP API on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import signal
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from unsmear.cli import options
from unsmear.cli.console import note, say
from unsmear.cli.extras import needing
from unsmear.cli.page import page
from unsmear.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from unsmear.web.service import Service

PAGE = page(
    "[OPTIONS]",
    {
        "Examples": {
            "unsmear serve": "page and API at http://127.0.0.1:7860/, for this machine alone",
            "unsmear serve --host 0.0.0.0 --api-key KEY": "for others too, who must know the key",
            "unsmear serve --model lmdvit-tiny --model mine.safetensors": "two to choose from",
            "curl -T photo.jpg 127.0.0.1:7860/v1/deblur -X POST > out.jpg": "deblur a photo",
        },
        "Addresses": {
            "/": "the page; --no-page leaves it out",
            "/v1/deblur": "POST a picture, get it back",
            "/docs": "all of the API, to read and try",
            "/healthz": "200 when pictures can be deblurred; needs no key",
            "/metrics": "figures for Prometheus",
        },
    },
)
LIMITS = "What is taken"
ROOT_PATH = r"(/[\w.~-]+)+/?|/"


def command(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 takes a free one.")
    ] = 7860,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="UNSMEAR_API_KEY",
            help="Ask for this key everywhere but at /healthz. Better set in the environment, "
            "where other users of the machine cannot read it.",
            show_default=False,
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Where a proxy offers it, if not at the root of its host; the proxy takes this "
            "off the addresses.",
            show_default=False,
        ),
    ] = "",
    no_page: Annotated[
        bool, typer.Option("--no-page", help="Serve the API alone, without the page.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A name that 'unsmear models' lists, or a checkpoint file. Repeat for more to "
            "choose from; the first is the default. "
            f"[dim]Default: {' and '.join(options.BUNDLED_MODELS)}.[/]",
            rich_help_panel=options.COMPUTING,
            show_default=False,
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = options.NumberType.auto,
    queue: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Pictures that may wait; more are told to come again.",
            rich_help_panel=LIMITS,
        ),
    ] = 16,
    max_bytes: Annotated[
        int, typer.Option(metavar="N", help="Of a request.", rich_help_panel=LIMITS)
    ] = 64 << 20,
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Width times height of a picture, by its header.",
            rich_help_panel=LIMITS,
        ),
    ] = 50_000_000,
    max_side: Annotated[
        int, typer.Option(metavar="N", help="Of its longer side.", rich_help_panel=LIMITS)
    ] = 20_000,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="For a picture, waiting included.", rich_help_panel=LIMITS
        ),
    ] = 300.0,
) -> None:
    """Serve a page to deblur photos on, and an HTTP API, to this machine or to others.

    Photos are computed in a process of their own, which is started again when it dies. Nothing
    is stored, and nothing that clients send is used as an address or a path. Ctrl-C finishes what
    is under way, and ends.
    """
    with needing("web", "Serving"):
        from unsmear.web.api import create_app
        from unsmear.web.server import Server
        from unsmear.web.service import Limits, Service
    if api_key == "":
        raise InputError("The API key is empty: give one, or leave it out.")
    if root_path and not re.fullmatch(ROOT_PATH, root_path):
        raise InputError(f"A root path is like /unsmear, got {root_path!r}.")
    limits = Limits(max_bytes, max_pixels, max_side, timeout, queue)
    service = Service(model or options.BUNDLED_MODELS, limits, device=device, dtype=dtype.value)
    with _listen(host, port) as listener, _until_stopped(), service:
        app = create_app(service, api_key)
        if not no_page:
            app = _with_page(app, service)
        _introduce(listener, has_key=api_key is not None)
        Server(app, service, root_path.rstrip("/")).run(sockets=[listener])


def _with_page(app: FastAPI, service: Service) -> FastAPI:
    with needing("web", "The page"):
        from unsmear.web.page import mount
    return mount(app, service)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise InputError(
            f"{host}, port {port}, cannot be listened on ({error.strerror}): "
            "choose another --host or --port."
        ) from None


def _introduce(listener: socket.socket, *, has_key: bool) -> None:
    """Say where the service is, and who can reach it."""
    address, port = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    say(f"http://{shown}:{port}/  (Ctrl-C ends)")
    if not has_key and not ipaddress.ip_address(address).is_loopback:
        note("warning: whoever reaches this address can use it: --api-key asks for a key")


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Let Ctrl-C, and a polite end from outside, end what is inside in good order."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
