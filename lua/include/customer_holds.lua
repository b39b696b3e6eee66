-- A customer's holds of one showtime, live and lapsed: only live ones count for the limits.
-- include: holds
-- include: end_hold
local customer_holds = {}

-- Gives {live, lapsed: lists of holds; seats: of the live ones}, or nil if the keys contradict each other, or there is
-- no record of the customer that could be read.
function customer_holds.read(keys, meta, customer, now_ms)
  if not customer then
    return nil
  end
  local found = {live = {}, lapsed = {}, seats = 0}
  for _, owner in ipairs(customer.holds) do
    local hold = holds.read(keys, owner, meta.policy, now_ms)
    if not hold or not end_hold.sound(keys, meta, hold) then
      return nil
    end
    if hold.lapsed then
      table.insert(found.lapsed, hold)
    else
      table.insert(found.live, hold)
      found.seats = found.seats + #hold.seats
    end
  end
  return found
end

-- Flat list of owner, claimed_at_ms: what Python makes hold ids of.
function customer_holds.names(list)
  local names = {}
  for i, hold in ipairs(list) do
    names[2 * i - 1], names[2 * i] = hold.owner, hold.claimed_at_ms
  end
  return names
end

return customer_holds
