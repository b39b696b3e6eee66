-- Holds that a customer left to lapse without ever trying to pay: how many lately, and how long no new claim follows.
-- include: formats
-- include: customer_record
local cool_down = {}

local COOL_DOWN_MEMORY_MS = 3600000
local COOL_DOWN_MAX_MS = 900000
local LAPSES_MAX = 255

-- Count a hold that lapsed, in the record of its customer.
function cool_down.note(meta_key, hold)
  if not hold.lapsed or hold.payment_open ~= 0 or hold.retries ~= 0 then
    return
  end
  local customer = customer_record.find(meta_key, hold.subject) or customer_record.read(false)
  if hold.deadline_ms - customer.lapsed_ms > COOL_DOWN_MEMORY_MS then
    customer.lapses = 0
  end
  customer.lapses = math.min(customer.lapses + 1, LAPSES_MAX)
  customer.lapsed_ms = math.max(customer.lapsed_ms, hold.deadline_ms)
  customer_record.save(meta_key, hold.subject, customer)
end

-- How long the customer has to wait still; 0 if they need not. `rule` is free lapses and the first pause: each lapse
-- beyond the free ones doubles it, up to the maximum, counted from the latest lapse.
function cool_down.wait_ms(customer, rule, now_ms)
  local free, pause_ms = struct.unpack(formats.COOL_DOWN, rule)
  if customer.lapses <= free or now_ms - customer.lapsed_ms > COOL_DOWN_MEMORY_MS then
    return 0
  end
  pause_ms = math.min(pause_ms * 2 ^ math.min(customer.lapses - free - 1, 20), COOL_DOWN_MAX_MS)
  return math.max(customer.lapsed_ms + pause_ms - now_ms, 0)
end

return cool_down
