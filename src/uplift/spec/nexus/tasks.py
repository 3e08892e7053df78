"""Tasks that free disk space: by the public call from 3.74 on, before by that of the web interface.

The public list does not show a task's schedule. What was sent last is remembered on the host; a
task that has no next run was switched off by somebody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from uplift.spec.http import Request
from uplift.spec.nexus.models import Nexus
from uplift.spec.nexus.state import COMPACT, REST, State
from uplift.spec.nexus.storage import Compaction
from uplift.spec.nexus.version import Version
from uplift.spec.nexus.writes import Does, Write

EXTDIRECT = "/service/extdirect"


def compactions(settings: Nexus, state: State) -> Iterator[Write]:
    """Return the writes that the wanted tasks need.

    Args:
        settings: what the server shall hold.
        state: what it holds.
    """
    for it in settings.compactions:
        there = state.there("compaction", it.name)
        sent = _fingerprint(it)
        needs = frozenset({("blob store", it.blob_store_name)})
        if there is None:
            request = _create(it, state.version)
            said = f"created, {it.cron}"
            yield Write("compaction", it.name, Does.CREATE, (said,), request, needs, sent)
        elif said := _differs(state, it.name, there, sent):
            request = _change(it, there["id"], state.version)
            said = f"{said}: {it.blob_store_name}, {it.cron}"
            yield Write("compaction", it.name, Does.CHANGE, (said,), request, needs, sent)


def _differs(state: State, name: str, there: Mapping[str, Any], sent: str) -> str:
    old = state.record.sent.get(f"compaction {name}")
    if there.get("nextRun") is None and there.get("currentState") != "RUNNING":
        return "is not scheduled: scheduled"
    if old is None:
        return "sent, the server does not show its schedule"
    return "" if old == sent else "schedule changed"


def _fingerprint(it: Compaction) -> str:
    return hashlib.sha256(json.dumps([it.blob_store_name, it.cron]).encode()).hexdigest()[:12]


def _create(it: Compaction, version: Version) -> Request:
    if version.creates_tasks:
        return Request("POST", f"{REST}/v1/tasks", body=json.dumps(_public(it)))
    return _direct("create", {"id": "NX.coreui.model.Task-1", **_internal(it)})


def _change(it: Compaction, id: str, version: Version) -> Request:
    if version.creates_tasks:
        return Request("PUT", f"{REST}/v1/tasks/{quote(id)}", body=json.dumps(_public(it)))
    return _direct("update", {"id": id, **_internal(it)})


def removal(there: Mapping[str, Any], version: Version) -> Request:
    """Return the request that removes a task.

    Args:
        there: as the server shows it.
        version: of the server.
    """
    if version.creates_tasks:
        return Request("DELETE", f"{REST}/v1/tasks/{quote(there['id'])}")
    return _direct("remove", there["id"])


def _public(it: Compaction) -> dict[str, Any]:
    return {
        "name": it.name,
        "type": COMPACT,
        "enabled": True,
        "notificationCondition": "FAILURE",
        "frequency": {"schedule": "cron", "cronExpression": it.cron},
        "properties": {"blobstoreName": it.blob_store_name},
    }


def _internal(it: Compaction) -> dict[str, Any]:
    return {
        "typeId": COMPACT,
        "enabled": True,
        "name": it.name,
        "alertEmail": "",
        "notificationCondition": "FAILURE",
        "schedule": "advanced",
        "cronExpression": it.cron,
        "properties": {"blobstoreName": it.blob_store_name},
        "recurringDays": [],
        "startDate": None,
        "timeZoneOffset": "+00:00",
    }


def _direct(method: str, data: object) -> Request:
    call = {"action": "coreui_Task", "method": method, "type": "rpc", "tid": 1, "data": [data]}
    return Request("POST", EXTDIRECT, body=json.dumps(call))
