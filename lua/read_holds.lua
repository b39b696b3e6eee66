#!lua flags=no-writes
--[[
Read a page of a showtime's live holds, by deadline, for operators.

KEYS     meta deadlines
ARGV     1 generation  2 offset  3 limit
RETURNS  not_loaded | stale_generation, generation, seq | damaged
         holds, live holds in all, (owner, claimed_at_ms, status H or P, deadline_ms, payment_open, subject,
           count of seats, seat...)...
RAISES   nothing
EMITS    nothing
COST     O(log holds + offset + seats of the page)
]]
-- include: clock
-- include: showtime
-- include: intact
-- include: holds

-- names
local keys = {meta = KEYS[1], deadlines = KEYS[2]}
local generation, offset, limit = ARGV[1], ARGV[2], ARGV[3]

-- check
local now_ms = clock.now_ms
local meta, refusal = showtime.look(keys.meta, generation, now_ms)
if refusal then
  return refusal
end
if not intact.check(keys, meta.seats) then
  return {'damaged', now_ms}
end
local live_from = '(' .. now_ms
local total = redis.call('ZCOUNT', keys.deadlines, live_from, '(inf')
local page = {}
for i, owner in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, live_from, '(inf', 'LIMIT', offset, limit)) do
  page[i] = holds.read(keys, owner, meta.policy, now_ms)
  if not page[i] then
    return {'damaged', now_ms}
  end
end

-- answer
local answer = {'holds', now_ms, total}
for _, hold in ipairs(page) do
  for _, value in ipairs({hold.owner, hold.claimed_at_ms, hold.status, hold.deadline_ms, hold.payment_open,
    hold.subject, #hold.seats, unpack(hold.seats)}) do
    answer[#answer + 1] = value
  end
end
return answer
