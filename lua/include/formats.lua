-- How records are packed (big-endian, see struct.pack), and the numbers with a meaning of their own.
return {
  -- Policy: hold_ttl_ms, payment_ttl_ms, hold_max_ms, claim_max_ms, seats_per_hold_max, holds_per_customer_max,
  -- seats_per_customer_max, sales_open_ms, sales_stop_ms, ends_ms, keys_until_ms. 54 bytes: values of at most 64
  -- bytes keep a hash in Redis' compact encoding.
  POLICY = '>I4I4I4I4HHHI8I8I8I8',
  POLICY_BYTES = 54,
  -- Fields of `meta` beside those of the showtime itself begin with a letter: that of a hold, before its owner number as
  -- it is packed in a cell; of a customer, and of their lapses, before the subject.
  HOLD_FIELD = 'h',
  CUSTOMER_FIELD = 'c',
  LAPSES_FIELD = 'l',
  -- Hold: subject 16 bytes, claimed_at_ms, status (H held, P checked out), extensions used, payment retries used,
  -- payment open, then 2 bytes per seat. Its deadline stands in the sorted set `deadlines` and nowhere else.
  HOLD = '>c16I8c1BBB',
  HOLD_BYTES = 28,
  HOLD_SEAT = 'H',
  -- Customer: seats bought, then per hold not yet ended its owner number and its seats. Lapsed holds stay listed
  -- until they are ended. The field goes when nothing is left.
  CUSTOMER = '>H',
  CUSTOMER_BYTES = 2,
  CUSTOMER_HOLD = '>I4B',
  CUSTOMER_HOLD_BYTES = 5,
  NO_CUSTOMER = '\0\0',
  -- Lapses: holds left to lapse, and when the latest did.
  LAPSES = '>BI8',
  -- The rule of cool-downs that a claim brings: lapses without consequence, the first pause in ms.
  COOL_DOWN = '>BI4',
  SUBJECT_BYTES = 16,
  -- The three bitmaps of `seats`, in their order, and behind them one cell per seat.
  SOLD_MAP = 0,
  LOCKED_MAP = 1,
  BLOCKED_MAP = 2,
  MAPS = 3,
  OWNER = '>I4',
  NOBODY = '\0\0\0\0',
  -- The owner number of a blocked seat.
  BLOCKED = 4294967295,
}
