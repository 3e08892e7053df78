"""How the content of a file would change, and what of it is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.spec.rollout.content import LARGEST, SHOWN, File, difference, public

SECRET = "a-word-that-is-nowhere-else"


def shown(before: bytes | None, after: bytes, *, is_public: bool = True) -> str:
    old = None if before is None else File(before, public=is_public)
    return difference("/etc/x", old, File(after, public=True), [SECRET])


def test_lines_that_come_and_go_are_shown_with_what_is_around_them() -> None:
    assert shown(b"a\nb\nc\n", b"a\nB\nc\n").splitlines() == [
        "/etc/x: modified",
        *("  @@ -1,3 +1,3 @@", "   a", "  -b", "  +B", "   c"),
    ]
    assert shown(None, b"a\n").splitlines() == ["/etc/x: created", "  @@ -0,0 +1 @@", "  +a"]
    assert shown(b"a\n", b"a\n") == "/etc/x: its rights alone"


def test_no_more_lines_are_shown_than_somebody_reads() -> None:
    assert shown(None, b"a\n" * 500).splitlines()[-1] == f"  … {501 - SHOWN} more lines"


@pytest.mark.parametrize(
    ("before", "after", "is_public", "reason"),
    [
        (b"a", b"b", False, "not every user of the host may read it"),
        (b"a", SECRET.encode(), True, "a secret stands in it"),
        (SECRET.encode(), b"b", True, "a secret stands in it"),
        (None, b"-----BEGIN PRIVATE KEY-----\nx", True, "a secret stands in it"),
        (b"\xff\xfe", b"b", True, "no text"),
        (b"a", b"b\0", True, "no text"),
        (b"a", b"b" * (LARGEST + 1), True, "larger than 64 KiB"),
    ],
)
def test_what_is_nobody_elses_or_no_text_is_not_shown(
    before: bytes | None, after: bytes, is_public: bool, reason: str
) -> None:
    found = shown(before, after, is_public=is_public)
    assert found.endswith(f"; not shown: {reason}")
    assert len(found.splitlines()) == 1


@given(st.binary(), st.binary())
def test_a_secret_is_never_in_what_is_shown(before: bytes, after: bytes) -> None:
    for old, new in ((before, after + SECRET.encode()), (SECRET.encode() + before, after)):
        assert SECRET not in shown(old, new)


def test_modes_are_read_as_operations_take_them() -> None:
    assert [public(mode) for mode in (None, 644, "0644", 600, "755", "u=rw", True)] == [
        *(None, True, True, False, True, False, False)
    ]
