"""E-mail: a letter becomes a MIME message, and goes to a mail server.

A message says by its Message-ID which notification it is. If a worker dies between the server's yes and our note of
it, the mail goes out once more under the same Message-ID, and a mailbox that looks at it shows one.
"""

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import getaddresses, localtime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from engine.errors import CommandError
from engine.limits import NOTIFICATION_TIMEOUT_S
from engine.notifications.channels import Away, Declined, Failed
from engine.notifications.records import ChannelName, Letter

POLICY = SMTP_POLICY.clone(max_line_length=76)


class MailChannel:
    """Mails through one server.

    Args:
        url: `smtp://`, `smtps://` or `smtp+starttls://`, with `user:password@` if the server asks for it.
        sender: an address, or `Name <address>`.
        context: who is trusted as the server; by default whom the system trusts.

    Raises:
        CommandError: one of them cannot be read.
    """

    name: ChannelName = "mail"

    def __init__(self, url: str, sender: str, context: ssl.SSLContext | None = None) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host, self._port = "", None
        if not self._host:
            raise CommandError("SEATLOCK_SMTP_URL must be like smtp://user:password@host:port")
        self._scheme = parts.scheme
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._context = context
        self.sender = read_sender(sender)

    @asynccontextmanager
    async def line(self) -> AsyncIterator["MailLine"]:
        """Connect and say hello; see `Channel.line`."""
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._scheme == "smtps",
            # Never as an option: what is asked for is done, or nothing is sent.
            start_tls=self._scheme == "smtp+starttls",
            tls_context=self._context,
            local_hostname=self.sender.domain,
            timeout=NOTIFICATION_TIMEOUT_S,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Away(describe_error(error)) from error
        try:
            yield MailLine(client, self.sender)
        finally:
            try:
                await client.quit()
            except (aiosmtplib.SMTPException, OSError):
                client.close()


class MailLine:
    """A connection to the server."""

    def __init__(self, client: aiosmtplib.SMTP, sender: Address) -> None:
        self._client = client
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Give a mail to the server; see `Line.send`."""
        try:
            message = build_message(letter, self._sender)
        except (ValueError, MessageError, IndexError) as error:
            # The parser of addresses answers some malformed ones with an IndexError.
            raise Declined(f"this mail cannot be written: {error}") from error
        try:
            await self._client.send_message(message, sender=self._sender.addr_spec, recipients=[letter.recipient])
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _judge(error.recipients[0].code, describe_error(error.recipients[0])) from error
        except aiosmtplib.SMTPSenderRefused as error:
            # Of us, not of this mail: a quota, a closed account. (Or of its size: then it ends with its attempts.)
            raise Failed(describe_error(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _judge(error.code, describe_error(error)) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise Declined(describe_error(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Failed(describe_error(error)) from error


def build_message(letter: Letter, sender: Address) -> EmailMessage:
    """Write a letter as a mail: text, HTML with the pictures shown in it, and attachments.

    Raises:
        ValueError, MessageError, IndexError: the recipient's address cannot stand in a header.
    """
    message = EmailMessage(POLICY)
    message["From"] = sender
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"] = localtime()
    message["Message-ID"] = message_id(letter.business_id, sender.domain)
    message["Content-Language"] = letter.locale
    # No robot that answers mails shall answer this one.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Seatlock-Kind"] = letter.kind
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    html = message.get_body(("html",))
    assert html is not None
    for one in letter.attachments:
        kind, _, subkind = one.media_type.partition("/")
        if one.content_id is not None:
            html.add_related(
                one.content, kind, subkind, cid=f"<{one.content_id}>", filename=one.name, disposition="inline"
            )
    for one in letter.attachments:
        kind, _, subkind = one.media_type.partition("/")
        if one.content_id is None:
            message.add_attachment(one.content, kind, subkind, filename=one.name)
    return message


def message_id(business_id: str, domain: str) -> str:
    """Give the Message-ID of a notification, the same at every attempt."""
    return f"<{hashlib.blake2b(business_id.encode(), digest_size=16).hexdigest()}@{domain}>"


def read_sender(text: str) -> Address:
    """Read `Name <address>` or an address.

    Raises:
        CommandError: it is neither.
    """
    (name, spec), *others = getaddresses([text]) or [("", "")]
    try:
        address = Address(display_name=name, addr_spec=spec)
    except (ValueError, MessageError, IndexError):
        address = Address()
    if others or not address.username or not address.domain:
        raise CommandError("SEATLOCK_MAIL_FROM must be an address, or `Name <address>`")
    return address


def describe_error(error: Exception) -> str:
    """Give an error in one line, for operators."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return f"{type(error).__name__}: {error}"


def _judge(code: int, text: str) -> Exception:
    """Tell a no for good (5xx) from a no for now (4xx, e.g. greylisting)."""
    return Declined(text) if 500 <= code < 600 else Failed(text)
