"""People of an outside issuer, over HTTP: they have no account here, and what the settings allow them."""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

pytestmark = pytest.mark.one_redis("an outside issuer's keys are in no Redis")

KEY = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def settings_changes(tmp_path):
    """An issuer whose keys lie in a file."""
    keys = [jwt.get_algorithm_by_name("EdDSA").to_jwk(KEY.public_key(), as_dict=True) | {"kid": "k1"}]
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": keys}))
    return {
        "jwks_url": f"file://{tmp_path}/jwks.json",
        "jwks_issuer": "https://id.example.com",
        "jwks_audience": "cinema",
        "jwks_roles": "box-office=staff",
    }


def bearer(**claims):
    """Sign a token in the issuer's name."""
    now = int(time.time())
    claims = {"iss": "https://id.example.com", "aud": "cinema", "sub": "u-1", "iat": now, "exp": now + 60} | claims
    return {"Authorization": "Bearer " + jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k1"})}


async def test_people_of_an_outside_issuer_hold_seats_and_work(app_client, small):
    """A customer is always the same one; staff work for the cinemas that their token names, and no others."""
    await app_client.app.state.runtime.issuer.keys.fetch()
    me = (await app_client.get("/api/v1/me", headers=bearer(email="u@example.com", email_verified=True))).json()
    assert (me["role"], me["guest"], me["email"]) == ("customer", False, "u@example.com")

    held = await app_client.post(
        f"/api/v1/showtimes/{small.showtime}/holds", json={"seats": ["A1"]}, headers=bearer(iat=int(time.time()) - 1)
    )
    assert held.status_code == 201
    assert (await app_client.get(f"/api/v1/holds/{held.json()['id']}", headers=bearer(sub="u-2"))).status_code == 404
    listed = (await app_client.get("/api/v1/me/holds", headers=bearer())).json()["items"]
    assert [hold["id"] for hold in listed] == [held.json()["id"]]

    cinema = (await small.catalogue.showtime(small.showtime)).cinema_id
    for cinemas, status in (([cinema], 200), ([cinema + 1], 403)):
        staff = bearer(role="box-office", cinemas=cinemas)
        answer = await app_client.get(f"/api/v1/admin/showtimes/{small.showtime}", headers=staff)
        assert answer.status_code == status
    assert (await app_client.get("/api/v1/admin/acts", headers=bearer(role="admin"))).status_code == 403
