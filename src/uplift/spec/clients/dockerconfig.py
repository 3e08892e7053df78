"""Docker's ``config.json``: logins are put in between, every other key keeps its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from uplift.spec import jsonmerge
from uplift.spec.clients.text import Broken


class DockerDocument:
    """Logins by ``auths REGISTRY``; the value is Docker's ``auth``.

    Args:
        text: the file's text, empty for a new file.
        made: ``root`` and ``auths`` where these objects were made for our entries.

    Raises:
        Broken: the file is no JSON object that Docker reads.
    """

    def __init__(self, text: str, made: set[str] | None = None) -> None:
        self.made = made or set()
        self._text = text
        try:
            self._data = jsonmerge.load(text)
        except jsonmerge.JsonError as error:
            raise Broken(error.line, f"{error.problem}: Docker fails") from None
        except ValueError:
            raise Broken(0, "holds a number that is too long to read") from None
        self._refuse_bad_auths()

    def values(self) -> dict[str, str]:
        """Return the logins; one that holds more than ``auth`` is another value."""
        return {f"auths {name}": _auth(login) for name, login in self._auths().items()}

    def twins(self) -> set[str]:
        """Return registries that are there twice."""
        names = [name for key, names in _objects(self._text) if key == "auths" for name in names]
        return {f"auths {name}" for name in names if names.count(name) > 1}

    def check(self, wanted: Mapping[str, str]) -> None:
        """Accept what could be read."""

    def left(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the wanted logins that are left to a helper program, each with the reason.

        Docker asks the helper and not ``auths``: a login written there would be a password on the
        disk that nobody reads.
        """
        if store := self._data.get("credsStore"):
            return dict.fromkeys(wanted, f"credsStore ({store}) answers for it, not auths")
        helpers = self._data.get("credHelpers") or {}
        return {
            f"auths {name}": f"credHelpers ({helper}) answers for it, not auths"
            for name, helper in helpers.items()
            if f"auths {name}" in wanted
        }

    def warnings(self, wanted: Mapping[str, str]) -> list[str]:
        """Tell of nothing: other logins do not touch ours."""
        return []

    def put(self, key: str, value: str) -> None:
        """Set a login in its place, or add it behind the last one."""
        name = key.removeprefix("auths ")
        if not self._text.strip():
            self.made.add("root")
        if "auths" not in self._data:
            self.made.add("auths")
        if key in self.twins():
            self._set(jsonmerge.remove_keys(self._text, [("auths", name)]))
        self._set(jsonmerge.set_keys(self._text, {("auths", name): {"auth": value}}))

    def drop(self, key: str) -> None:
        """Remove a login; ``auths`` and the object too where they were made for it."""
        self._set(jsonmerge.remove_keys(self._text, [("auths", key.removeprefix("auths "))]))
        if "auths" in self.made and not self._auths():
            self.made.discard("auths")
            self._set(jsonmerge.remove_keys(self._text, [("auths",)]))
        if "root" in self.made and not self._data:
            self.made.discard("root")
            self._set("")

    def arrange(self, keys: list[str]) -> None:
        """Leave the order: it means nothing."""

    def text(self) -> str:
        """Return the whole file."""
        return self._text

    def _set(self, text: str) -> None:
        self._text = text
        self._data = jsonmerge.load(text)

    def _auths(self) -> dict[str, Any]:
        return self._data.get("auths") or {}

    def _line(self, key: str) -> int:
        return self._text.count("\n", 0, self._text.find(json.dumps(key))) + 1

    def _refuse_bad_auths(self) -> None:
        if not isinstance(self._data.get("auths", {}), dict):
            raise Broken(self._line("auths"), "auths must be an object, { … }")
        if not isinstance(self._data.get("credHelpers", {}), dict):
            raise Broken(self._line("credHelpers"), "credHelpers must be an object, { … }")
        if [key for key, _ in _objects(self._text)].count("auths") > 1:
            raise Broken(self._line("auths"), "auths stands here twice: Docker mixes the two")


def _auth(login: object) -> str:
    if isinstance(login, dict) and set(login) == {"auth"} and isinstance(login["auth"], str):
        return login["auth"]
    return json.dumps(login, sort_keys=True)


def _objects(text: str) -> list[tuple[str, list[str]]]:
    """Return the keys of the file, each with the keys of its object; twins are all there."""
    if not text.strip():
        return []
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=_Pairs)
    return [
        (key, [name for name, _ in one] if isinstance(one, _Pairs) else []) for key, one in pairs
    ]


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, twins included."""
