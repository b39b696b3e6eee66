-- What a customer has of a showtime: seats bought (2 bytes), then per hold not yet ended its owner number (4 bytes)
-- and its seats (1 byte). Lapsed holds stay listed until they are ended. The field goes when nothing is left.
local customer_entry = {}

customer_entry.NOTHING = '\0\0'

-- The entry with one hold more; `entry` is false for a new customer.
function customer_entry.added(entry, owner, seats)
  return (entry or customer_entry.NOTHING) .. struct.pack('>I4B', owner, seats)
end

return customer_entry
