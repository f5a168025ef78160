/**
 * The window of one budget in Redis: a sorted set of the slots taken, scored with the moment at which
 * each is free again. The server's clock decides, so that no two instances disagree about it, and each
 * script runs whole, so that no two of them take the same slot.
 */

/**
 * KEYS slots, pause, last; ARGV limit, windowMs, burst (the slots that may go at once), slot id,
 * milliseconds after which a slot whose instance never settled it is free.
 * Answers 1 or 0 for taken, milliseconds to wait, slots free, milliseconds of pause left.
 */
export const TAKE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
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
return {1, 0, free - 1, 0}
`;

/** KEYS slots; ARGV windowMs, slot id. A millisecond is added because the clock is read rounded down. */
export const SETTLE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]) + 1, ARGV[2])
`;

/** KEYS pause; ARGV milliseconds. A longer pause is not made shorter. */
export const PAUSE = `
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
`;

/** KEYS instances; ARGV instance id, milliseconds after which one that is not heard of is gone. Answers how many there are. */
export const HEARTBEAT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
`;
