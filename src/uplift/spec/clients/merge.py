"""Merge what is wanted into one file, and say in words what that changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from uplift.spec.clients.dockerconfig import DockerDocument
from uplift.spec.clients.ini import SERVERS
from uplift.spec.clients.record import FileRecord, Record
from uplift.spec.clients.state import FORMATS, Place
from uplift.spec.clients.text import Broken, Document
from uplift.spec.clients.wanted import Entry, Wanted
from uplift.spec.secret import Secret


@dataclass(frozen=True)
class Merged:
    """A file after the merge.

    Args:
        text: the whole file.
        record: what of it is ours.
        words: what changes, without values of secrets.
        warnings: what is odd in the file and not ours to change.
    """

    text: str
    record: FileRecord
    words: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def merge(text: str, wanted: Wanted, record: Record, key: bytes) -> Merged:
    """Put the wanted entries into a file, and take out those that were ours and are no longer.

    Args:
        text: of the file, empty when there is none.
        wanted: what the file shall hold; without entries it holds nothing of ours.
        record: what was written before.
        key: for fingerprints of secrets.

    Raises:
        Broken: the file cannot be merged.
    """
    own = record.files.get(wanted.place, FileRecord())
    document = FORMATS[wanted.place.relative](text, set(own.made))
    before, twins = document.values(), document.twins()
    target = {entry.key: entry.value for entry in wanted.entries}
    left = document.left(target) if isinstance(document, DockerDocument) else {}
    target = {key: value for key, value in target.items() if key not in left}
    gone, words = _drop(document, before, wanted, own, record)
    document.check(target)
    for entry in wanted.entries:
        if entry.key in left:
            continue
        if before.get(entry.key) != entry.value or entry.key in twins:
            words.append(_put(document, entry, before, key))
    document.arrange(list(target))
    after = document.text()
    _prove(wanted.place, after, {k: v for k, v in before.items() if k not in gone}, target)
    if after != text and not words:
        words.append("order of the entries")
    return Merged(
        after,
        FileRecord(_hashes(target, before, own, record), frozenset(document.made)),
        tuple(words),
        (*document.warnings(target), *(f"{key} not written: {why}" for key, why in left.items())),
    )


def _drop(
    document: Document, before: Mapping[str, str], wanted: Wanted, own: FileRecord, record: Record
) -> tuple[set[str], list[str]]:
    """Take out what was ours, and what would win over ours."""
    keep = {entry.key for entry in wanted.entries}
    gone, words = set(), []
    for key, hashes in own.entries.items():
        if key in keep or key not in before:
            continue
        if record.hash(key, before[key]) in hashes:
            document.drop(key)
            gone.add(key)
            words.append(f"{key} removed")
        else:
            words.append(f"{key} left as it is: it was changed by hand since")
    for key in wanted.unwanted:
        if key in before and key not in gone:
            document.drop(key)
            gone.add(key)
            words.append(f"{key} removed: it would win over ours")
    return gone, words


def _put(document: Document, entry: Entry, before: Mapping[str, str], key: bytes) -> str:
    document.put(entry.key, entry.value)
    new = _show(entry.value, entry, key)
    if entry.key not in before:
        return f"{entry.key} added ({new})"
    if before[entry.key] == entry.value:
        return f"{entry.key} stood there twice or where it does not count"
    return f"{entry.key} changed ({_show(before[entry.key], entry, key)} -> {new})"


def _show(value: str, entry: Entry, key: bytes) -> str:
    """Return a value for people; what stood there before may be a secret too."""
    if entry.secret or re.search(r"@|token|passw", value, re.IGNORECASE):
        return Secret(value).fingerprint(key)
    return value if value.isprintable() else repr(value)


def _hashes(
    target: Mapping[str, str], before: Mapping[str, str], own: FileRecord, record: Record
) -> dict[str, tuple[str, ...]]:
    """Return the hashes of what is ours: what we write, and what was ours and still is wanted."""
    return {
        key: (record.hash(key, value),)
        for key, value in target.items()
        if before.get(key) != value or key in own.entries
    }


def _prove(place: Place, text: str, kept: Mapping[str, str], target: Mapping[str, str]) -> None:
    """Read the result again: nothing but what was meant may have changed."""
    document = FORMATS[place.relative](text)
    found, expected = document.values(), {**kept, **target}
    # The list of servers changes with its members, which are entries of their own.
    keys = {*found, *expected} - {SERVERS}
    differs = {key for key in keys if found.get(key) != expected.get(key)}
    differs |= document.twins() & set(target)
    if differs:
        text = f"cannot be merged without touching more than is ours ({', '.join(sorted(differs))})"
        raise Broken(0, f"{text}: tidy it by hand")
