"""The signature of an outgoing webhook: as the standard has it, and as README tells integrators to verify it."""

import base64
import hashlib
import hmac
import re
import time

import pytest

from engine.paths import ROOT
from engine.webhooks.signing import make_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
EVENT = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1_614_265_330


def test_the_published_example_of_the_standard_fits():
    """Key, id, time and body of the reference libraries' own test give their signature."""
    headers = sign([SECRET], EVENT, BODY, AT_S)
    assert headers == {
        "webhook-id": EVENT,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_in_force_signs():
    """While secrets are changed a receiver may know either; the newest stands first."""
    old, new = make_secret(), make_secret()
    assert old != new
    words = sign([new, old], EVENT, BODY, AT_S)["webhook-signature"].split(" ")
    assert words == ["v1," + digest(secret, EVENT, AT_S, BODY) for secret in (new, old)]


def digest(secret, event, at_s, body):
    """Compute a signature without the module under test."""
    key = base64.b64decode(secret.split("_", 1)[1])
    assert len(key) >= 24
    return base64.b64encode(hmac.digest(key, b"%s.%d.%s" % (event.encode(), at_s, body), hashlib.sha256)).decode()


@pytest.fixture(scope="module")
def verify():
    """The function that README gives to integrators."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Webhooks")[2]
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    return names["verify"]


@pytest.mark.parametrize("tampered", [None, "body", "webhook-id", "webhook-timestamp", "secret", "old"])
def test_what_readme_tells_integrators_works(verify, tampered):
    """It takes what we sign, and refuses everything that was changed, or is too old."""
    now_s = int(time.time()) - (3_600 if tampered == "old" else 0)
    headers, body, secret = sign([make_secret(), SECRET], EVENT, BODY, now_s), BODY, SECRET
    if tampered == "body":
        body += b" "
    elif tampered == "secret":
        secret = make_secret()
    elif tampered in headers:
        headers[tampered] = headers[tampered][:-1] + ("1" if headers[tampered][-1] != "1" else "2")
    assert verify(secret, headers, body) is (tampered is None)
