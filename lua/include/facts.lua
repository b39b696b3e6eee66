-- Facts: what happened, appended to the partition's stream in the same step as the change, numbered by seq.
-- include: showtime
local facts = {}

-- `data` is a table that becomes JSON. Gives the fact's seq.
function facts.emit(facts_key, meta_key, generation, kind, id, now_ms, data, trace)
  local seq = redis.call('HINCRBY', meta_key, 'seq', 1)
  redis.call('XADD', facts_key, '*', 'kind', kind, 'showtime', showtime.number(meta_key), 'generation', generation,
    'seq', seq, 'id', id, 'at', now_ms, 'data', cjson.encode(data), 'trace', trace)
  return seq
end

return facts
