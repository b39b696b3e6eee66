-- Finding holds by what a hold id says, and keeping them.
-- include: formats
local holds = {}

-- The field of meta that has a hold's record.
function holds.field(owner)
  return formats.HOLD_FIELD .. struct.pack(formats.OWNER, owner)
end

-- Read a hold and its deadline. Gives nil if there is none, or nil and 'damaged' if only half of it is there.
-- `capped` tells that the stored deadline lies beyond what any clock but a wrong one could have written.
function holds.read(meta_key, deadlines_key, owner, rules, now_ms)
  local packed = redis.pcall('HGET', meta_key, holds.field(owner))
  local score = redis.pcall('ZSCORE', deadlines_key, owner)
  if not packed and not score then
    return nil
  end
  if type(packed) ~= 'string' or #packed <= formats.HOLD_BYTES or (#packed - formats.HOLD_BYTES) % 2 ~= 0
    or type(score) ~= 'string' then
    return nil, 'damaged'
  end
  local deadline_ms = tonumber(score)
  local latest_ms = now_ms + rules.ahead_max_ms
  local hold = {
    owner = tonumber(owner),
    seats = {},
    deadline_ms = math.min(deadline_ms, latest_ms),
    capped = deadline_ms > latest_ms,
    lapsed = deadline_ms <= now_ms,
  }
  hold.subject, hold.claimed_at_ms, hold.status, hold.extensions, hold.retries, hold.payment_open =
    struct.unpack(formats.HOLD, packed)
  for position = formats.HOLD_BYTES + 1, #packed, 2 do
    hold.seats[#hold.seats + 1] = struct.unpack('>' .. formats.HOLD_SEAT, packed, position)
  end
  return hold
end

-- Owner numbers of one load share their high byte and are given in ascending order.
local function never_issued(owner, meta)
  return owner > meta.fence and math.floor(owner / 2 ^ 24) == math.floor(meta.fence / 2 ^ 24)
end

-- Read the live hold that a hold id names (same owner number, same moment of the claim), for its own customer
-- ('' stands for staff and the system). Gives the hold, or nil and the refusal.
function holds.own(meta_key, deadlines_key, owner, claimed_at_ms, subject, meta, now_ms)
  local hold, damaged = holds.read(meta_key, deadlines_key, owner, meta.policy, now_ms)
  if damaged then
    return nil, {'damaged', now_ms}
  end
  if hold and hold.claimed_at_ms ~= tonumber(claimed_at_ms) then
    hold = nil
  end
  if hold and subject ~= '' and hold.subject ~= subject then
    return nil, {'not_found', now_ms}
  end
  if not hold and (never_issued(tonumber(owner), meta) or tonumber(claimed_at_ms) > now_ms) then
    return nil, {'not_found', now_ms}
  end
  if not hold or hold.lapsed then
    return nil, {'hold_expired', now_ms}
  end
  return hold
end

-- Deleted first: at maxmemory Redis lets a script write on once it has written, and never refuses a deletion.
function holds.save(meta_key, hold)
  local field = holds.field(hold.owner)
  redis.call('HDEL', meta_key, field)
  redis.call('HSET', meta_key, field, struct.pack(formats.HOLD .. string.rep(formats.HOLD_SEAT, #hold.seats),
    hold.subject, hold.claimed_at_ms, hold.status, hold.extensions, hold.retries, hold.payment_open,
    unpack(hold.seats)))
end

return holds
