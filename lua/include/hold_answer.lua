-- The one form in which a hold is answered.
local hold_answer = {}

hold_answer.EXTENSIONS_PER_HOLD_MAX = 10

-- Gives {word, now_ms, version, owner, claimed_at_ms, status, deadline_ms, extensions_left, extendable_until_ms,
-- payment_open, subject, checkout, seat, seat, ...}; `checkout` is '' before check-out.
function hold_answer.give(word, now_ms, version, hold, hold_max_ms)
  local extensions_left, extendable_until_ms = 0, hold.deadline_ms
  if hold.status == 'H' then
    extensions_left = hold_answer.EXTENSIONS_PER_HOLD_MAX - hold.extensions
    extendable_until_ms = hold.claimed_at_ms + hold_max_ms
  end
  return {word, now_ms, version, hold.owner, hold.claimed_at_ms, hold.status, hold.deadline_ms, extensions_left,
    extendable_until_ms, hold.payment_open, hold.subject, hold.checkout, unpack(hold.seats)}
end

-- The same of a hold that has just been claimed.
function hold_answer.claimed(now_ms, version, owner, deadline_ms, hold_max_ms, subject, seats)
  return {'claimed', now_ms, version, owner, now_ms, 'H', deadline_ms, hold_answer.EXTENSIONS_PER_HOLD_MAX,
    now_ms + hold_max_ms, 0, subject, '', unpack(seats)}
end

return hold_answer
