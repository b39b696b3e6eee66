--[[
Change a showtime's rules and the end of its keys; deadlines already given stay.

KEYS     meta seats deadlines checkouts request
ARGV     1 generation  2 not_after_ms  3 request  4.. the 11 policy numbers (include/policy.lua)
RETURNS  too_late
         replayed, the first answer | idempotency_key_reused
         not_loaded | stale_generation, generation, seq | rebuilding | damaged
         policy_changed, version
RAISES   fewer than 11 numbers
EMITS    nothing
COST     O(1)
]]
-- include: clock
-- include: entry
-- include: request
-- include: showtime
-- include: policy
-- include: intact

-- names
local keys = {meta = KEYS[1], seats = KEYS[2], deadlines = KEYS[3], checkouts = KEYS[4], request = KEYS[5]}
local generation, not_after_ms, request_text = ARGV[1], ARGV[2], ARGV[3]
local FIRST_NUMBER = 4

-- check
local now_ms = clock.now_ms
local meta, refusal = entry.writer(keys.meta, keys.request, generation, not_after_ms, request_text, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local packed = policy.pack(ARGV, FIRST_NUMBER)

-- change
-- A deletion first: at maxmemory it lets the rest follow. Of no field that is there; see adopt_showtime.lua.
redis.call('HDEL', keys.meta, 'none')
redis.call('HSET', keys.meta, 'policy', packed)
meta.version = meta.version + 1
showtime.save(keys.meta, meta)
local keys_until_ms = policy.read(packed).keys_until_ms
for i = 1, #KEYS - 1 do
  redis.call('PEXPIREAT', KEYS[i], keys_until_ms)
end

-- answer
local answer = {'policy_changed', now_ms, showtime.version(meta, keys.deadlines, now_ms)}
request.remember(keys.request, request_text, answer, now_ms, now_ms)
return answer
