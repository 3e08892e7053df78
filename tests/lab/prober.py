"""Steady requests to one address while something happens to what answers there."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Self

LOST = 1006  # close code for a WebSocket that ended without one
RATE = 50  # requests a second
WORKERS = 10


@dataclass(frozen=True)
class Answer:
    """A good answer.

    Args:
        at: when it was there, as time.monotonic() counts.
        seconds: since it was due, with the connection where that was a fresh one.
        kept: the connection was one that stays open.
        body: what it said.
    """

    at: float
    seconds: float
    kept: bool
    body: str


@dataclass
class Prober:
    """Requests at a steady rate from several threads, half of them on connections that stay open.

    Each has its time. One that is late because those before it took long counts from then on, or
    the time in which nobody could ask would be in no figure.

    Args:
        address: of the host.
        port: that it is reached at.
        path: that is asked for.
        tls: how its certificate is checked; None: no TLS.
        answers: bodies of good answers, counted.
        good: the same, one by one.
        failures: what else came.
    """

    address: str
    port: int
    path: str = "/"
    tls: ssl.SSLContext | None = None
    answers: Counter[str] = field(default_factory=Counter)
    good: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _began: float = 0
    _ended: float = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True)
            for number in range(WORKERS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        self._ended = time.monotonic()

    @property
    def rate(self) -> float:
        """Return how many requests came in a second, once it is over."""
        count = sum(self.answers.values()) + len(self.failures)
        return count / (self._ended - self._began)

    def percentile(self, percent: int) -> float:
        """Return within how many seconds this share of the good answers came."""
        return quantiles((one.seconds for one in self.good), n=100)[percent - 1]

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.address, self.port, timeout=10)
        return http.client.HTTPSConnection(self.address, self.port, timeout=10, context=self.tls)

    def _work(self, number: int) -> None:
        keep = number % 2 == 0
        connection: http.client.HTTPConnection | None = None
        due = self._began + number / RATE
        while not self._over.wait(max(0, due - time.monotonic())):
            try:
                if connection is None or not keep:
                    connection = self._connection()
                connection.request("GET", self.path)
                response = connection.getresponse()
                body = response.read().decode()
                if response.status == 200:
                    self.answers[body] += 1
                    now = time.monotonic()
                    self.good.append(Answer(now, now - due, keep, body))
                else:
                    self.failures.append(f"status {response.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
            due += WORKERS / RATE


class WebSocket:
    """One open WebSocket at ``/ws``.

    Args:
        address: of the host.
        port: that it is reached at.
        tls: how its certificate is checked; None: no TLS.
        timeout: seconds without a word after which it counts as dead.
    """

    def __init__(
        self, address: str, port: int, tls: ssl.SSLContext | None = None, timeout: float = 10
    ) -> None:
        self._socket = socket.create_connection((address, port), timeout=timeout)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        assert b" 101 " in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass

    def say(self, text: str) -> str:
        """Send a short text and return what comes back."""
        data = text.encode()
        self._socket.sendall(bytes([0x81, 0x80 | len(data)]) + bytes(4) + data)
        return self.hear()

    def hear(self) -> str:
        """Return the next text; raise ConnectionError with the code when it was closed."""
        while True:
            head = self._file.read(2)
            if len(head) < 2:
                raise ConnectionError(LOST)
            first, length = head
            if length == 126:
                length = int.from_bytes(self._file.read(2), "big")
            data = self._file.read(length)
            if first & 0x0F == 8:
                raise ConnectionError(int.from_bytes(data[:2], "big"))
            if first & 0x0F == 1:
                return data.decode()
            # A ping: an answer is due, or the other side takes it for dead.
            self._socket.sendall(bytes([0x8A, 0x80 | len(data)]) + bytes(4) + data)

    def close(self) -> None:
        """End it as a browser does."""
        self._socket.sendall(bytes([0x88, 0x80]) + bytes(4))
        # As long as its file is open, so is the connection.
        self._file.close()
        self._socket.close()


def streamed(address: str, port: int, seconds: int, lines: list[str]) -> threading.Thread:
    """Read an answer that takes its time, in a thread of its own.

    Args:
        address: of the host.
        port: that it is reached at.
        seconds: that the answer takes.
        lines: gets its lines when it came to its end.
    """

    def read() -> None:
        connection = http.client.HTTPConnection(address, port, timeout=seconds + 30)
        connection.request("GET", f"/stream?n={seconds}")
        lines.extend(connection.getresponse().read().decode().splitlines())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    time.sleep(1)
    return thread
