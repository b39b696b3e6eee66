"""The ways of reaching people: how mails are written, and how messages are signed and judged."""

import base64
import hashlib
import hmac
import json

import httpx
import pytest

from engine.errors import CommandError
from engine.notifications.channels import Away, Declined, Failed
from engine.notifications.mail import MailChannel, build_message, message_id, read_sender
from engine.notifications.messages import MessageChannel
from engine.notifications.post import open_channels
from engine.notifications.records import Attachment, Letter
from engine.settings import Settings
from engine.webhooks.signing import make_secret

SENDER = read_sender("Seatlock Täglich <tickets@seatlock.example>")


def letter(**changes):
    """Give a letter."""
    fields = {
        "business_id": "mail:ticket:1",
        "kind": "ticket",
        "recipient": "ayu@example.com",
        "locale": "id",
        "subject": "Halo",
        "text": "teks\n",
        "html": "<p>teks</p>",
    }
    return Letter(**fields | changes)


def test_a_mail_is_text_with_html_pictures_and_files():
    """The structure that mail programs understand: alternative, related, mixed."""
    files = (
        Attachment(name="t.pdf", media_type="application/pdf", content=b"%PDF"),
        Attachment(name="t.png", media_type="image/png", content=b"png", content_id="t@seatlock"),
    )
    mail = build_message(letter(attachments=files), SENDER)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    assert mail["Message-ID"] == message_id("mail:ticket:1", "seatlock.example")
    assert b"\n" not in mail.as_bytes().replace(b"\r\n", b"")


@pytest.mark.parametrize("subject", ["Halo\r\nBcc: all@x.org", "Halo\nBcc: all@x.org", "Halo\u2028Bcc: all@x.org"])
def test_a_subject_adds_no_header(subject):
    """Whatever a title holds, the head of the mail stays ours."""
    mail = build_message(letter(subject=subject), SENDER)
    assert mail["Subject"] == "Halo Bcc: all@x.org"
    assert b"\nBcc:" not in mail.as_bytes()


@pytest.mark.parametrize("recipient", ["a@x.org, b@x.org", "a@x.org\r\nBcc: b@x.org", "", "ayu", "A <a@x.org>"])
def test_an_address_is_one_address(recipient):
    """Anything else is refused before a server is asked."""
    with pytest.raises((ValueError, IndexError)):
        build_message(letter(recipient=recipient), SENDER)


@pytest.mark.parametrize("wrong", ["", "tickets", "a@x.org, b@x.org", "<>"])
def test_a_sender_is_one_address(wrong):
    """A wrong one is one line at the start."""
    with pytest.raises(CommandError, match="SEATLOCK_MAIL_FROM"):
        read_sender(wrong)


def test_a_mail_server_needs_a_host():
    """What cannot be an address of a server is one line at the start, and the line holds no password."""
    for url in ("smtp://", "smtp://user:secret@:25", "smtp://x.org:port"):
        with pytest.raises(CommandError) as refused:
            MailChannel(url, "a@x.org")
        assert "secret" not in str(refused.value)


def test_channels_are_those_that_are_set_up():
    """None, or both; a message that cannot be signed is no channel."""
    assert open_channels(Settings()) == []
    both = Settings(smtp_url="smtps://x.org", message_webhook_url="https://x.org", message_webhook_secret=make_secret())
    assert [channel.name for channel in open_channels(both)] == ["mail", "message"]
    for secret in ("", "whsec_!", "whsec_é"):
        with pytest.raises(CommandError, match="SEATLOCK_MESSAGE_WEBHOOK_SECRET"):
            open_channels(Settings(message_webhook_url="https://x.org", message_webhook_secret=secret))


async def post(answer, secret):
    """Send a message to somebody who answers so; give the request."""
    seen = []

    def take(request):
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    async with MessageChannel("https://wa.example/", secret, httpx.MockTransport(take)).line() as line:
        await line.send(letter(business_id="message:ticket:1", recipient="+62 812"))
    return seen[0]


@pytest.mark.covers("001.34")
async def test_a_message_is_posted_and_signed():
    """Whoever sends it on can know that it is ours, and whether it came before."""
    secret = make_secret()
    request = await post(202, secret)
    assert json.loads(request.content) == {
        "id": "message:ticket:1",
        "kind": "ticket",
        "to": "+62 812",
        "locale": "id",
        "text": "teks\n",
    }
    signed = f"message:ticket:1.{request.headers['webhook-timestamp']}.".encode() + request.content
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{digest}"


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (422, Declined),
        (503, Failed),
        (401, Failed),
        (302, Failed),
        (httpx.ReadTimeout(""), Failed),
        (httpx.ConnectError(""), Away),
    ],
)
async def test_an_answer_is_judged(answer, ending):
    """A no to this very message is final; a no to us, or none, may be another the next time."""
    with pytest.raises(ending):
        await post(answer, make_secret())
