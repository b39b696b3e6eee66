-- The record of a hold: subject 16 bytes, claimed_at_ms 8, status 1 (H held, P checked out), extensions used 1,
-- payment retries used 1, payment open 1, then 2 bytes per seat. At most 64 bytes: Redis' compact hash encoding.
-- Its deadline stands in the sorted set `deadlines` and nowhere else.
local hold_record = {}

hold_record.FORMAT = '>c16I8c1BBB'
hold_record.FIXED = 28

function hold_record.pack(hold)
  local seats = hold.seats
  return struct.pack(hold_record.FORMAT .. string.rep('H', #seats), hold.subject, hold.claimed_at_ms, hold.status,
    hold.extensions, hold.retries, hold.payment_open, unpack(seats))
end

return hold_record
