-- A showtime's meta: what stands in it, and whether the showtime takes work now.
-- include: formats
-- include: policy
local showtime = {}

local STATUSES = {open = true, frozen = true, rebuilding = true, cancelled = true}

-- The number that a field spells in digits; nil if it spells none.
local function whole(text)
  return text and string.find(text, '^%d+$') and tonumber(text) or nil
end

-- Read meta for a reader. Gives meta, or nil and the refusal. In meta: status, seats, version, fence, next_lapse_ms,
-- policy (see policy.read).
function showtime.look(meta_key, generation, now_ms)
  local fields = redis.pcall('HMGET', meta_key,
    'status', 'generation', 'seats_count', 'version', 'fence', 'next_lapse_ms', 'policy', 'seq')
  if fields.err then
    return nil, {'damaged', now_ms}
  end
  local status, stamp, packed = fields[1], fields[2], fields[7]
  local seats, version, fence, next_lapse_ms = whole(fields[3]), whole(fields[4]), whole(fields[5]), whole(fields[6])
  if not status then
    return nil, {'not_loaded', now_ms}
  end
  if stamp ~= generation then
    return nil, {'stale_generation', now_ms, stamp or '', redis.call('HGET', meta_key, 'seq') or ''}
  end
  -- Each of them is reckoned with halfway through some change, where an error would leave half of it behind.
  if not (STATUSES[status] and seats and version and fence and next_lapse_ms and whole(fields[8]))
    or not packed or #packed ~= formats.POLICY_BYTES then
    return nil, {'damaged', now_ms}
  end
  return {
    status = status,
    seats = seats,
    version = version,
    fence = fence,
    next_lapse_ms = next_lapse_ms,
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
