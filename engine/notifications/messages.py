"""Messages to phones: whoever runs WhatsApp or the like for us is told what to send, by a signed POST.

    {id, kind, to, locale, text}     `id` is the business id: the same at every attempt, so that a repeat is known

Signed as outgoing webhooks are (`engine/webhooks/signing.py`); any 2xx means that it was taken.
"""

import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

from engine.errors import CommandError
from engine.limits import NOTIFICATION_TIMEOUT_S
from engine.notifications.channels import Away, Declined, Failed
from engine.notifications.records import ChannelName, Letter
from engine.orders.gateways.signatures import split_secrets
from engine.webhooks.signing import SECRET_PREFIX, sign

DECLINED = frozenset({400, 410, 413, 422})
"""Answers that say that this very message is wrong; any other may be another at the next attempt."""


class MessageChannel:
    """Messages through a webhook.

    Args:
        url: where they are posted.
        secret: `whsec_...`, several by comma while they are being changed.
        transport: another way there than TCP.

    Raises:
        CommandError: the secret is missing or unreadable.
    """

    name: ChannelName = "message"

    def __init__(self, url: str, secret: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._secrets = split_secrets(secret)
        self._transport = transport
        if not self._secrets or not all(_is_secret(one) for one in self._secrets):
            raise CommandError("SEATLOCK_MESSAGE_WEBHOOK_SECRET must be whsec_ and base64")

    @asynccontextmanager
    async def line(self) -> AsyncIterator["MessageLine"]:
        """Make a client; see `Channel.line`."""
        async with httpx.AsyncClient(transport=self._transport, timeout=NOTIFICATION_TIMEOUT_S) as client:
            yield MessageLine(client, self._url, self._secrets)


class MessageLine:
    """A client of the webhook."""

    def __init__(self, client: httpx.AsyncClient, url: str, secrets: tuple[str, ...]) -> None:
        self._client = client
        self._url = url
        self._secrets = secrets

    async def send(self, letter: Letter) -> None:
        """Post a message; see `Line.send`."""
        body = msgspec.json.encode(
            {
                "id": letter.business_id,
                "kind": letter.kind,
                "to": letter.recipient,
                "locale": letter.locale,
                "text": letter.text,
            }
        )
        signature = sign(self._secrets, letter.business_id, body, int(time.time()))
        try:
            answer = await self._client.post(
                self._url, content=body, headers={"Content-Type": "application/json", **signature}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        if answer.status_code in DECLINED:
            raise Declined(f"it answered {answer.status_code}")
        if not answer.is_success:
            raise Failed(f"it answered {answer.status_code}")


def _is_secret(text: str) -> bool:
    try:
        return bool(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        return False
