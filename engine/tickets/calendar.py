"""A booking as a calendar entry (RFC 5545), in the cinema's time zone."""

from collections.abc import Sequence
from functools import cache
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone, vText

from engine.tickets.records import ETicket
from engine.tickets.words import LABELS


def calendar_event(tickets: Sequence[ETicket]) -> bytes:
    """Give an `.ics` with one entry for the tickets of a booking; the same tickets give the same bytes.

    The entry of a booking has the same UID however many of its tickets are in it, so that a calendar keeps one.

    Args:
        tickets: at least one, all of the same booking.
    """
    first = tickets[0]
    zone, labels = ZoneInfo(first.timezone), LABELS[first.locale]
    event = Event()
    event.add("uid", f"{first.booking_id}@seatlock")
    event.add("dtstamp", max(ticket.sold_at for ticket in tickets))
    event.add("dtstart", first.starts_at.astimezone(zone))
    event.add("dtend", first.ends_at.astimezone(zone))
    event.add("summary", first.movie)
    event.add("location", vText(f"{first.auditorium}, {first.cinema}, {first.city}"))
    seats = ", ".join(ticket.seat for ticket in tickets)
    event.add("description", f"{labels['seat']}: {seats}\n{labels['booking']}: {first.booking_id}")
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", "-//seatlock//e-tickets//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(_timezone(first.timezone))
    calendar.add_component(event)
    return bytes(calendar.to_ical())


@cache
def _timezone(name: str) -> Timezone:
    """Describe a time zone; it takes longer than all the rest, and there are few of them."""
    return Timezone.from_tzid(name)
