-- The record of a hold: subject 16 bytes, claimed_at_ms 8, status 1 (H held, P checked out), extensions used 1,
-- payment retries used 1, payment open 1, then 2 bytes per seat. At most 64 bytes: Redis' compact hash encoding.
-- Its deadline stands in the sorted set `deadlines` and nowhere else.
local hold_record = {}

local FORMAT = '>c16I8c1BBB'
local FIXED = 28

function hold_record.pack(hold)
  local seats = {}
  for i, seat in ipairs(hold.seats) do
    seats[i] = struct.pack('>H', seat)
  end
  return struct.pack(FORMAT, hold.subject, hold.claimed_at_ms, hold.status, hold.extensions, hold.retries,
    hold.payment_open) .. table.concat(seats)
end

-- Read a hold and its deadline. Gives nil if there is none, or nil and 'damaged' if only half of it is there.
-- `capped` tells that the stored deadline lies beyond what any clock but a wrong one could have written.
function hold_record.read(holds_key, deadlines_key, owner, rules, now_ms)
  local packed = redis.pcall('HGET', holds_key, owner)
  local score = redis.pcall('ZSCORE', deadlines_key, owner)
  if not packed and not score then
    return nil
  end
  if type(packed) ~= 'string' or #packed < FIXED or type(score) ~= 'string' then
    return nil, 'damaged'
  end
  local subject, claimed_at_ms, status, extensions, retries, payment_open = struct.unpack(FORMAT, packed)
  local seats = {}
  for position = FIXED + 1, #packed, 2 do
    seats[#seats + 1] = struct.unpack('>H', packed, position)
  end
  local deadline_ms = tonumber(score)
  local latest_ms = now_ms + rules.ahead_max_ms
  return {
    owner = tonumber(owner),
    subject = subject,
    claimed_at_ms = claimed_at_ms,
    status = status,
    extensions = extensions,
    retries = retries,
    payment_open = payment_open,
    seats = seats,
    deadline_ms = math.min(deadline_ms, latest_ms),
    capped = deadline_ms > latest_ms,
    lapsed = deadline_ms <= now_ms,
  }
end

-- Read the hold that a hold id names: same owner number and same moment of the claim, or it is another's.
function hold_record.find(holds_key, deadlines_key, owner, claimed_at_ms, rules, now_ms)
  local hold, damaged = hold_record.read(holds_key, deadlines_key, owner, rules, now_ms)
  if hold and hold.claimed_at_ms ~= tonumber(claimed_at_ms) then
    return nil
  end
  return hold, damaged
end

-- As find, for its own customer ('' stands for the system), live only. Gives the hold, or nil and the refusal.
function hold_record.own(holds_key, deadlines_key, owner, claimed_at_ms, subject, meta, now_ms)
  local hold, damaged = hold_record.find(holds_key, deadlines_key, owner, claimed_at_ms, meta.policy, now_ms)
  if damaged then
    return nil, {'damaged', now_ms}
  end
  if hold and subject ~= '' and hold.subject ~= subject then
    return nil, {'not_found', now_ms}
  end
  if not hold and (hold_record.never_issued(owner, meta) or tonumber(claimed_at_ms) > now_ms) then
    return nil, {'not_found', now_ms}
  end
  if not hold or hold.lapsed then
    return nil, {'hold_expired', now_ms}
  end
  return hold
end

-- Owner numbers of one load share their high byte and are given in ascending order.
function hold_record.never_issued(owner, meta)
  local number = tonumber(owner)
  return number > meta.fence and math.floor(number / 2 ^ 24) == math.floor(meta.fence / 2 ^ 24)
end

-- Deleted first: at maxmemory Redis lets a script write on once it has written, and never refuses a deletion.
function hold_record.save(holds_key, hold)
  redis.call('HDEL', holds_key, hold.owner)
  redis.call('HSET', holds_key, hold.owner, hold_record.pack(hold))
end

return hold_record
