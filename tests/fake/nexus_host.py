"""A host of pyinfra's on which the small Nexus of tests/contract answers what curl would ask."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nexus_double import Double
from pyinfra.connectors.util import CommandOutput, OutputLine

from uplift.spec.http import Basic, Request, Response
from uplift.spec.secret import Secret

Answer = Callable[[Request], Response | None]


class Host:
    """Does what our scripts would on a host; remembers commands and files.

    ``instead`` answers in place of the server; None lets nothing listen. After ``cut`` writes of a
    command the connection is gone.
    """

    def __init__(self, server: Double) -> None:
        self.server = server
        self.files: dict[str, str] = {}
        self.commands: list[str] = []
        self.said = ""
        self.asked: list[str] = []
        self.instead: Callable[[Request], Response | None] | None = None
        self.refuse: dict[str, Response] = {}
        self.cut: int | None = None

    def run(self, command: Any, stdin: Any) -> tuple[bool, CommandOutput]:
        """Do what the host would with a command of ours."""
        words = shlex.split(command.get_raw_value())
        self.commands.append(command.get_raw_value())
        text = "".join(stdin.readlines()) if stdin is not None else ""
        script, args = words[2], words[4:]
        if "curl" not in script:
            if "exit " in script and not text:  # a refusal
                self.said = args[0]
                return False, CommandOutput([OutputLine("stderr", self.said)])
            self.files[args[0]] = text
            return True, CommandOutput([])
        lines = self._each(text) if 'each "$1"' in script else [f"http {self._curl(text)}"]
        if 'each "$1"' in script and self.cut is not None:
            return False, CommandOutput([])
        if "docker inspect" in script:
            first = self.server.passwords["admin"] if self.server.first else ""
            lines.append(f"first -{base64.b64encode(first.encode()).decode()}")
            record = self.files.get(args[3], "")
            lines.append(f"record -{base64.b64encode(record.encode()).decode()}")
            lines.append("end")
        return True, CommandOutput([OutputLine("stdout", line) for line in lines])

    def _each(self, text: str) -> list[str]:
        failed: set[str] = set()
        lines = []
        for number, line in enumerate(text.splitlines()[: self.cut]):
            needs, config = line.split(" ")
            if failed & set(needs.split(",")):
                failed.add(str(number))
                lines.append("http skipped")
                continue
            raw = self._raw(base64.b64decode(config).decode())
            if not raw.rsplit(b"\n", 2)[1].startswith(b"2"):
                failed.add(str(number))
            lines.append(f"http {packed(raw)}")
        return lines

    def _curl(self, config: str) -> str:
        return packed(b"".join(self._raw(block) for block in config.split("next\n")))

    def _raw(self, block: str) -> bytes:
        request, auth = parsed(block)
        self.asked.append(str(request))
        answer = self._answer(request, auth)
        if answer is None:
            return b"\n000 7 0 0 \n" if request.headers else b"\n000 7 0 \n"
        above = f"HTTP/1.1 {answer.status} x\r\n".encode()
        above += b"".join(f"{key}: {it}\r\n".encode() for key, it in answer.headers.items())
        above = above + b"\r\n" if request.headers else b""
        sizes = f"{len(answer.body)} {len(above)}" if request.headers else f"{len(answer.body)}"
        end = f"\n{answer.status} 0 {sizes} {answer.content_type}\n".encode()
        return above + answer.body + end

    def _answer(self, request: Request, auth: Basic) -> Response | None:
        for start, answer in self.refuse.items():
            if str(request).startswith(start):
                return answer
        if self.instead is not None:
            return self.instead(request)
        return self.server.answer(request, auth)


def packed(raw: bytes) -> str:
    """What the script prints of curl's output."""
    return base64.b64encode(gzip.compress(raw + b"\n0\n")).decode()


def parsed(block: str) -> tuple[Request, Basic]:
    """The request of a block of curl's configuration, and its credentials."""
    options: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, value = line.partition(" = ")
        # JSON escapes what our quoting does, and curl undoes, in the same way.
        options.setdefault(key, []).append(json.loads(value) if value[:1] == '"' else value)
    url = urlsplit(options["url"][0])
    path = f"{url.path}?{url.query}" if url.query else url.path
    kinds = [it for it in options["header"] if it.startswith("Content-Type: ")]
    user, _, password = options.get("user", [":"])[0].partition(":")
    request = Request(
        options["request"][0],
        path,
        body=options.get("data-raw", [None])[0],  # type: ignore[list-item]
        content_type=kinds[0].removeprefix("Content-Type: ") if kinds else "application/json",
        headers="include" in options,
    )
    return request, Basic(user, Secret(password))
