"""Tokens that hold, and those that do not."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from maestro_core_auth import Claims, InvalidTokenError, Tokens, TokenSettings

KEY = secrets.token_hex(32)


def tokens(**changed: object) -> Tokens:
    return Tokens(TokenSettings.model_validate({"token_key": KEY, **changed}))


def test_a_token_says_whose_it_is_and_what_it_allows() -> None:
    claims = tokens().check(tokens().issue("kim", ["b", "a"]))
    assert claims == Claims("kim", frozenset({"a", "b"}))


def test_tokens_of_others_and_changed_ones_are_refused() -> None:
    good = tokens().issue("kim")
    unsigned = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "", "none")
    others = tokens(token_key=secrets.token_hex(32)).issue("kim")
    for bad in ("", unsigned, others, tokens(service="other").issue("kim"), good[:-4]):
        with pytest.raises(InvalidTokenError) as error:
            tokens().check(bad)
        assert not bad or bad not in str(error.value)


def test_an_old_token_is_refused() -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    payload = {"iss": "maestro", "sub": "kim", "exp": long_ago}
    with pytest.raises(InvalidTokenError, match="ExpiredSignature"):
        tokens().check(jwt.encode(payload, KEY, "HS256"))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        tokens(token_key=KEY[:31])


def test_a_route_demands_a_token_with_its_scope() -> None:
    app, ours = FastAPI(), tokens()

    @app.get("/orders")
    def orders(claims: Annotated[Claims, Depends(ours.demand("orders:read"))]) -> str:
        return claims.subject

    client = TestClient(app)

    def ask(token: str) -> int:
        return client.get("/orders", headers={"Authorization": f"Bearer {token}"}).status_code

    assert client.get("/orders").status_code == 401
    assert ask("x") == 401
    assert ask(ours.issue("kim")) == 403
    assert ask(ours.issue("kim", ["orders:read"])) == 200
