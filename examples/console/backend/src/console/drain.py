"""The end of a console that another one follows."""

from __future__ import annotations

import hmac
import logging
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException
from maestro_core_config import SecretStr

from console.live import Live

_LOG = logging.getLogger(__name__)


class Drain:
    """Whether this console still takes requests.

    Args:
        token: of who may end that; None: nobody may.
        live: pages that are sent to the next console.
    """

    def __init__(self, token: SecretStr | None, live: Live) -> None:
        self._token = token.get_secret_value().encode() if token else b""
        self._live = live
        self._draining = False
        self.router = APIRouter()
        self.router.add_api_route(
            "/health/drain", self._begin, methods=["POST"], include_in_schema=False
        )

    def serving(self) -> bool:
        """Tell whether it takes requests; for readiness."""
        return not self._draining

    async def _begin(self, authorization: Annotated[str, Header()] = "") -> dict[str, int]:
        kind, _, given = authorization.partition(" ")
        good = hmac.compare_digest(given.encode(), self._token)
        if not self._token or kind.lower() != "bearer" or not good:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        self._draining = True
        sent = await self._live.send_away()
        _LOG.info("draining", extra={"websockets": sent})
        return {"websockets": sent}
