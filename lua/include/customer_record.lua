-- Reading and changing what a customer has of a showtime; the bytes are told in customer_entry.
-- include: customer_entry
local customer_record = {}

-- Give {bought, holds = {{owner, seats}, ...}}; `packed` is false for a new customer.
function customer_record.read(packed)
  packed = packed or customer_entry.NOTHING
  local customer = {bought = struct.unpack('>H', packed), holds = {}}
  for position = 3, #packed, 5 do
    local owner, seats = struct.unpack('>I4B', packed, position)
    customer.holds[#customer.holds + 1] = {owner = owner, seats = seats}
  end
  return customer
end

-- Take a hold off or give it another size (`seats` 0 takes it off), and move the bought count.
function customer_record.change(customers_key, subject, owner, seats, bought_more)
  local customer = customer_record.read(redis.call('HGET', customers_key, subject))
  local packed = struct.pack('>H', math.max(customer.bought + bought_more, 0))
  for _, hold in ipairs(customer.holds) do
    if hold.owner ~= owner then
      packed = customer_entry.added(packed, hold.owner, hold.seats)
    end
  end
  if seats > 0 then
    packed = customer_entry.added(packed, owner, seats)
  end
  redis.call('HDEL', customers_key, subject)
  if packed ~= customer_entry.NOTHING then
    redis.call('HSET', customers_key, subject, packed)
  end
end

return customer_record
