-- Put before a script that redis-benchmark runs: it writes random seats as 000000000042, and commands want 42.
for i = 5, #ARGV do
  ARGV[i] = string.format('%d', ARGV[i])
end
