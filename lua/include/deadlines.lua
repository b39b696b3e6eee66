-- Deadlines of holds, and the hint by which the worker's timer finds the next one to lapse.
-- include: showtime
local deadlines = {}

-- Set a hold's deadline. meta.next_lapse_ms is never later than the earliest deadline.
function deadlines.set(deadlines_key, lapses_key, meta_key, meta, owner, deadline_ms)
  redis.call('ZADD', deadlines_key, deadline_ms, owner)
  if meta.next_lapse_ms == 0 or deadline_ms < meta.next_lapse_ms then
    meta.next_lapse_ms = deadline_ms
    redis.call('HSET', meta_key, 'next_lapse_ms', deadline_ms)
    redis.call('ZADD', lapses_key, deadline_ms, showtime.number(meta_key))
  end
end

-- Bring deadlines that a clock, since set back, left beyond the maximum down to it; else such holds would be
-- eternal. The only write that a refusal may follow: no seat and no record changes by it.
function deadlines.mend(deadlines_key, lapses_key, meta_key, meta, capped)
  for _, hold in ipairs(capped) do
    deadlines.set(deadlines_key, lapses_key, meta_key, meta, hold.owner, hold.deadline_ms)
  end
end

-- Find the earliest deadline anew and tell the timer. Gives it, or 0 without a hold.
function deadlines.renew(deadlines_key, lapses_key, meta_key)
  local first = redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')
  if first[1] == '0' then
    redis.call('ZREM', lapses_key, showtime.number(meta_key))
    redis.call('HSET', meta_key, 'next_lapse_ms', 0)
    return 0
  end
  redis.call('ZADD', lapses_key, first[2], showtime.number(meta_key))
  redis.call('HSET', meta_key, 'next_lapse_ms', first[2])
  return tonumber(first[2])
end

return deadlines
