"""The mailbox of `dev`: what comes by SMTP is seen over HTTP, once, and can do nothing."""

from contextlib import asynccontextmanager

import httpx
import pytest

from api.mail_sink import store
from api.mail_sink.app import create_app, create_app_from_env
from engine.errors import CommandError
from engine.notifications.mail import MailChannel
from engine.notifications.records import Attachment, Letter

FILES = (
    Attachment(name="t.pdf", media_type="application/pdf", content=b"%PDF-1"),
    Attachment(name="t.png", media_type="image/png", content=b"picture", content_id="qr@seatlock"),
)


def letter(number=1, **changes):
    """Give a letter with a file, a picture and a script."""
    fields = {
        "business_id": f"mail:ticket:{number}",
        "kind": "ticket",
        "recipient": "ayu@example.com",
        "locale": "id",
        "subject": f"Tiket <i>{number}</i>",
        "text": "Kursi C1\n",
        "html": '<p>Kursi C1</p><img src="cid:qr@seatlock"><script>alert(1)</script>',
        "attachments": FILES,
    }
    return Letter(**fields | changes)


@asynccontextmanager
async def open_sink(folder):
    """Run a sink; give a line to its mail server and a client of its pages."""
    app = create_app(data_dir=folder, host="127.0.0.1", port=0)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sink.test")
    async with app.router.lifespan_context(app), client:
        channel = MailChannel(f"smtp://127.0.0.1:{app.state.smtp_port}", "tickets@x.org")
        async with channel.line() as line:
            yield line, client


async def test_a_long_subject_is_shown_as_it_was_written(tmp_path):
    """On its way it is folded, and stands on a line of its own."""
    subject = "E-tiket Anda: Hujan di Bulan Kering, Sabtu, 21 November 2026 20.05 WIB"
    async with open_sink(tmp_path) as (line, client):
        await line.send(letter(subject=subject))
        (mail,) = (await client.get("/messages")).json()["items"]
        assert mail["subject"] == subject


async def test_a_mail_is_seen_with_all_its_parts(tmp_path):
    """List, page, text, HTML with its picture, files; the same over JSON."""
    async with open_sink(tmp_path) as (line, client):
        assert "No mail has come yet" in (await client.get("/")).text
        await line.send(letter())
        listed = await client.get("/")
        assert "Tiket &lt;i&gt;1&lt;/i&gt;" in listed.text
        (mail,) = (await client.get("/messages", params={"to": "ayu@example.com"})).json()["items"]
        assert (mail["subject"], mail["kind"], mail["copies"]) == ("Tiket <i>1</i>", "ticket", 1)
        page = f"/mails/{mail['id']}"
        assert "<pre>Kursi C1" in (await client.get(page)).text
        assert (await client.get(f"{page}/text")).text == "Kursi C1\n"
        html = await client.get(f"{page}/html")
        assert f'<img src="{page}/parts/0">' in html.text
        assert (await client.get(f"{page}/parts/0")).content == b"picture"
        pdf = await client.get(f"{page}/parts/1")
        assert (pdf.content, pdf.headers["content-disposition"]) == (b"%PDF-1", "attachment; filename*=UTF-8''t.pdf")
        assert b"Message-ID:" in (await client.get(f"{page}/source")).content


async def test_a_mail_can_do_nothing(tmp_path):
    """Its HTML is sandboxed wherever it is opened, in the frame too; nothing is sniffed."""
    async with open_sink(tmp_path) as (line, client):
        await line.send(letter())
        html = await client.get("/mails/1/html")
        assert html.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert "<iframe sandbox " in (await client.get("/mails/1")).text
        for path in ("/", "/mails/1", "/mails/1/html", "/mails/1/parts/1", "/messages"):
            assert (await client.get(path)).headers["x-content-type-options"] == "nosniff", path


async def test_a_repeat_is_one_mail_and_the_oldest_go(tmp_path, monkeypatch):
    """By its Message-ID, over a restart too; there are never more than a bounded number."""
    monkeypatch.setattr(store, "MAIL_SINK_MESSAGES_MAX", 3)
    async with open_sink(tmp_path) as (line, client):
        await line.send(letter(1))
        await line.send(letter(2))
    async with open_sink(tmp_path) as (line, client):
        await line.send(letter(2))
        seen = (await client.get("/messages")).json()["items"]
        assert [(mail["id"], mail["copies"]) for mail in seen] == [(2, 2), (1, 1)]
        assert "came 2 times" in (await client.get("/")).text
        for number in range(3, 7):
            await line.send(letter(number))
        seen = (await client.get("/messages?limit=2")).json()["items"]
        assert [mail["subject"] for mail in seen] == ["Tiket <i>6</i>", "Tiket <i>5</i>"]
        assert len((await client.get("/messages")).json()["items"]) == 3


@pytest.mark.parametrize("path", ["/mails/7", "/mails/7/html", "/mails/1/other", "/mails/1/parts/9"])
async def test_what_is_not_there_is_not_found(tmp_path, path):
    """404, however large the number."""
    async with open_sink(tmp_path) as (line, client):
        await line.send(letter())
        assert (await client.get(path)).status_code == 404
        assert (await client.get("/mails/" + "9" * 30)).status_code == 404


@pytest.mark.parametrize("url", ["", "smtps://127.0.0.1:25", "smtp://127.0.0.1"])
def test_the_sink_needs_to_know_its_port(monkeypatch, url):
    """It listens where the others send to."""
    monkeypatch.setenv("SEATLOCK_SMTP_URL", url)
    with pytest.raises(CommandError, match="smtp://"):
        create_app_from_env()
