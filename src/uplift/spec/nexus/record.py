"""What is remembered on the host: what was created, and fingerprints of what is never shown.

Nothing needs it to go on. Without it nothing is deleted, and secrets of proxies are sent once more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from uplift.spec.secret import Secret

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What is remembered about one server.

    Args:
        created: names of objects by kind.
        sent: fingerprints by object: of secrets, and of schedules.
    """

    created: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sent: Mapping[str, str] = field(default_factory=dict)

    def with_created(self, kind: str, name: str) -> Record:
        """Return it with one object more.

        Args:
            kind: of the object.
            name: of the object.
        """
        names = self.created.get(kind, frozenset()) | {name}
        return Record({**self.created, kind: names}, self.sent)

    def without(self, kind: str, name: str) -> Record:
        """Return it with one object less.

        Args:
            kind: of the object.
            name: of the object.
        """
        names = self.created.get(kind, frozenset()) - {name}
        sent = {key: value for key, value in self.sent.items() if key != f"{kind} {name}"}
        return Record({**self.created, kind: names}, sent)

    def with_sent(self, id: str, fingerprint: str) -> Record:
        """Return it with what was sent last.

        Args:
            id: of the object.
            fingerprint: of what was sent.
        """
        return Record(self.created, {**self.sent, id: fingerprint})


def fingerprint(value: str, key: bytes) -> str:
    """Return what is remembered of something that the server does not show.

    It begins with a mark of the key: another controller's fingerprints say nothing.

    Args:
        value: may be a secret.
        key: of the project.
    """
    mark = hashlib.sha256(b"mark" + key).hexdigest()[:8]
    return f"{mark}:{Secret(value).fingerprint(key)}"


def path(address: str, connect: str = "") -> str:
    """Return the file in which a host remembers a server; the same with TLS and without.

    Args:
        address: of the server, as its host sees it.
        connect: ``address:port`` of a server that is called by another name.
    """
    if connect:
        parts = urlsplit(address)
        address = f"http://{connect}{parts.path}"
    return f"/var/lib/uplift/nexus-{re.sub('[^A-Za-z0-9]+', '-', address)}.json"


def load(text: str) -> Record:
    """Return what a host remembers of a server; nothing when it is not readable.

    Args:
        text: contents of the file.
    """
    try:
        held = json.loads(text)
    except ValueError:
        return Record()
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        return Record()
    created, sent = held.get("created"), held.get("sent")
    return Record(
        {
            str(kind): frozenset(str(name) for name in names)
            for kind, names in (created if isinstance(created, dict) else {}).items()
            if isinstance(names, list)
        },
        {str(key): str(value) for key, value in (sent if isinstance(sent, dict) else {}).items()},
    )


def dump(record: Record) -> str:
    """Return the contents of the file.

    Args:
        record: of a server.
    """
    value = {
        "format": FORMAT,
        "created": {kind: sorted(names) for kind, names in sorted(record.created.items()) if names},
        "sent": dict(sorted(record.sent.items())),
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
