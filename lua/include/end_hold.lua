-- Ending a hold: all its seats become free, all its records go, and a booking's end becomes a fact.
-- include: showtime
-- include: formats
-- include: seat_map
-- include: seat_look
-- include: customer_record
-- include: cool_down
-- include: hold_id
-- include: facts
local end_hold = {}

-- Whether every seat of the hold still is the hold's: only then may it be ended.
function end_hold.sound(keys, meta, hold)
  return seat_map.all(keys.seats, meta.seats, seat_look.runs(hold.seats), struct.pack(formats.OWNER, hold.owner))
end

-- The holds of both lists, each once.
function end_hold.joined(some, others)
  local joined, seen = {}, {}
  for _, list in ipairs({some, others}) do
    for _, hold in ipairs(list) do
      if not seen[hold.owner] then
        seen[hold.owner] = true
        table.insert(joined, hold)
      end
    end
  end
  return joined
end

-- Take a hold's records away, leaving its seats. Begins with HDEL: it can always finish, also at maxmemory.
-- `bought` seats go over to what the customer has bought.
function end_hold.forget(keys, hold, bought)
  redis.call('HDEL', keys.meta, hold.owner)
  redis.call('HDEL', keys.checkouts, hold.owner)
  redis.call('ZREM', keys.deadlines, hold.owner)
  customer_record.drop(keys.meta, hold.subject, hold.owner, bought)
end

-- Free the seats of a hold and take its records away; a booking's end becomes a fact. The caller saves meta.
local function free(keys, meta, generation, hold, now_ms, kind, reason, trace)
  end_hold.forget(keys, hold, 0)
  seat_map.set(keys.seats, meta.seats, formats.LOCKED_MAP, seat_look.runs(hold.seats), 0, formats.NOBODY)
  meta.version = meta.version + 1
  if hold.status == 'P' then
    local booking = hold_id.text(hold.claimed_at_ms, hold.owner, showtime.number(keys.meta))
    facts.emit(keys.facts, keys.meta, generation, kind, booking, now_ms, {
      booking = booking,
      owner = hold.owner,
      claimed_at_ms = hold.claimed_at_ms,
      deadline_ms = hold.deadline_ms,
      seats = hold.seats,
      reason = reason,
      checkout = hold.checkout,
    }, trace)
  end
end

-- End a hold whose time is over, or is declared over.
function end_hold.expire(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_expired', reason, trace)
  cool_down.note(keys.meta, hold)
end

-- End a hold that somebody gave up or took away.
function end_hold.cancel(keys, meta, generation, hold, now_ms, reason, trace)
  free(keys, meta, generation, hold, now_ms, 'booking_cancelled', reason, trace)
end

return end_hold
