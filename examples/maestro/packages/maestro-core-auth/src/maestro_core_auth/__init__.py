"""Signed tokens, and routes that demand one.

tokens = Tokens(load(TokenSettings))
token = tokens.issue("kim", scopes=["orders:read"])

@app.get("/orders")
def orders(claims: Annotated[Claims, Depends(tokens.demand("orders:read"))]) -> list[Order]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from fastapi import HTTPException, Request
from maestro_core_config import SecretStr, Settings
from pydantic import Field

__all__ = ["Claims", "InvalidTokenError", "TokenSettings", "Tokens"]

ALGORITHM = "HS256"


class InvalidTokenError(Exception):
    """Say why a token is not accepted; never shows the token."""


class TokenSettings(Settings):
    """How tokens are signed.

    Args:
        token_key: at least 32 characters, the same in every service that reads the tokens.
        token_minutes: how long a token is good.
    """

    token_key: SecretStr = Field(min_length=32)
    token_minutes: int = Field(default=60, gt=0)


@dataclass(frozen=True)
class Claims:
    """What a good token says.

    Args:
        subject: whose it is.
        scopes: what it allows.
    """

    subject: str
    scopes: frozenset[str]


class Tokens:
    """Issue and check tokens of one service.

    Args:
        settings: key and time; the service's name is the issuer.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings

    def issue(self, subject: str, scopes: Iterable[str] = ()) -> str:
        """Return a token.

        Args:
            subject: whose it is.
            scopes: what it allows, words without spaces.
        """
        now = datetime.now(UTC)
        payload = {
            "iss": self._settings.service,
            "sub": subject,
            "scope": " ".join(sorted(scopes)),
            "iat": now,
            "exp": now + timedelta(minutes=self._settings.token_minutes),
        }
        return jwt.encode(payload, self._key, ALGORITHM)

    def check(self, token: str) -> Claims:
        """Return what a token says.

        Raises:
            InvalidTokenError: it was changed, is too old, or is another service's.
        """
        try:
            said = jwt.decode(
                token,
                self._key,
                [ALGORITHM],  # never what the token itself names
                issuer=self._settings.service,
                options={"require": ["exp", "iss", "sub"]},
            )
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError(type(error).__name__) from None
        return Claims(said["sub"], frozenset(str(said.get("scope", "")).split()))

    def demand(self, *scopes: str) -> Callable[[Request], Claims]:
        """Return a dependency for FastAPI: 401 without a good token, 403 without a scope.

        Args:
            scopes: all of them are needed.
        """

        def dependency(request: Request) -> Claims:
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            try:
                claims = self.check(token if kind.lower() == "bearer" else "")
            except InvalidTokenError:
                raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
            if not claims.scopes.issuperset(scopes):
                raise HTTPException(403)
            return claims

        return dependency

    @property
    def _key(self) -> str:
        return self._settings.token_key.get_secret_value()
