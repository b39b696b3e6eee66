-- How records are packed (big-endian, see struct.pack), and the numbers with a meaning of their own.
return {
  -- Policy: hold_ttl_ms, payment_ttl_ms, hold_max_ms, claim_max_ms, seats_per_hold_max, holds_per_customer_max,
  -- seats_per_customer_max, sales_open_ms, sales_stop_ms, ends_ms, keys_until_ms. 44 bytes: values of at most 64
  -- bytes keep a hash in Redis' compact encoding.
  POLICY = '>I4I4I4I4BBHI6I6I6I6',
  POLICY_BYTES = 44,
  -- Fields of `meta` beside those of the showtime itself, of which none has 16 bytes: that of a hold is its owner number,
  -- in digits; that of a customer is the subject.
  -- Hold: subject 16 bytes, claimed_at_ms, its state (include/holds.lua), then 2 bytes per seat. Its deadline stands in
  -- the sorted set `deadlines` and nowhere else, what it was checked out with in `checkouts`.
  HOLD = '>c16I6B',
  HOLD_BYTES = 23,
  HELD_ANEW = 0,
  HOLD_SEAT = 'H',
  -- Customer: seats bought, plus WITH_LAPSES if the lapses come next; then of each hold not yet ended the owner number.
  -- Lapsed holds stay listed until they are ended. The field goes when nothing is left.
  CUSTOMER = '>H',
  CUSTOMER_BYTES = 2,
  WITH_LAPSES = 32768,
  NO_CUSTOMER = '\0\0',
  -- Lapses: holds left to lapse, and when the latest did.
  LAPSES = '>BI6',
  LAPSES_BYTES = 7,
  -- The rule of cool-downs that a claim brings: lapses without consequence, the first pause in ms.
  COOL_DOWN = '>BI4',
  SUBJECT_BYTES = 16,
  -- The three bitmaps of `seats`, in their order, and behind them one cell per seat.
  SOLD_MAP = 0,
  LOCKED_MAP = 1,
  BLOCKED_MAP = 2,
  MAPS = 3,
  OWNER = '>I4',
  OWNER_BYTES = 4,
  NOBODY = '\0\0\0\0',
  -- The owner number of a blocked seat.
  BLOCKED = 4294967295,
}
