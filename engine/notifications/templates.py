"""The templates of all kinds in both languages, in the folder `templates/`: `<language>/<kind>.txt` and `.html`.

The text has two blocks, subject and text; the HTML takes the subject as its heading. A name that a template uses and
nobody gives is an error, and whatever comes from outside is escaped in HTML.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from engine.notifications.records import Kind
from engine.notifications.wording import one_line
from engine.tickets.records import Locale

FOLDER = Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(kind: Kind, language: Locale, facts: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give subject, text and HTML of a notification; the subject is one line."""
    template = _environment().get_template(f"{language}/{kind}.txt")
    subject = one_line(_block(template, "subject", facts))
    text = _block(template, "text", facts).strip() + "\n"
    page = _environment().get_template(f"{language}/{kind}.html")
    return subject, text, page.render(facts, subject=subject, language=language)


def _block(template: Template, name: str, facts: Mapping[str, Any]) -> str:
    return "".join(template.blocks[name](template.new_context(dict(facts))))
