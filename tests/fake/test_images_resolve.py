"""The script that says what references mean, run by this machine's shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

from uplift.facts.images import RESOLVE
from uplift.spec.images import parse

DIGEST = f"sha256:{'a' * 64}"
GOOD = f'{{"Descriptor":{{"digest":"{DIGEST}"}}}}'
# The daemon's answers; what it is told by standard input names the image.
CURL = f"""#!/bin/sh
case $(cat) in
  */distribution/r.example/console:1/json*) printf '{GOOD}\\n200' ;;
  */distribution/r.example/console:2/json*) printf '{{"message":"manifest unknown"}}\\n404' ;;
  *) printf '{{"message":"unauthorized"}}\\n401' ;;
esac
"""


def test_of_each_reference_digest_absence_or_trouble_is_told(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text(CURL)
    (tmp_path / "curl").chmod(0o755)
    words = [word for tag in "123" for word in (f"r.example/console:{tag}", "r.example")]
    done = subprocess.run(
        ["dash", "-c", RESOLVE.replace("HOME=/root", f"HOME={tmp_path}"), "uplift", *words],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = parse(done.stdout.splitlines())
    assert found.digests == {"r.example/console:1": DIGEST}
    assert found.troubles == {"r.example/console:3": "unauthorized"}


def test_without_curl_there_is_no_answer_and_no_absence(tmp_path: Path) -> None:
    (tmp_path / "base64").symlink_to("/usr/bin/base64")
    script = RESOLVE.replace("$PATH:/usr/local/sbin:/usr/sbin:/sbin", "$PATH")
    done = subprocess.run(
        ["/bin/sh", "-c", script, "uplift", "r.example/console:1", "r.example"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = parse(done.stdout.splitlines())
    assert found.troubles == {"r.example/console:1": "no answer (status 000)"}
