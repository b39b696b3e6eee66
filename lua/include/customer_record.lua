-- Reading and changing what a customer has of a showtime.
-- include: formats
local customer_record = {}

-- Give {bought, holds = {{owner, seats}, ...}}, or nil if it is no such record; `packed` is false for a new customer.
function customer_record.read(packed)
  packed = packed or formats.NO_CUSTOMER
  if #packed < formats.CUSTOMER_BYTES or (#packed - formats.CUSTOMER_BYTES) % formats.CUSTOMER_HOLD_BYTES ~= 0 then
    return nil
  end
  local customer = {bought = struct.unpack(formats.CUSTOMER, packed), holds = {}}
  for position = formats.CUSTOMER_BYTES + 1, #packed, formats.CUSTOMER_HOLD_BYTES do
    local owner, seats = struct.unpack(formats.CUSTOMER_HOLD, packed, position)
    customer.holds[#customer.holds + 1] = {owner = owner, seats = seats}
  end
  return customer
end

-- Find the record of a customer: as read.
function customer_record.find(meta_key, subject)
  return customer_record.read(redis.call('HGET', meta_key, formats.CUSTOMER_FIELD .. subject))
end

-- Take a hold off or give it another size (`seats` 0 takes it off), and move the bought count. A record that cannot be
-- read begins anew: the caller is in the middle of its change.
function customer_record.change(meta_key, subject, owner, seats, bought_more)
  local customer = customer_record.find(meta_key, subject) or customer_record.read(false)
  local packed = struct.pack(formats.CUSTOMER, math.max(customer.bought + bought_more, 0))
  for _, hold in ipairs(customer.holds) do
    if hold.owner ~= owner then
      packed = packed .. struct.pack(formats.CUSTOMER_HOLD, hold.owner, hold.seats)
    end
  end
  if seats > 0 then
    packed = packed .. struct.pack(formats.CUSTOMER_HOLD, owner, seats)
  end
  redis.call('HDEL', meta_key, formats.CUSTOMER_FIELD .. subject)
  if packed ~= formats.NO_CUSTOMER then
    redis.call('HSET', meta_key, formats.CUSTOMER_FIELD .. subject, packed)
  end
end

return customer_record
