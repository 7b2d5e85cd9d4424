"""uvicorn around the application: loopback only, a connection that can be cut, a quick end."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from uvicorn._types import ASGIApplication
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sandbox.app import Application

# Longer than any client keeps a connection: a provider that closes first looks like a fault.
KEEP_ALIVE = 3600
BACKLOG = 2048


class CuttableProtocol(H11Protocol):
    """Hands the application a way to cut its connection, for replies that get lost."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "drop": self.cut}, _loop)

    def cut(self) -> None:
        """Close at once, without flushing."""
        self.transport.abort()


class QuietServer(uvicorn.Server):
    """Ends with exit status 0 on SIGTERM and SIGINT, waiting calls cut off first."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Our signals instead of uvicorn's, which raise the signal again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say on stdout where we listen, once we do."""
        await super().startup(sockets)
        port = sockets[0].getsockname()[1] if sockets else 0
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()

    def _end(self) -> None:
        self.should_exit = True
        self._application.stop()


def serve(application: Application, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; the socket is bound already."""
    config = uvicorn.Config(
        cast(ASGIApplication, application),
        http=CuttableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=1,
        backlog=BACKLOG,
    )
    server = QuietServer(config, application)
    asyncio.run(server.serve(sockets=[listening]))
