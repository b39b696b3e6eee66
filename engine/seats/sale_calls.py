"""Sales: seats of a paid booking become sold, seats of a refunded one go back to stock."""

from collections.abc import Sequence

from engine.seats.answers import first_answer, refusal_of
from engine.seats.connection import Argument
from engine.seats.ids import HoldId, subject_key
from engine.seats.records import Request, Sold
from engine.seats.script_calls import ScriptCalls


class SaleCalls(ScriptCalls):
    """What a captured payment and a refund do to seats. Raises Unavailable as `ScriptCalls` says."""

    async def sell_seats(
        self,
        hold_id: HoldId,
        subject: str,
        *,
        gateway: str,
        session_id: str,
        seats: Sequence[int],
        request: Request | None = None,
    ) -> Sold:
        """Sell exactly the seats of a hold; without a live one, only if all of them are still free (late).

        The sale's identity is (gateway, session_id); a repeat gives the same sale (`already`).

        Raises:
            Refusal: `seats_taken` (as in `claim_seats`), `showtime_closed {showtime_status}`,
                `not_on_sale {sales_open_ms}`, `hold_changed` (other seats are in the hold), `not_found` (it is
                somebody else's hold).
        """
        args: tuple[Argument, ...] = (
            hold_id.owner,
            hold_id.claimed_at_ms,
            subject_key(subject),
            str(hold_id),
            gateway,
            session_id,
            *seats,
        )
        answer = first_answer(await self._write("sell_seats", hold_id.showtime, args, request))
        if answer[0] == b"sold":
            return Sold(sale_number=answer[2], late=answer[3] == 1, seq=answer[4], already=False)
        if answer[0] == b"sold_already":
            return Sold(sale_number=answer[2], late=False, seq=0, already=True)
        raise refusal_of(answer, hold_id.showtime)

    async def restock_seats(
        self,
        showtime: int,
        subject: str,
        booking_id: str,
        sale_number: int,
        business_id: str,
        seats: Sequence[int],
        request: Request | None = None,
    ) -> tuple[int, ...]:
        """Give seats back to stock, but only those that still belong to that very sale.

        Args:
            business_id: names the fact `seats_restocked`; the ledger takes each one once.

        Returns:
            The seats freed by this call; none if that was done before.
        """
        args: tuple[Argument, ...] = (subject_key(subject), booking_id, sale_number, business_id, *seats)
        answer = first_answer(await self._write("restock_seats", showtime, args, request))
        if answer[0] == b"restocked":
            return tuple(answer[2:])
        if answer[0] == b"restocked_already":
            return ()
        raise refusal_of(answer, showtime)
