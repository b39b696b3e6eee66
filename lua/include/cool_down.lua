-- Holds that a customer left to lapse without ever trying to pay: how many lately, and how long no new claim follows.
-- include: formats
local cool_down = {}

local COOL_DOWN_MEMORY_MS = 3600000
local COOL_DOWN_MAX_MS = 900000
local LAPSES_MAX = 255

-- Count a hold that lapsed. Not the first write of any script: it may need memory.
function cool_down.note(meta_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local packed = redis.call('HGET', meta_key, formats.LAPSES_FIELD .. hold.subject)
  local lapses, last_ms = 0, 0
  if packed then
    lapses, last_ms = struct.unpack(formats.LAPSES, packed)
  end
  if hold.deadline_ms - last_ms > COOL_DOWN_MEMORY_MS then
    lapses = 0
  end
  redis.call('HSET', meta_key, formats.LAPSES_FIELD .. hold.subject,
    struct.pack(formats.LAPSES, math.min(lapses + 1, LAPSES_MAX), math.max(last_ms, hold.deadline_ms)))
end

-- How long the customer has to wait still; 0 if they need not. `rule` is free lapses and the first pause: each lapse
-- beyond the free ones doubles it, up to the maximum, counted from the latest lapse.
function cool_down.wait_ms(packed, rule, now_ms)
  local lapses, last_ms = struct.unpack(formats.LAPSES, packed)
  local free, pause_ms = struct.unpack(formats.COOL_DOWN, rule)
  if lapses <= free or now_ms - last_ms > COOL_DOWN_MEMORY_MS then
    return 0
  end
  pause_ms = math.min(pause_ms * 2 ^ math.min(lapses - free - 1, 20), COOL_DOWN_MAX_MS)
  return math.max(last_ms + pause_ms - now_ms, 0)
end

return cool_down
