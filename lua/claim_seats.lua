--[[
Claim seats for a customer: all of them, or none.

KEYS     meta seats deadlines checkouts facts lapses request
ARGV     1 generation  2 not_after_ms  3 request  4 subject (16 bytes), and behind it the rule of
         cool-downs (formats.COOL_DOWN) where they apply  5.. seats
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         showtime_closed, CANCELLED or ENDED or FROZEN | not_on_sale, sales_open_ms
         cool_down, ms to wait
         too_many_seats, seats_per_hold_max
         seats_taken, (seat, reason, deadline_ms, owner, claimed_at_ms)...
           reason: LOCKED, LOCKED_BY_ME, SOLD, BLOCKED; owner and claimed_at_ms are 0 unless LOCKED_BY_ME
         hold_limit, (owner, claimed_at_ms)... of the customer's live holds
         seat_limit, seats left to the customer
         claimed, the hold answer (include/hold_answer.lua)
RAISES   OOM at maxmemory, before anything changed; an index that is no seat of the showtime, or comes twice
EMITS    booking_expired, for each lapsed booking that is taken over
COST     O(seats asked + seats of the holds taken over). A claim of free neighbouring seats by a new customer takes
         6 commands beside the clock's, and makes few functions: what other cases need is included inside their blocks.
]]
-- include: clock
-- include: formats
-- include: seat_map
-- include: hold_answer

-- names
local meta_key, seats_key, deadlines_key, checkouts_key, facts_key, lapses_key, request_key = unpack(KEYS)
local generation, not_after_ms, request_text, subject = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local FIRST_SEAT = 5
local rule = ''
if #subject > formats.SUBJECT_BYTES then
  subject, rule = string.sub(subject, 1, formats.SUBJECT_BYTES), string.sub(subject, formats.SUBJECT_BYTES + 1)
end

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
if request_text ~= '' then
  -- include: request
  local replay = request.recall(request_key, request_text, now_ms)
  if replay then
    return replay
  end
end
local status, stamp, seats_count, version, fence, next_lapse_ms, packed, record = unpack(redis.pcall('HMGET',
  meta_key, 'status', 'generation', 'seats_count', 'version', 'fence', 'next_lapse_ms', 'policy',
  subject))
local hold_ttl_ms, hold_max_ms, seats_per_hold_max, seats_per_customer_max, sales_open_ms, sales_stop_ms, _
if status == 'open' and stamp == generation and packed and #packed == formats.POLICY_BYTES then
  hold_ttl_ms, _, hold_max_ms, _, seats_per_hold_max, _, seats_per_customer_max, sales_open_ms, sales_stop_ms =
    struct.unpack(formats.POLICY, packed)
end
if not hold_ttl_ms or now_ms < sales_open_ms or now_ms >= sales_stop_ms then
  -- include: showtime
  local meta, refusal = showtime.enter(meta_key, generation, now_ms)
  return refusal or showtime.closed(meta, now_ms) or {'damaged', now_ms}
end
seats_count, version, fence, next_lapse_ms =
  tonumber(seats_count), tonumber(version), tonumber(fence), tonumber(next_lapse_ms)
-- Every key written below is touched here, or as long as one can go back: a lost or mistyped one must not be met
-- halfway.
if not (seats_count and version and fence and next_lapse_ms) then
  return {'damaged', now_ms}
end
local deadline_ms = now_ms + hold_ttl_ms
local lapses_first = next_lapse_ms == 0 or next_lapse_ms > deadline_ms
if lapses_first and type(redis.pcall('ZCARD', lapses_key)) ~= 'number' then
  return {'damaged', now_ms}
end
if record and rule ~= '' then
  -- include: customer_record
  -- include: cool_down
  local wait_ms = cool_down.wait_ms(customer_record.read(record) or customer_record.read(false), rule, now_ms)
  if wait_ms > 0 then
    return {'cool_down', now_ms, wait_ms}
  end
end
local seats, runs = seat_map.read(ARGV, FIRST_SEAT, #ARGV, seats_count)
if #seats > seats_per_hold_max then
  return {'too_many_seats', now_ms, seats_per_hold_max}
end
local free = seat_map.all(seats_key, seats_count, runs, formats.NOBODY)
local meta, keys, lapsed
if not free or record then
  -- include: showtime
  -- include: policy
  -- include: customer_record
  -- include: customer_holds
  -- include: deadlines
  -- include: end_hold
  -- include: intact
  -- include: takeover
  keys = {meta = meta_key, seats = seats_key, deadlines = deadlines_key, checkouts = checkouts_key}
  if not intact.check(keys, seats_count) then
    return {'damaged', now_ms}
  end
  meta = {seats = seats_count, policy = policy.read(packed)}
  local verdict = takeover.judge(keys, meta, seats, subject, now_ms)
  local customer = customer_record.read(record)
  local mine = customer_holds.read(keys, meta, customer, now_ms)
  if not verdict or not mine then
    return {'damaged', now_ms}
  end
  if #verdict.lapsed + #verdict.capped + #mine.lapsed > 0 then
    -- More is written then than by a claim of free seats.
    keys.facts, keys.lapses = facts_key, lapses_key
    local refusal
    meta, refusal = showtime.enter(meta_key, generation, now_ms)
    if refusal or not intact.check(keys, seats_count) then
      return refusal or {'damaged', now_ms}
    end
  end
  if #verdict.taken > 0 then
    deadlines.mend(deadlines_key, lapses_key, meta_key, meta, verdict.capped)
    return takeover.refusal(verdict.taken, now_ms)
  end
  if #mine.live >= meta.policy.holds_per_customer_max then
    return {'hold_limit', now_ms, unpack(customer_holds.names(mine.live))}
  end
  local left = seats_per_customer_max - customer.bought - mine.seats
  if #seats > left then
    return {'seat_limit', now_ms, math.max(left, 0)}
  end
  lapsed = end_hold.joined(verdict.lapsed, mine.lapsed)
elseif #seats > seats_per_customer_max then
  return {'seat_limit', now_ms, seats_per_customer_max}
end

-- change
local owner = fence + 1
-- Tried before all else: at maxmemory Redis refuses the first write, and with it the whole claim. A map without its
-- sentinel, a key of another type and a number that has a deadline are damage. What was tried is taken back then.
-- The usual one run at once, so that the table need not grow.
local marking = {'GET', 'u1', seat_map.bit(formats.LOCKED_MAP, seats_count, seats_count),
  'SET', 'u' .. runs[2], seat_map.bit(formats.LOCKED_MAP, seats_count, runs[1]), 2 ^ runs[2] - 1}
for i = 3, #runs, 2 do
  local size = #marking
  marking[size + 1], marking[size + 2] = 'SET', 'u' .. runs[i + 1]
  marking[size + 3] = seat_map.bit(formats.LOCKED_MAP, seats_count, runs[i])
  marking[size + 4] = 2 ^ runs[i + 1] - 1
end
local was = redis.pcall('BITFIELD', seats_key, unpack(marking))
if was.err then
  return string.find(was.err, 'WRONGTYPE', 1, true) and {'damaged', now_ms} or was
end
local cell = struct.pack(formats.OWNER, owner)
-- The sentinel comes along: a key that is lost takes it in too, and tells so.
local added = redis.pcall('ZADD', deadlines_key, 'NX', deadline_ms, owner, 'inf', '0')
if was[1] ~= 1 or added ~= 1 then
  for i = 2, #was do
    marking[4 * i - 1] = was[i]
  end
  redis.pcall('BITFIELD', seats_key, unpack(marking))
  if added == 1 then
    redis.pcall('ZREM', deadlines_key, owner)
  elseif added == 2 then
    redis.pcall('ZREM', deadlines_key, owner, '0')
  end
  return {'damaged', now_ms}
end
if lapsed and #lapsed > 0 then
  -- include: request
  -- include: end_hold
  for _, gone in ipairs(lapsed) do
    end_hold.expire(keys, meta, generation, gone, now_ms, 'payment_timeout', request.trace(request_text))
  end
  version = meta.version
  record = redis.call('HGET', meta_key, subject)
  -- Whoever ended has left unmarked what they had of these seats.
  redis.call('BITFIELD', seats_key, unpack(marking))
end
seat_map.fill(seats_key, seats_count, runs, cell)
version = version + 1
record = (record or formats.NO_CUSTOMER) .. cell
local hold = struct.pack(formats.HOLD .. string.rep(formats.HOLD_SEAT, #seats), subject, now_ms, formats.HELD_ANEW,
  unpack(seats))
if lapses_first then
  redis.call('HSET', meta_key, 'version', version, 'fence', owner, 'next_lapse_ms', deadline_ms,
    subject, record, owner, hold)
  redis.call('ZADD', lapses_key, deadline_ms, string.match(meta_key, ':(%d+):meta$'))
else
  redis.call('HSET', meta_key, 'version', version, 'fence', owner,
    subject, record, owner, hold)
end

-- answer
-- Lapsed holds of others count as changes; see showtime.version.
if next_lapse_ms > 0 and next_lapse_ms <= now_ms then
  version = version + redis.call('ZCOUNT', deadlines_key, '-inf', now_ms)
end
local answer = hold_answer.claimed(now_ms, version, owner, deadline_ms, hold_max_ms, subject, seats)
if request_text ~= '' then
  -- include: request
  request.remember(request_key, request_text, answer, deadline_ms, now_ms)
end
return answer
