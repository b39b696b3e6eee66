"""The checkout page: plain HTML, every value escaped."""

from html import escape
from string import Template

from api.fake_gateway.cards import CARDS
from api.fake_gateway.store import Session
from engine.orders.money import format_amount

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 30rem; padding: 0 1rem; color: #1c1c1c; }
.amount { font-size: 1.8rem; font-weight: 600; margin: 0; }
.note { background: #fff4d6; border-left: 4px solid #b97a00; padding: .5rem 1rem; }
label { display: block; font-weight: 600; margin-top: 1rem; }
input, button { font: inherit; padding: .6rem; width: 100%; box-sizing: border-box; }
button { margin-top: 1rem; background: #14532d; color: #fff; border: 0; border-radius: .4rem; cursor: pointer; }
table { border-collapse: collapse; margin-top: 1rem; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; }
</style>
</head>
<body>
<main>
<p class="note">This is a practice till. No card is charged, no money moves.</p>
<h1>$title</h1>
<p>$description</p>
<p class="amount">$amount</p>
$content
</main>
</body>
</html>
""")

FORM = Template("""<form method="post" action="$action">
$problem<label for="card">Card number</label>
<input id="card" name="card" inputmode="numeric" autocomplete="off" required maxlength="40" value="$first">
<button type="submit">Pay now</button>
</form>
<table>
<caption>Cards that this till knows</caption>
<thead><tr><th scope="col">Number</th><th scope="col">What happens</th></tr></thead>
<tbody>
$cards
</tbody>
</table>
$links""")

TITLES = {
    "open": "Pay for your seats",
    "captured": "Payment received",
    "failed": "The card was refused",
    "expired": "This payment has expired",
    "stalled": "Waiting for the bank",
    "late": "Waiting for the bank",
}
REMARKS = {
    "captured": "Thank you. Your tickets are on their way.",
    "failed": "Nothing was taken. Go back to the cinema to try again with another card.",
    "expired": "Nothing was taken. Go back to the cinema to choose your seats again.",
    "stalled": "The bank has not answered. You can close this page.",
    "late": "The bank has not answered yet. You can close this page.",
}


def checkout_page(session: Session, problem: str = "") -> str:
    """Show what is to be paid, with a form as long as it can be paid.

    Args:
        session: the session; its texts come from outside.
        problem: what was wrong with the card number that was sent.
    """
    content = (
        _form(session, problem) if session.state == "open" else f"<p>{REMARKS[session.state]}</p>{_links(session)}"
    )
    return PAGE.substitute(
        title=TITLES[session.state],
        description=escape(session.description),
        amount=escape(format_amount(session.amount_minor, session.currency)),
        content=content,
    )


def missing_page() -> str:
    """Say that there is no such session."""
    return PAGE.substitute(title="No such payment", description="The link is wrong or too old.", amount="", content="")


def _form(session: Session, problem: str) -> str:
    rows = "\n".join(f"<tr><td>{card.number}</td><td>{card.meaning}</td></tr>" for card in CARDS)
    return FORM.substitute(
        action=escape(f"/checkout/{session.session_id}/pay"),
        problem=f'<p role="alert">{escape(problem)}</p>\n' if problem else "",
        first=CARDS[0].number,
        cards=rows,
        links=_links(session),
    )


def _links(session: Session) -> str:
    """Link back to the seller; the addresses were checked to be http(s) when the session was opened."""
    done = session.state in ("captured", "stalled", "late")
    url = session.return_url if done else session.cancel_url or session.return_url
    return f'<p><a href="{escape(url)}">Back to the cinema</a></p>' if url else ""
