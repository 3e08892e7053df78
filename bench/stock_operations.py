"""The same files by pyinfra's own operations: one `files.put` a file."""

import json
from io import StringIO
from pathlib import Path

from pyinfra.operations import files

for _wanted in json.loads(Path("files.json").read_text()):
    files.put(
        name=_wanted["path"],
        src=StringIO(_wanted["content"]),
        dest=_wanted["path"],
        user=_wanted["owner"],
        group=_wanted["owner"],
        mode=_wanted["mode"],
    )
