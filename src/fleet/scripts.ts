/**
 * What instances share, in Redis. The server's clock decides, so that no two instances disagree about
 * it, and each script runs whole, so that no two of them take the same slot or lease.
 *
 * The window of a budget is a sorted set of the slots taken, scored with the moment at which each is
 * free again. Every change of it is published, as `id milliseconds until free`, 0 for at once: so each
 * instance knows what was spent when Redis is lost.
 */

/** What stands for a slot's id in a message about a pause. */
export const PAUSE_WORD = 'pause';

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** An instance that is not heard of for so long may have gone on alone. */
const SILENT_MS = 1_500;

/**
 * KEYS slots, pause, last, settling, instances; ARGV limit, windowMs, burst (the slots that may go at
 * once), slot id, milliseconds after which a slot whose instance never settled it is free, channel.
 * Answers 1 or 0 for taken, milliseconds to wait, slots free, milliseconds of pause left.
 *
 * The share of instances that are known and silent is left to them.
 */
export const TAKE = `${NOW}
local limit, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known, since = redis.call('ZCARD', KEYS[5]), now - ${SILENT_MS}
local settling = redis.call('GET', KEYS[4])
if settling then
  local backAt, expected = string.match(settling, '(%d+) (%d+)')
  known, since = math.max(known, tonumber(expected)), math.max(since, tonumber(backAt))
end
local heard = math.max(1, redis.call('ZCOUNT', KEYS[5], since, '+inf'))
if heard < known then limit = math.max(1, math.floor(limit * heard / known)) end
local free = limit - redis.call('ZCARD', KEYS[1])
local paused = redis.call('PTTL', KEYS[2])
if paused > 0 then return {0, paused, free, paused} end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local untilNext = first[2] and tonumber(first[2]) - now or window
local wait = 0
if free <= 0 then
  wait = untilNext > window + 1 and window / limit or untilNext
elseif free <= limit - burst then
  wait = tonumber(redis.call('GET', KEYS[3]) or 0) + math.min(untilNext, window) / free - now
end
if wait > 0 then return {0, math.ceil(wait), free, 0} end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[5]), ARGV[4])
redis.call('SET', KEYS[3], now, 'PX', window)
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[5]) + window)
redis.call('PUBLISH', ARGV[6], ARGV[4] .. ' ' .. ARGV[5])
return {1, 0, free - 1, 0}
`;

/** KEYS slots; ARGV slot id, milliseconds until it is free, channel. A millisecond is added because the clock is read rounded down. */
export const SETTLE = `${NOW}
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]) + 1, ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[1] .. ' ' .. ARGV[2])
`;

/** KEYS slots; ARGV slot id, channel. */
export const CANCEL = `
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1] .. ' 0')
`;

/** KEYS pause; ARGV milliseconds, channel. A longer pause is not made shorter. */
export const PAUSE = `
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
redis.call('PUBLISH', ARGV[2], '${PAUSE_WORD} ' .. ARGV[1])
`;

/**
 * KEYS slots, pause; ARGV milliseconds to keep slots for at the least, channel, then id and milliseconds
 * until free of each slot that an instance knows of. Where both know of a slot, the earlier end is the
 * later news; what is news is told to the others. Answers milliseconds of pause left, then all slots as
 * they were given.
 */
export const SHARE = `${NOW}
for place = 3, #ARGV, 2 do
  local freeAt, known = now + tonumber(ARGV[place + 1]) + 1, redis.call('ZSCORE', KEYS[1], ARGV[place])
  if not known or freeAt < tonumber(known) then redis.call('ZADD', KEYS[1], freeAt, ARGV[place]) end
  if not known then redis.call('PUBLISH', ARGV[2], ARGV[place] .. ' ' .. ARGV[place + 1]) end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
local answer = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES')
for place = 2, #answer, 2 do answer[place] = tonumber(answer[place]) - now end
table.insert(answer, 1, redis.call('PTTL', KEYS[2]))
return answer
`;

/**
 * KEYS settling; ARGV instances that are expected, milliseconds that they are expected for. Until each
 * of them has been heard of, and so has said what it spent alone, the share of those that were not is
 * left to them.
 */
export const AWAIT_INSTANCES = `${NOW}
redis.call('SET', KEYS[1], string.format('%d %d', now, ARGV[1]), 'PX', ARGV[2])
`;

/** KEYS instances; ARGV instance id, milliseconds after which one that is not heard of is gone. Answers how many there are. */
export const HEARTBEAT = `${NOW}
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
`;

/** KEYS ids watched by an instance; ARGV milliseconds to keep them, how many of the ids that follow are added; the others are removed. */
export const WATCH = `
local added = tonumber(ARGV[2])
for place = 3, #ARGV do
  redis.call(place - 2 <= added and 'SADD' or 'SREM', KEYS[1], ARGV[place])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
`;

/** KEYS ids watched by an instance: what was said of them is forgotten. */
export const FORGET = `
redis.call('DEL', KEYS[1])
`;

/** KEYS instances; ARGV prefix of the ids of an instance. Answers every id that any instance watches. */
export const WATCHED = `
local keys = {}
for place, instance in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do keys[place] = ARGV[1] .. instance end
return #keys > 0 and redis.call('SUNION', unpack(keys)) or {}
`;

/**
 * KEYS ids watched by an instance, then leases; ARGV instance id, milliseconds of a lease, milliseconds
 * to keep the ids. Answers whether the ids were still there, then 1 for each lease that is held.
 */
export const RENEW = `
local answer = {redis.call('PEXPIRE', KEYS[1], ARGV[3])}
for place = 2, #KEYS do
  local holder = redis.call('GET', KEYS[place])
  if holder == ARGV[1] or not holder then redis.call('SET', KEYS[place], ARGV[1], 'PX', ARGV[2]) end
  answer[place] = (holder == ARGV[1] or not holder) and 1 or 0
end
return answer
`;

/** KEYS leases; ARGV instance id. */
export const RELEASE = `
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
`;
