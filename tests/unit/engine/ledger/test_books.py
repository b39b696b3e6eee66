"""The rows of a batch in memory."""

from uuid import NAMESPACE_URL, uuid5

from engine.ledger.books import ticket_id


def test_a_tickets_id_is_the_uuid_of_its_name():
    """Ids of tickets that are in ledgers already stay what they are: version 5, of gateway, session and seat."""
    tickets = uuid5(NAMESPACE_URL, "seatlock:tickets")
    for gateway, session, index in (("fake", "s7", 0), ("stripe", "cs_\u00e9", 319)):
        wanted = uuid5(tickets, f"{gateway}:{session}:{index}")
        made = ticket_id(gateway, session, index)
        assert (made, made.version, str(made)) == (wanted, 5, str(wanted))
