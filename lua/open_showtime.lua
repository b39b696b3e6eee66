--[[
Load a showtime from the ledger, in steps, so that a big one does not stop Redis: begin, part..., finish.

Nothing is seen of a load before its last step, and that step needs the nonce of the first: closing or freezing the
showtime takes it away, and so does time. A fact told since the first step loses the load too: a cancelled showtime goes
on restocking, and what the loader has read in the ledger is then of before. So does a key `lapses` of another type.

KEYS     meta seats deadlines checkouts loading lapses
ARGV     1 generation to stamp  2 not_after_ms  3 request: always ''  4 step  5 nonce; then by step
         begin   6 nonce_ttl_ms  7 force 0 or 1: load again what is loaded
         part    6.. (subject, packed customer (include/customer_record.lua))...
         finish  6 status  7 seats  8 seq  9 fence  10 seats sold, as counted by the ledger
                 11.. the 11 policy numbers (include/policy.lua)  22 sold bytes  23 blocked bytes  24 owners bytes:
                 4 per seat, 0 unless sold; bitmaps with or without the sentinel bit
RETURNS  too_late
         loaded | loading_elsewhere, ms left to that load | loading (begin)
         load_lost | installed (part)
         load_lost | showtime_closed, ENDED: its keys would be gone at once | opened, version (finish)
RAISES   a step, number or length that contradicts the others; bitmaps that overlap or do not match the owners
EMITS    nothing
COST     begin O(1); part O(customers given); finish O(seats of the showtime)
]]
-- include: clock
-- include: policy
-- include: formats
-- include: seat_map
-- include: seat_look
-- include: load_check

-- names
local keys = {
  meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], loading = KEYS[5], lapses = KEYS[6],
}
local generation, not_after_ms, step, nonce = ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5]
local nonce_ttl_ms, force = ARGV[6], ARGV[7] == '1'
local FIRST_CUSTOMER, FIRST_NUMBER = 6, 11
local status, seats_count, seq, fence, sold_count = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9], tonumber(ARGV[10])
local sold, blocked, owners = ARGV[22], ARGV[23], ARGV[24]

-- check
local now_ms = clock.now_ms
if now_ms > not_after_ms then
  return {'too_late', now_ms}
end
assert(step == 'begin' or step == 'part' or step == 'finish', 'a step is begin, part or finish')
-- What is being replaced may be damaged in any way, its types included.
local standing = redis.pcall('HGET', keys.loading, 'nonce')
if step == 'begin' then
  if redis.call('EXISTS', keys.meta) == 1 and not force then
    return {'loaded', now_ms}
  end
  if type(standing) == 'string' and standing ~= nonce then
    return {'loading_elsewhere', now_ms, redis.call('PTTL', keys.loading)}
  end
elseif standing ~= nonce then
  return {'load_lost', now_ms}
end
local seq_now = redis.pcall('HGET', keys.meta, 'seq')
seq_now = type(seq_now) == 'string' and seq_now or ''
if step == 'finish' and (redis.call('HGET', keys.loading, 'seq') ~= seq_now
  or type(redis.pcall('ZCARD', keys.lapses)) ~= 'number') then
  return {'load_lost', now_ms}
end
local packed, rules, seats, blocked_runs, version
if step == 'finish' then
  packed = policy.pack(ARGV, FIRST_NUMBER)
  rules = policy.read(packed)
  if now_ms >= rules.keys_until_ms then
    return {'showtime_closed', now_ms, 'ENDED'}
  end
  blocked_runs = seat_look.runs(load_check.blocked_seats(sold, blocked, owners, seats_count, sold_count))
  seats = load_check.joined(sold, blocked, owners, seats_count)
  -- Versions only grow, over loads and clocks set back.
  local before, holds = redis.pcall('HGET', keys.meta, 'version'), redis.pcall('ZCARD', keys.deadlines)
  local shown = (type(before) == 'string' and tonumber(before) or 0) + (type(holds) == 'number' and holds or 0)
  version = math.max(now_ms, shown + 1)
end

-- change
local answer
if step == 'begin' then
  redis.call('UNLINK', keys.loading)
  -- The hash becomes meta in the end. What every call reads stands first: a small hash is searched from its beginning.
  redis.call('HSET', keys.loading, 'status', '', 'generation', '', 'seats_count', '', 'version', '', 'fence', '',
    'next_lapse_ms', '', 'policy', '', 'seq', seq_now, 'loaded_ms', '',
    'nonce', nonce, 'nonce_ttl_ms', nonce_ttl_ms)
  redis.call('PEXPIRE', keys.loading, nonce_ttl_ms)
  answer = {'loading', now_ms}
elseif step == 'part' then
  redis.call('HDEL', keys.loading, 'none')
  for i = FIRST_CUSTOMER, #ARGV - 1, 2 do
    redis.call('HSET', keys.loading, ARGV[i], ARGV[i + 1])
  end
  redis.call('PEXPIRE', keys.loading, redis.call('HGET', keys.loading, 'nonce_ttl_ms'))
  answer = {'installed', now_ms}
else
  redis.call('UNLINK', keys.meta, keys.seats, keys.deadlines, keys.checkouts)
  redis.call('SET', keys.seats, seats)
  for map = 0, formats.MAPS - 1 do
    redis.call('SETBIT', keys.seats, seat_map.bit(map, seats_count, seats_count), 1)
  end
  seat_map.set(keys.seats, seats_count, formats.BLOCKED_MAP, blocked_runs, 1,
    struct.pack(formats.OWNER, formats.BLOCKED))
  redis.call('ZADD', keys.deadlines, 'inf', '0')
  redis.call('HDEL', keys.loading, 'nonce', 'nonce_ttl_ms')
  redis.call('HSET', keys.loading, 'status', status, 'generation', generation, 'seats_count', seats_count,
    'version', version, 'fence', fence, 'next_lapse_ms', 0, 'policy', packed, 'seq', seq,
    'loaded_ms', now_ms)
  redis.call('RENAME', keys.loading, keys.meta)
  redis.call('ZREM', keys.lapses, string.match(keys.meta, ':(%d+):meta$'))
  for _, key in ipairs({keys.meta, keys.seats, keys.deadlines}) do
    redis.call('PEXPIREAT', key, rules.keys_until_ms)
  end
  answer = {'opened', now_ms, version}
end

-- answer
return answer
