"""A small application with a WebSocket and a stream, that can be told to misbehave."""

import asyncio
import base64
import hashlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

VERSION = os.environ.get("VERSION", "")
HOW = os.environ.get("HOW", "")
READY = "/up" if HOW == "up" else "/readyz"
STARTED = time.monotonic()
# RFC 6455, 1.3: what a server appends to the client's key.
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def ready() -> bool:
    age = time.monotonic() - STARTED
    told = Path("/unready").exists()
    return HOW != "never" and not told and not (HOW.startswith("until-") and age > float(HOW[6:]))


def answer(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    digest = hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    while True:
        first, second = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        sent = await reader.readexactly(second & 0x7F)
        if first & 0x0F == 8:
            return
        text = VERSION.encode() + b":" + bytes(b ^ mask[i % 4] for i, b in enumerate(sent))
        writer.write(bytes([0x81, len(text)]) + text)
        await writer.drain()


async def stream(writer: asyncio.StreamWriter, seconds: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(seconds * 2):
        line = f"{VERSION} {number}\n".encode()
        writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)
    writer.write(b"0\r\n\r\n")


def drain(authorization: str) -> bytes:
    good = authorization == f"Bearer {Path('/run/secrets/drain-token').read_text()}"
    print("drain", "told" if good else "by a stranger", flush=True)
    return answer("200 OK" if good else "401 Unauthorized", "")


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    _, path, _ = head[0].split()
    pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
    names = {name.lower(): value for name, value in pairs}
    await reader.readexactly(int(names.get("content-length", 0)))
    if path == "/ws":
        await websocket(reader, writer, names["sec-websocket-key"])
    elif path.startswith("/stream"):
        await stream(writer, int(path.rpartition("=")[2]))
    elif path in ("/readyz", "/up") and path != READY:
        writer.write(answer("404 Not Found", ""))
    elif path == READY:
        writer.write(answer("200 OK", "") if ready() else answer("500 Not Ready", ""))
    elif path == "/health/drain":
        writer.write(drain(names.get("authorization", "")))
    elif path == "/file":
        writer.write(answer("200 OK", Path("/etc/app/settings.txt").read_text()))
    else:
        writer.write(answer("200 OK", VERSION))
    await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await one(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def eat() -> None:
    """Take memory until there is no more."""
    eaten = []
    try:
        while True:
            eaten.append(bytearray(10_000_000))
    except MemoryError:
        print("out of memory after", len(eaten) * 10, "MB", flush=True)
        os._exit(137)


async def main() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print("version", VERSION, HOW, flush=True)
    if HOW.startswith("exit-"):
        loop.call_later(float(HOW[5:]), os._exit, 3)
    if HOW.startswith("eat-"):
        loop.call_later(float(HOW[4:]), eat)
    await asyncio.start_server(serve, "", 8000)
    await ended.wait()
    # Docker waits for nobody else: open connections have been drained.
    os._exit(0)


def job(how: str) -> None:
    """Do what a migration does: once, for a while, perhaps wrongly."""
    print("job", VERSION, how, flush=True)
    with Path("/data/jobs").open("a") as file:
        file.write(f"{VERSION}\n")
    time.sleep(float(how.partition("-")[2] or 0))
    sys.exit(4 if how.startswith("fail") else 0)


if sys.argv[1:2] == ["job"]:
    job(sys.argv[2])
elif sys.argv[1:2] == ["schema"]:
    ahead = Path("/data/ahead").exists()
    print("schema is", "ahead of" if ahead else "fit for", os.environ["UPLIFT_TO_TAG"])
    print("networks", len(socket.if_nameindex()) - 1, "text", ascii(os.environ.get("TEXT")))
    print("token", Path("/run/secrets/drain-token").read_text(), flush=True)
    sys.exit(ahead)
else:
    asyncio.run(main())
