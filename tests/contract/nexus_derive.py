"""Make the table of calls that tests/contract/test_nexus.py checks against.

    python tests/contract/nexus_derive.py openapi.yaml >tests/contract/nexus-calls.json

From an OpenAPI description of Nexus (each server has its own under /service/rest/swagger.json) it
takes the calls that change something and that we can make: names, types and limits of their bodies,
none of the texts. Two things are made stricter or put right:

- A body may have no fields but those described: the server drops others in silence.
- Write policies are described in small letters; servers show and store them in capital ones.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

OURS = re.compile(
    r"(post|put) /v1/(repositories/(pypi|npm|docker|raw|maven)/(hosted|proxy|group)(/.*)?|"
    r"blobstores/file(/.*)?|routing-rules(/.*)?|cleanup-policies(/.*)?|tasks(/[^/]+)?|system/eula|"
    r"security/(anonymous|realms/active|content-selectors(/.*)?|privileges(/.*)?|roles(/.*)?|"
    r"users(/[^/]+)?|users/[^/]+/change-password))|"
    r"delete /v1/(repositories|blobstores|routing-rules|cleanup-policies|tasks|"
    r"security/(content-selectors|privileges|roles|users))/[^/]+"
)
KEPT = (
    "type", "required", "enum", "items", "properties", "minimum", "maximum", "minLength",
    "maxLength", "pattern", "uniqueItems", "additionalProperties", "$ref", "allOf",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    description = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    calls, needed = {}, set[str]()
    for path, methods in sorted(description["paths"].items()):
        for method, call in sorted(methods.items()):
            if method in ("post", "put", "delete") and OURS.fullmatch(f"{method} {path}"):
                content = call.get("requestBody", {}).get("content", {})
                calls[f"{method.upper()} {path}"] = {
                    kind: trimmed(media["schema"], needed) for kind, media in content.items()
                }
    schemas, done = description["components"]["schemas"], dict[str, Any]()
    while needed - set(done):
        for name in sorted(needed - set(done)):
            done[name] = trimmed(schemas[name], needed)
    table = {
        "version": description["info"]["version"],
        "calls": calls,
        "definitions": dict(sorted(done.items())),
    }
    json.dump(table, sys.stdout, indent=1, sort_keys=True)
    print()


def trimmed(schema: dict[str, Any], needed: set[str], name: str = "") -> dict[str, Any]:
    """Return what can be checked of a schema, and note what it refers to."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in KEPT:
            continue
        if key == "$ref":
            needed.add(value.rpartition("/")[2])
            found[key] = f"#/definitions/{value.rpartition('/')[2]}"
        elif key == "properties":
            found[key] = {it: trimmed(held, needed, it) for it, held in value.items()}
        elif key == "allOf":
            found[key] = [trimmed(held, needed) for held in value]
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = trimmed(value, needed)
        elif key == "enum" and name == "writePolicy":
            found[key] = [word.upper() for word in value]
        else:
            found[key] = value
    if "properties" in found and "allOf" not in schema:
        found.setdefault("additionalProperties", False)
    return found


if __name__ == "__main__":
    main()
