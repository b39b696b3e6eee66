-- Finding holds by what a hold id says, and keeping them.
-- include: formats
local holds = {}

-- The state of a hold is one byte: extensions used (4 bits), payment retries used (2), payment open, checked out.
local RETRY = 16
local PAYMENT_OPEN = 64
local CHECKED_OUT = 128

-- Read a hold, its deadline, and, of one that was checked out, its check-out where the caller has `keys.checkouts`;
-- hold.checkout is '' before. Gives nil if there is none, or nil and 'damaged' if only a part of it is there.
-- `capped` tells that the stored deadline lies beyond what any clock but a wrong one could have written.
function holds.read(keys, owner, rules, now_ms)
  if tonumber(owner) == 0 then
    return nil -- nobody's number; in `deadlines` it is the sentinel
  end
  local packed = redis.pcall('HGET', keys.meta, owner)
  local score = redis.pcall('ZSCORE', keys.deadlines, owner)
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
    checkout = '',
  }
  local state
  hold.subject, hold.claimed_at_ms, state = struct.unpack(formats.HOLD, packed)
  hold.status = state >= CHECKED_OUT and 'P' or 'H'
  hold.payment_open = state % CHECKED_OUT >= PAYMENT_OPEN and 1 or 0
  hold.retries = math.floor(state % PAYMENT_OPEN / RETRY)
  hold.extensions = state % RETRY
  for position = formats.HOLD_BYTES + 1, #packed, 2 do
    hold.seats[#hold.seats + 1] = struct.unpack('>' .. formats.HOLD_SEAT, packed, position)
  end
  if hold.status == 'P' and keys.checkouts then
    hold.checkout = redis.pcall('HGET', keys.checkouts, owner)
    if type(hold.checkout) ~= 'string' then
      return nil, 'damaged'
    end
  end
  return hold
end

-- Owner numbers of one load share their high byte and are given in ascending order.
local function never_issued(owner, meta)
  return owner > meta.fence and math.floor(owner / 2 ^ 24) == math.floor(meta.fence / 2 ^ 24)
end

-- Read the live hold that a hold id names (same owner number, same moment of the claim), for its own customer
-- ('' stands for staff and the system). Gives the hold, or nil and the refusal.
function holds.own(keys, owner, claimed_at_ms, subject, meta, now_ms)
  local hold, damaged = holds.read(keys, owner, meta.policy, now_ms)
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
  local state = hold.extensions + RETRY * hold.retries + PAYMENT_OPEN * hold.payment_open
    + (hold.status == 'P' and CHECKED_OUT or 0)
  redis.call('HDEL', meta_key, hold.owner)
  redis.call('HSET', meta_key, hold.owner, struct.pack(formats.HOLD .. string.rep(formats.HOLD_SEAT, #hold.seats),
    hold.subject, hold.claimed_at_ms, state, unpack(hold.seats)))
end

return holds
