"""The seat engine: every change of a seat, and every view of it, goes through here to one script in Redis."""

from engine.seats.hold_calls import HoldCalls
from engine.seats.load_calls import LoadCalls
from engine.seats.sale_calls import SaleCalls
from engine.seats.showtime_calls import ShowtimeCalls


class SeatEngine(HoldCalls, SaleCalls, ShowtimeCalls, LoadCalls):
    """All calls of one process; see `ScriptCalls` for what it is made from, and the parts for what it does."""
