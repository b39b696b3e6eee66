-- Whether a showtime's keys are all there, of their type, and of full length. Lost memory must never read as
-- "all free"; and an error of Redis halfway through a change would leave half of the change behind.
local intact = {}

-- `keys` holds, by name, any of: sold, locked, blocked, owners, holds, customers, checkouts, deadlines, facts, lapses.
function intact.check(keys, seats)
  for _, name in ipairs({'sold', 'locked', 'blocked'}) do
    local key = keys[name]
    if key and (redis.pcall('STRLEN', key) ~= math.floor(seats / 8) + 1 or redis.call('GETBIT', key, seats) ~= 1) then
      return false
    end
  end
  if keys.owners and redis.pcall('STRLEN', keys.owners) ~= 4 * seats then
    return false
  end
  for _, name in ipairs({'holds', 'customers', 'checkouts'}) do
    if keys[name] and redis.pcall('HEXISTS', keys[name], '0') ~= 1 then
      return false
    end
  end
  if keys.deadlines and redis.pcall('ZSCORE', keys.deadlines, '0') ~= 'inf' then
    return false
  end
  -- The partition's own keys may be absent, but not of another type.
  return not (keys.facts and type(redis.pcall('XLEN', keys.facts)) ~= 'number')
    and not (keys.lapses and type(redis.pcall('ZCARD', keys.lapses)) ~= 'number')
end

return intact
