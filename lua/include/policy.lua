-- A showtime's rules, packed in 54 bytes so that meta keeps Redis' compact hash encoding (values of at most 64 bytes).
local policy = {}

local FORMAT = '>I4I4I4I4HHHI8I8I8I8'
local PAYMENT_RETRY_TTL_MS = 300000

policy.COUNT = 11

-- Pack 11 numbers that start at values[first]: hold_ttl_ms, payment_ttl_ms, hold_max_ms, claim_max_ms,
-- seats_per_hold_max, holds_per_customer_max, seats_per_customer_max, sales_open_ms, sales_stop_ms, ends_ms,
-- keys_until_ms.
function policy.pack(values, first)
  local numbers = {}
  for i = 1, policy.COUNT do
    numbers[i] = assert(tonumber(values[first + i - 1]), 'a policy is 11 numbers')
  end
  return struct.pack(FORMAT, unpack(numbers))
end

-- Give the 11 numbers, in the same order.
function policy.numbers(packed)
  return struct.unpack(FORMAT, packed)
end

-- Give them by name.
function policy.read(packed)
  local rules = {payment_retry_ttl_ms = PAYMENT_RETRY_TTL_MS}
  rules.hold_ttl_ms, rules.payment_ttl_ms, rules.hold_max_ms, rules.claim_max_ms, rules.seats_per_hold_max,
    rules.holds_per_customer_max, rules.seats_per_customer_max, rules.sales_open_ms, rules.sales_stop_ms,
    rules.ends_ms, rules.keys_until_ms = struct.unpack(FORMAT, packed)
  -- No deadline lies further ahead than this, unless the clock was set back.
  rules.ahead_max_ms = math.max(rules.hold_ttl_ms, rules.payment_ttl_ms, PAYMENT_RETRY_TTL_MS)
  return rules
end

return policy
