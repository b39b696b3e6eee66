--[[
Show how far the ledger is behind each fact stream: length, unread, unacknowledged, and how old the oldest is.

    redis-cli --raw -r -1 -i 1 --eval lua/ops/outbox.lua $(seatlock key facts) ,

KEYS
  facts...        fact streams of one node, one per partition
ARGV
  shown           `all` lists empty streams too; else only those with something unread or unacknowledged
RETURNS
  text lines      for people; nothing else reads them
RAISES
  WRONGTYPE       a key that is not a stream
EMITS
  nothing; reads only
COST
  O(streams); where the server does not keep the lag itself, O(1000) entries a stream
]]

-- names
local show_all = ARGV[1] == 'all'
local UNREAD_COUNTED_MAX = 1000

-- check
if #KEYS == 0 then
  return 'give the fact streams: seatlock key facts'
end

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function age(id)
  if not id then
    return '-'
  end
  return string.format('%.1f s', math.max(0, now_ms - tonumber(string.match(id, '^%d+'))) / 1000)
end

local function fields_of(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

-- Redis 6.2 keeps no lag, and later servers lose it after a deletion: then the entries are counted, up to a bound.
local function unread_of(stream, group)
  if type(group.lag) == 'number' then
    return group.lag, ''
  end
  local count = #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', UNREAD_COUNTED_MAX)
  return count, count == UNREAD_COUNTED_MAX and '+' or ''
end

-- answer
local FORMAT = '%-16s %-10s %8s %8s %8s %14s %14s'
local answer = { string.format(FORMAT, 'stream', 'group', 'length', 'unread', 'pending', 'oldest unread', 'oldest pending') }
local total = { length = 0, unread = 0, pending = 0 }
for _, stream in ipairs(KEYS) do
  local length = redis.call('EXISTS', stream) == 1 and redis.call('XLEN', stream) or 0
  local groups = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'GROUPS', stream) or {}
  total.length = total.length + length
  if #groups == 0 and (length > 0 or show_all) then
    answer[#answer + 1] = string.format(FORMAT, stream, length > 0 and 'NO GROUP' or '-', length, length, 0, '-', '-')
    total.unread = total.unread + length
  end
  for _, flat in ipairs(groups) do
    local group = fields_of(flat)
    local unread, more = unread_of(stream, group)
    local next_unread = redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
    local pending = redis.call('XPENDING', stream, group.name)
    total.unread = total.unread + unread
    total.pending = total.pending + pending[1]
    if show_all or unread > 0 or pending[1] > 0 then
      answer[#answer + 1] = string.format(
        FORMAT, stream, group.name, length, unread .. more, pending[1],
        age(next_unread and next_unread[1]), age(pending[2])
      )
    end
  end
end
answer[#answer + 1] = string.format(
  '%d streams: length %d, unread %d, pending %d', #KEYS, total.length, total.unread, total.pending
)
answer[#answer + 1] = ''
return answer
