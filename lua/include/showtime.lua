-- A showtime's meta: what stands in it, and whether the showtime takes work now.
-- include: policy
local showtime = {}

-- Read meta for a reader. Gives meta, or nil and the refusal. In meta: status, seats, version, fence, next_lapse_ms,
-- policy (see policy.read).
function showtime.look(meta_key, generation, now_ms)
  local fields = redis.pcall('HMGET', meta_key,
    'status', 'generation', 'seats', 'version', 'fence', 'next_lapse_ms', 'policy')
  if fields.err then
    return nil, {'damaged', now_ms}
  end
  local status, stamp, seats, version, fence, next_lapse_ms, packed =
    fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7]
  if not status then
    return nil, {'not_loaded', now_ms}
  end
  if stamp ~= generation then
    return nil, {'stale_generation', now_ms, stamp or '', redis.call('HGET', meta_key, 'seq') or ''}
  end
  if not (seats and version and fence and next_lapse_ms and packed) then
    return nil, {'damaged', now_ms}
  end
  return {
    status = status,
    seats = tonumber(seats),
    version = tonumber(version),
    fence = tonumber(fence),
    next_lapse_ms = tonumber(next_lapse_ms),
    policy = policy.read(packed),
  }
end

-- Read meta for a writer: as look, but a showtime under rebuilding takes no writes.
function showtime.enter(meta_key, generation, now_ms)
  local meta, refusal = showtime.look(meta_key, generation, now_ms)
  if meta and meta.status == 'rebuilding' then
    return nil, {'rebuilding', now_ms}
  end
  return meta, refusal
end

-- Why nothing at all is sold any more; nil if a running checkout may finish.
function showtime.over(meta, now_ms)
  if meta.status == 'cancelled' then
    return {'showtime_closed', now_ms, 'CANCELLED'}
  end
  if now_ms >= meta.policy.ends_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
end

-- Why no seat is given to anybody new now; nil if the showtime is on sale.
function showtime.closed(meta, now_ms)
  local rules = meta.policy
  if meta.status == 'open' and now_ms >= rules.sales_open_ms and now_ms < rules.sales_stop_ms then
    return nil
  end
  if meta.status == 'cancelled' then
    return {'showtime_closed', now_ms, 'CANCELLED'}
  end
  if now_ms >= rules.sales_stop_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
  if meta.status == 'frozen' then
    return {'showtime_closed', now_ms, 'FROZEN'}
  end
  return {'not_on_sale', now_ms, rules.sales_open_ms}
end

-- The version that everybody sees: a hold that lapsed and was not yet ended counts as one change.
function showtime.version(meta, deadlines_key, now_ms)
  if meta.next_lapse_ms == 0 or meta.next_lapse_ms > now_ms then
    return meta.version
  end
  return meta.version + redis.call('ZCOUNT', deadlines_key, '-inf', now_ms)
end

function showtime.save(meta_key, meta)
  redis.call('HSET', meta_key, 'version', meta.version, 'fence', meta.fence)
end

-- The showtime's number, as its keys spell it.
function showtime.number(meta_key)
  return string.match(meta_key, ':(%d+):meta$')
end

return showtime
