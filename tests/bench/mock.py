"""The mock upstream, a process of its own: one thread over epoll, as little work per chunk as Python allows."""

from __future__ import annotations

import gc
import heapq
import re
import select
import socket
import sys
import time

from tests.bench.wire import (
    HEAD_END,
    PACE,
    SCAN_BYTES,
    STREAM_HEAD,
    chunk_template,
    plain_reply,
    stream_tail,
)

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
READ_BYTES = 1 << 18
BACKLOG = 4096
READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT


class Connection:
    """One of the gateway's connections. ``wanted``: bytes of the request that is arriving, 0 before its head is whole."""

    __slots__ = ("chunks_left", "gone", "inbox", "interval_ns", "number", "outbox", "sock", "total", "wanted")

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.wanted = self.chunks_left = self.total = self.interval_ns = 0
        self.gone = False


class Mock:
    """Answers every POST with a reply or, where it asks for ``stream``, with paced chunks."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), READABLE)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection]] = []
        self._reply = plain_reply()
        self._chunk = chunk_template()
        self._buffer = bytearray(READ_BYTES)
        self._accepted = 0

    def run(self) -> None:
        """Until the process is ended."""
        door = self._listener.fileno()
        while True:
            for fd, events in self._epoll.poll(self._patience_s()):
                if fd == door:
                    self._accept()
                elif (connection := self._connections.get(fd)) is not None:
                    self._serve(connection, events)
            self._send_due()

    def _patience_s(self) -> float:
        return max(0.0, (self._due[0][0] - time.monotonic_ns()) / 1e9) if self._due else -1.0

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._accepted += 1
                self._connections[sock.fileno()] = Connection(sock, self._accepted)
                self._epoll.register(sock.fileno(), READABLE)
        except BlockingIOError:
            return

    def _serve(self, connection: Connection, events: int) -> None:
        try:
            if events & WRITABLE:
                self._flush(connection)
            if events & ~WRITABLE:
                self._read(connection)
        except OSError:
            self._drop(connection)

    def _read(self, connection: Connection) -> None:
        count = connection.sock.recv_into(self._buffer)
        if count == 0:
            self._drop(connection)
            return
        inbox = connection.inbox
        inbox += memoryview(self._buffer)[:count]
        if connection.wanted == 0:
            head = inbox.find(HEAD_END)
            if head < 0:
                return
            length = LENGTH.search(inbox, 0, head)
            connection.wanted = head + len(HEAD_END) + (int(length[1]) if length else 0)
        if len(inbox) >= connection.wanted:
            self._answer(connection)

    def _answer(self, connection: Connection) -> None:
        inbox = connection.inbox
        pace = PACE.search(inbox, 0, 2 * SCAN_BYTES)
        streamed = pace is not None and b'"stream":true' in inbox.replace(b": ", b":")
        connection.inbox = inbox[connection.wanted :]
        connection.wanted = 0
        if pace is None or not streamed:
            self._send(connection, self._reply)
            return
        connection.total = connection.chunks_left = int(pace[1])
        connection.interval_ns = int(pace[2]) * 1_000_000
        heapq.heappush(self._due, (time.monotonic_ns(), connection.number, connection))

    def _send_due(self) -> None:
        """The chunks whose time has come. Each is due an interval after the last one was due, so no delay adds up."""
        due, now = self._due, time.monotonic_ns()
        while due and due[0][0] <= now:
            at, number, connection = due[0]
            if connection.gone:
                heapq.heappop(due)
                continue
            data = self._chunk % time.monotonic_ns()
            if connection.chunks_left == connection.total:
                data = STREAM_HEAD + data
            connection.chunks_left -= 1
            if connection.chunks_left > 0:
                heapq.heapreplace(due, (at + connection.interval_ns, number, connection))
            else:
                heapq.heappop(due)
                data += stream_tail(connection.total)
            try:
                self._send(connection, data)
            except OSError:
                self._drop(connection)

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.outbox:
            connection.outbox += data
            return
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            connection.outbox += data[sent:]
            self._epoll.modify(connection.sock.fileno(), READABLE | WRITABLE)

    def _flush(self, connection: Connection) -> None:
        sent = connection.sock.send(connection.outbox)
        del connection.outbox[:sent]
        if not connection.outbox:
            self._epoll.modify(connection.sock.fileno(), READABLE)

    def _drop(self, connection: Connection) -> None:
        if not connection.gone:
            connection.gone = True
            del self._connections[connection.sock.fileno()]
            connection.sock.close()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setblocking(False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    gc.freeze()
    gc.disable()
    Mock(listener).run()


if __name__ == "__main__":
    main()
