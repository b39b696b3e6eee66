-- Reading and changing what a customer has of a showtime.
-- include: formats
local customer_record = {}

-- Give {bought, lapses, lapsed_ms, holds = {owner, ...}}, or nil if it is no such record; `packed` is false
-- for a new customer. `lapsed_ms` is when the latest of the lapses was.
function customer_record.read(packed)
  packed = packed or formats.NO_CUSTOMER
  if #packed < formats.CUSTOMER_BYTES then
    return nil
  end
  local customer = {bought = struct.unpack(formats.CUSTOMER, packed), lapses = 0, lapsed_ms = 0, holds = {}}
  local first = formats.CUSTOMER_BYTES + 1
  if customer.bought >= formats.WITH_LAPSES then
    customer.bought = customer.bought - formats.WITH_LAPSES
    if #packed < formats.CUSTOMER_BYTES + formats.LAPSES_BYTES then
      return nil
    end
    customer.lapses, customer.lapsed_ms, first = struct.unpack(formats.LAPSES, packed, first)
  end
  if (#packed + 1 - first) % formats.OWNER_BYTES ~= 0 then
    return nil
  end
  for position = first, #packed, formats.OWNER_BYTES do
    customer.holds[#customer.holds + 1] = struct.unpack(formats.OWNER, packed, position)
  end
  return customer
end

-- Find the record of a customer: as read.
function customer_record.find(meta_key, subject)
  return customer_record.read(redis.call('HGET', meta_key, subject))
end

-- Write a record, or take it away when nothing is left in it. Begins with a deletion.
function customer_record.save(meta_key, subject, customer)
  local packed
  if customer.lapses > 0 then
    packed = struct.pack(formats.CUSTOMER, customer.bought + formats.WITH_LAPSES)
      .. struct.pack(formats.LAPSES, customer.lapses, customer.lapsed_ms)
  else
    packed = struct.pack(formats.CUSTOMER, customer.bought)
  end
  for _, owner in ipairs(customer.holds) do
    packed = packed .. struct.pack(formats.OWNER, owner)
  end
  redis.call('HDEL', meta_key, subject)
  if packed ~= formats.NO_CUSTOMER then
    redis.call('HSET', meta_key, subject, packed)
  end
end

-- Take a hold off the list (0 is none), and move the bought count. A record that cannot be read begins anew: the caller
-- is in the middle of its change.
function customer_record.drop(meta_key, subject, gone, bought_more)
  local customer = customer_record.find(meta_key, subject) or customer_record.read(false)
  local left = {}
  for _, owner in ipairs(customer.holds) do
    if owner ~= gone then
      table.insert(left, owner)
    end
  end
  customer.holds = left
  customer.bought = math.min(math.max(customer.bought + bought_more, 0), formats.WITH_LAPSES - 1)
  customer_record.save(meta_key, subject, customer)
end

-- Put a hold on the list of a customer whose record was read.
function customer_record.add(meta_key, subject, owner)
  local customer = customer_record.find(meta_key, subject)
  table.insert(customer.holds, owner)
  customer_record.save(meta_key, subject, customer)
end

return customer_record
