-- Put before a script that redis-benchmark runs: it writes random seats as 000000000042, and commands want 42; now
-- and then it draws the same seat twice.
for i = 5, #ARGV do
  ARGV[i] = string.format('%d', ARGV[i])
end
if ARGV[5] == ARGV[6] then
  ARGV[6] = ARGV[5] == '0' and '1' or '0'
end
