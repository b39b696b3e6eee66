-- What a customer has of a showtime: seats bought (2 bytes), then per hold not yet ended its owner number (4 bytes)
-- and its seats (1 byte). Lapsed holds stay listed until they are ended. The field goes when nothing is left.
local customer_record = {}

local NOTHING = '\0\0'

-- Give {bought, holds = {{owner, seats}, ...}}.
function customer_record.read(packed)
  packed = packed or NOTHING
  local customer = {bought = struct.unpack('>H', packed), holds = {}}
  for position = 3, #packed, 5 do
    local owner, seats = struct.unpack('>I4B', packed, position)
    customer.holds[#customer.holds + 1] = {owner = owner, seats = seats}
  end
  return customer
end

-- The record with one hold more.
function customer_record.added(packed, owner, seats)
  return (packed or NOTHING) .. struct.pack('>I4B', owner, seats)
end

-- Change a record: take a hold off or give it another size (`seats` 0 takes it off), and move the bought count.
function customer_record.change(customers_key, subject, owner, seats, bought_more)
  local customer = customer_record.read(redis.call('HGET', customers_key, subject))
  local parts = {struct.pack('>H', math.max(customer.bought + bought_more, 0))}
  for _, hold in ipairs(customer.holds) do
    if hold.owner ~= owner then
      parts[#parts + 1] = struct.pack('>I4B', hold.owner, hold.seats)
    end
  end
  if seats > 0 then
    parts[#parts + 1] = struct.pack('>I4B', owner, seats)
  end
  local packed = table.concat(parts)
  redis.call('HDEL', customers_key, subject)
  if packed ~= NOTHING then
    redis.call('HSET', customers_key, subject, packed)
  end
end

return customer_record
