-- Whether a showtime's keys are all there, of their type, and of full length. Lost memory must never read as
-- "all free"; and an error of Redis halfway through a change would leave half of the change behind.
-- include: formats
-- include: seat_map
local intact = {}

-- `keys` holds, by name, any of: seats, deadlines, checkouts, facts, lapses. Meta was proved by who read `seats_count`.
function intact.check(keys, seats_count)
  if keys.seats then
    local bytes = formats.MAPS * seat_map.map_bytes(seats_count) + 4 * seats_count
    if redis.pcall('STRLEN', keys.seats) ~= bytes then
      return false
    end
    local sold, locked, blocked = unpack(seat_map.bits(keys.seats, seats_count, seats_count, 1))
    if sold + locked + blocked ~= formats.MAPS then
      return false
    end
  end
  if keys.deadlines and redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
    return false
  end
  -- These may be absent, but not of another type. Whether a check-out is lost tells the hold that had it; see holds.read.
  return not (keys.facts and type(redis.pcall('XLEN', keys.facts)) ~= 'number')
    and not (keys.lapses and type(redis.pcall('ZCARD', keys.lapses)) ~= 'number')
    and not (keys.checkouts and type(redis.pcall('HLEN', keys.checkouts)) ~= 'number')
end

return intact
