"""What differs between a container as it shall be and as it is, field by field."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uplift.spec.container.image import Image, Reference, Resolved, brief
from uplift.spec.container.models import OURS, Container
from uplift.spec.container.shape import IN_PLACE, found_shape, wanted_shape
from uplift.spec.container.state import SecretFile, State
from uplift.spec.container.units import memory_words
from uplift.spec.secret import Secret, SecretRef

Values = Mapping[SecretRef, Secret]


@dataclass(frozen=True)
class Change:
    """One thing that differs.

    Args:
        field: of the settings.
        words: for people; never a secret.
        in_place: the running container can be changed.
    """

    field: str
    words: str
    in_place: bool = False


def changes(
    it: Container, found: Mapping[str, Any], state: State, values: Values, key: bytes
) -> list[Change]:
    """Compare a container with the settings.

    Args:
        it: what is wanted.
        found: what ``docker inspect`` says.
        state: of the host.
        values: of the secrets.
        key: of the fingerprints that show secrets.
    """
    image = state.images.get(found["Image"], Image(found["Image"]))
    resolved = state.resolved[it.image]
    lines = [Change("image", text) for text in _image(it, found, image, resolved)]
    wanted, real = wanted_shape(it, image.config, values), found_shape(found, image.config)
    for field in wanted:
        if _skipped(field, it, state):
            continue
        if wanted[field] != real[field]:
            lines += _lines(field, real[field], wanted[field])
    return lines + secret_changes(it, state, values, key)


def _skipped(field: str, it: Container, state: State) -> bool:
    """Tell whether a field is not ours, or cannot be had on this host."""
    if field == "logging":
        return it.logging is None
    return field in ("memory", "cpus", "pids_limit") and field not in state.limits


def _image(it: Container, found: Mapping[str, Any], image: Image, resolved: Resolved) -> list[str]:
    if resolved.how == "failed" or same_image(image, resolved):
        return []
    label = (found["Config"].get("Labels") or {}).get(f"{OURS}image")
    old, new = _reference(label or found["Config"]["Image"]), Reference.parse(it.image)
    before = old.short if old else brief(found["Image"])
    names = f"{before} -> {new.short}" if old and old.name == new.name else ""
    names = names or f"{label or found['Config']['Image']} -> {it.image}"
    was = next(iter(sorted(image.digests)), image.id)
    return [f"image {names} ({brief(was)} -> {brief(resolved.digest or resolved.local)})"]


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ValueError:
        return None


def same_image(image: Image, resolved: Resolved) -> bool:
    """Tell whether a container's image is what the settings stand for.

    Args:
        image: of the container.
        resolved: what the reference stands for.
    """
    if resolved.digest:
        return resolved.digest in image.digests
    return bool(resolved.local) and resolved.local == image.id


def _lines(field: str, old: Any, new: Any) -> list[Change]:
    if field in ("env", "labels"):
        word = field.removesuffix("s")
        return [Change(field, f"{word} {key} {_verb(key, old, new)}") for key in _keys(old, new)]
    if field in ("ulimits", "extra_hosts", "tmpfs"):
        keys = _keys(old, new)
        return [Change(field, f"{field} {key} {_verb(key, old, new)}") for key in keys]
    if isinstance(new, set):
        parts = [f"+{_word(one)}" for one in sorted(new - old, key=str)]
        parts += [f"-{_word(one)}" for one in sorted(old - new, key=str)]
        return [Change(field, f"{field} {' '.join(parts)}")]
    if field in ("argv", "healthcheck"):
        # A command line may hold what is nobody's business.
        return [Change(field, f"{'command' if field == 'argv' else field} changed")]
    in_place = field in IN_PLACE and new is not None
    return [Change(field, f"{field} {_value(field, old)} -> {_value(field, new)}", in_place)]


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _verb(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if key not in old:
        return "added"
    return "changed" if key in new else "removed"


def _value(field: str, value: Any) -> str:
    if value is None or value == "":
        return "none"
    return memory_words(value) if field == "memory" else str(value)


def _word(value: Any) -> str:
    """Return one of several: a port, a mount, a network, or a plain word."""
    if not isinstance(value, tuple):
        return str(value)
    match value:
        case (str() as address, int() as host, int() as inside, str() as protocol):
            return f"{address}:{host}:{inside}/{protocol}"
        case (str(), str() as source, str() as target, bool() as writable):
            return f"{source}:{target}{'' if writable else ':ro'}"
    name, aliases = value
    return f"{name}({','.join(sorted(aliases))})" if aliases else str(name)


def secret_changes(it: Container, state: State, values: Values, key: bytes) -> list[Change]:
    """Compare the secret files; a secret is shown by its keyed fingerprint."""
    there = state.secrets.get(it.name, {})
    lines = []
    for name, ref in it.secrets.items():
        value, file = values[ref], there.get(name)
        if file is None:
            lines.append(Change("secrets", f"secret {name} added"))
        elif not _same(file, value, state.salt):
            shown = value.fingerprint(key)
            lines.append(Change("secrets", f"secret {name} changed (now {shown})"))
        elif file.rights != f"400 {it.secret_uid}:0":
            rights = f"{file.rights} -> 400 {it.secret_uid}:0"
            lines.append(Change("secrets", f"secret {name}: rights {rights}"))
    extra = sorted(there.keys() - it.secrets.keys())
    return lines + [Change("secrets", f"secret {name} removed") for name in extra]


def _same(file: SecretFile, value: Secret, salt: str) -> bool:
    digest = hashlib.sha256(f"{salt}{value.reveal()}".encode()).hexdigest()
    return hmac.compare_digest(digest, file.hash)
