"""Where a Nexus keeps components, for how long, and which paths it serves."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from uplift.spec.nexus.api import Api, Line, Name
from uplift.spec.nexus.units import Amount


class SoftQuota(Api):
    """When a blob store is reported as unhealthy; nothing is refused then.

    Args:
        type: what the limit is of.
        limit: as ``10GB``; the server's ``limit`` is in bytes, whatever its description says.
    """

    type: Literal["spaceRemainingQuota", "spaceUsedQuota"]
    limit: Amount


class BlobStore(Api):
    """A blob store of files.

    Args:
        name: unique.
        path: absolute, or below the data folder's ``blobs``; it cannot be changed later. The name
            when left out.
        soft_quota: none when None.
    """

    name: Name
    path: Line | None = None
    soft_quota: SoftQuota | None = None


class RoutingRule(Api):
    """Which paths a proxy asks its remote for.

    Args:
        name: unique.
        description: for people.
        mode: what matching paths are: ``BLOCK`` or ``ALLOW``.
        matchers: regular expressions of whole paths.
    """

    name: Name
    description: Line = ""
    mode: Literal["BLOCK", "ALLOW"] = "BLOCK"
    matchers: tuple[Line, ...] = Field(min_length=1)

    @field_validator("matchers")
    @classmethod
    def _compile(cls, matchers: tuple[str, ...]) -> tuple[str, ...]:
        for matcher in matchers:
            _check_expression(matcher)
        return matchers


def _check_expression(text: str) -> None:
    """Refuse what is no regular expression; Java's and Python's agree on that in all but rarities.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        re.compile(text)
    except re.error as error:
        msg = f"{text!r} is no regular expression: {error}"
        raise ValueError(msg) from None


class ContentSelector(Api):
    """A rule that privileges can be limited by.

    Args:
        name: unique.
        description: for people.
        expression: in Nexus's language, as ``format == "raw" and path =^ "/public/"``.
    """

    name: Name
    description: Line = ""
    expression: str = Field(min_length=1)


class CleanupPolicy(Api):
    """What a repository's cleanup removes; at least one criterion.

    Args:
        name: unique.
        format: of the repositories that it is for, as ``pypi``; cannot be changed later.
        notes: for people.
        criteria_last_blob_updated: days since a component was published.
        criteria_last_downloaded: days since it was last asked for.
        criteria_release_type: only releases, or only prereleases (maven2 and npm have both).
        criteria_asset_regex: only components with such an asset.
    """

    name: Name
    format: Literal["pypi", "npm", "docker", "raw", "maven2"]
    notes: Line = ""
    criteria_last_blob_updated: int | None = Field(default=None, ge=1)
    criteria_last_downloaded: int | None = Field(default=None, ge=1)
    criteria_release_type: Literal["RELEASES", "PRERELEASES"] | None = None
    criteria_asset_regex: Line | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        criteria = [name for name in type(self).model_fields if name.startswith("criteria_")]
        if all(getattr(self, name) is None for name in criteria):
            msg = f"a cleanup policy needs one of {', '.join(criteria)}"
            raise ValueError(msg)
        if self.criteria_release_type and self.format not in ("maven2", "npm"):
            msg = "criteria_release_type is for the formats maven2 and npm"
            raise ValueError(msg)
        return self


class Compaction(Api):
    """The task that frees the disk space of what cleanup has removed.

    Args:
        name: of the task, unique.
        blob_store_name: which blob store.
        cron: when, in the server's seven fields: seconds, minutes, hours, day of the month, month,
            day of the week, year; the last may be left out.
    """

    name: Line = Field(min_length=1)
    blob_store_name: Name = "default"
    cron: Line = "0 0 3 * * ?"

    @field_validator("cron")
    @classmethod
    def _fields(cls, cron: str) -> str:
        if len(cron.split()) not in (6, 7):
            msg = (
                f"{cron!r}: a schedule has six or seven fields, seconds first: '0 0 3 * * ?' is "
                "every night at three"
            )
            raise ValueError(msg)
        return cron
