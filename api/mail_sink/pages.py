"""The mailbox's pages: plain HTML, every value escaped. A mail's own HTML is shown in a frame that may do nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from string import Template

from api.mail_sink.store import Mail, MailLine
from engine.limits import SECOND_MS

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c1c1c; }
.note { background: #fff4d6; border-left: 4px solid #b97a00; padding: .5rem 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
iframe { width: 100%; height: 40rem; border: 1px solid #bbb; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: 1rem; }
</style>
</head>
<body>
<main>
<p class="note">This mailbox sends nothing on: every mail of this machine's seatlock ends here.</p>
<h1>$title</h1>
$content
</main>
</body>
</html>
""")


def list_page(mails: Sequence[MailLine]) -> str:
    """Show all mails, the newest first."""
    if not mails:
        return PAGE.substitute(
            title="Mailbox", content="<p>No mail has come yet. Buy a ticket, then load this again.</p>"
        )
    rows = "\n".join(
        f"<tr><td>{_time(mail)}</td><td>{escape(mail.recipients)}</td>"
        f'<td><a href="/mails/{mail.id}">{escape(mail.subject) or "(no subject)"}</a>{_copies(mail)}</td></tr>'
        for mail in mails
    )
    head = "<thead><tr><th scope=col>Received</th><th scope=col>To</th><th scope=col>Subject</th></tr></thead>"
    return PAGE.substitute(title="Mailbox", content=f"<table>{head}<tbody>\n{rows}\n</tbody></table>")


def mail_page(mail: Mail) -> str:
    """Show a mail: head, HTML in a frame, text, files."""
    files = "".join(
        f'<li><a href="/mails/{mail.id}/parts/{number}">{escape(part.name)}</a> ({escape(part.media_type)},'
        f" {len(part.content):,} bytes)</li>"
        for number, part in enumerate(mail.parts)
    )
    frame = f'<h2>HTML</h2><iframe sandbox title="The mail" src="/mails/{mail.id}/html"></iframe>' if mail.html else ""
    return PAGE.substitute(
        title=escape(mail.subject),
        content=(
            f"<p>To {escape(mail.recipients)}, {_time(mail)}{_copies(mail)},"
            f' <a href="/mails/{mail.id}/source">as it came</a>. <a href="/">All mails</a></p>'
            f"{frame}<h2>Text</h2><pre>{escape(mail.text)}</pre><h2>Files</h2><ul>{files}</ul>"
        ),
    )


def missing_page() -> str:
    """Say that there is no such mail."""
    return PAGE.substitute(title="No such mail", content='<p>It may have been too old. <a href="/">All mails</a></p>')


def shown_html(mail: Mail) -> str:
    """Give a mail's HTML with its own pictures in it."""
    html = mail.html
    for number, part in enumerate(mail.parts):
        if part.content_id:
            html = html.replace(f"cid:{part.content_id}", f"/mails/{mail.id}/parts/{number}")
    return html


def _time(mail: MailLine) -> str:
    moment = datetime.fromtimestamp(mail.received_at_ms / SECOND_MS, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _copies(mail: MailLine) -> str:
    return f" (came {mail.copies} times)" if mail.copies > 1 else ""
