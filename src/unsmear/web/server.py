"""The server: how it listens, and how it ends."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from unsmear.web.service import Service

DRAIN = 10.0  # s in which pictures that came before the end may be finished
FAREWELL = 0.5  # s for the last answers to go out


class Server(uvicorn.Server):
    """Serves an app until SIGINT or SIGTERM; pictures that have come are finished, or told why not.

    Args:
        app: what is served.
        service: what computes for it; it takes nothing more at the end.
        root_path: under which a proxy offers it, and which that takes off addresses: "/unsmear".
    """

    def __init__(self, app: FastAPI, service: Service, root_path: str = "") -> None:
        # The client's address matters to nobody here, so nobody need be believed about it.
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                root_path=root_path,
                timeout_graceful_shutdown=int(2 * DRAIN),
            )
        )
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for what is under way."""
        ending = asyncio.ensure_future(self._end_in_time())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end_in_time(self) -> None:
        end = asyncio.get_running_loop().time() + DRAIN
        while not self._service.is_idle and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
        self._service.stop()
        await asyncio.sleep(FAREWELL)
        # Streams of open pages never end by themselves.
        for connection in tuple(self.server_state.connections):
            connection.transport.close()
