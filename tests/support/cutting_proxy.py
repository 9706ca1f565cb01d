"""A TCP relay in front of a server, which breaks chosen connections in mid-answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CuttingProxy:
    """Connections whose request begins with ``cut_requests`` are broken right after one of ``after`` has come in the answer;
    each is used once, in order."""

    def __init__(self, upstream: tuple[str, int], cut_requests: bytes, after: list[bytes]) -> None:
        self.cuts = 0
        self._upstream = upstream
        self._cut_requests = cut_requests
        self._after = after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._listener.getsockname())

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            _break(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._upstream)
        self._open += [client, server]
        cutting = threading.Event()
        threading.Thread(target=self._there, args=(client, server, cutting), daemon=True).start()
        self._back(server, client, cutting)

    def _there(self, client: socket.socket, server: socket.socket, cutting: threading.Event) -> None:
        while data := _receive(client):
            if data.startswith(self._cut_requests):
                cutting.set()
            server.sendall(data)
        _break(server)

    def _back(self, server: socket.socket, client: socket.socket, cutting: threading.Event) -> None:
        seen = b""
        while data := _receive(server):
            kept = self._until_cut(seen, data) if cutting.is_set() else None
            seen += data
            try:
                client.sendall(data if kept is None else kept)
            except OSError:
                break
            if kept is not None:
                self.cuts += 1
                break
        _break(client)
        _break(server)

    def _until_cut(self, seen: bytes, data: bytes) -> bytes | None:
        """What of ``data`` is still passed on, if this is where the connection breaks."""
        at = (seen + data).find(self._after[0]) if self._after else -1
        if at < 0:
            return None
        return data[: max(at + len(self._after.pop(0)) - len(seen), 0)]


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    connection.close()


@contextmanager
def cutting_proxy(url: str, cut_requests: bytes, after: list[bytes]) -> Iterator[CuttingProxy]:
    host, _, port = url.removeprefix("http://").partition(":")
    proxy = CuttingProxy((host, int(port)), cut_requests, after)
    try:
        yield proxy
    finally:
        proxy.close()
