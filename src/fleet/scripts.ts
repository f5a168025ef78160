/**
 * The state that instances share in Redis. Scripts use the server's clock, so instances cannot
 * disagree about the time. Each script runs atomically, so two instances cannot take the same slot
 * or lease.
 *
 * The window of a budget is a sorted set of the slots taken, with the time at which each is free
 * again as its score. Every change is published as `id milliseconds until free`, with 0 for a slot
 * that is free at once. So each instance knows what was spent when Redis is disconnected.
 *
 * Keys belong to a generation. When Redis loses its data (a flush, a restart without persistence)
 * or its clock is set, the keys cannot be trusted any more. A new generation begins, and each
 * instance writes what it knows into it. Every script but `join` and `renewGeneration` takes the
 * generation's key as KEYS[1] and the instance's generation as ARGV[1], and fails if they differ.
 */

/** Takes the place of a slot id in a message about a pause. */
export const PAUSE_WORD = 'pause';

/**
 * An instance that cannot know whether the others still share state may spend this fraction of a
 * budget (1/10), and the others leave it free. With more instances than this, the divisor is their
 * number.
 */
export const CUT_OFF_DIVISOR = 10;

const GUARD = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('GENERATION of the shared state is another one')
end
`;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** An instance that sent no heartbeat for this long may have continued without Redis. */
const SILENT_MS = 1_500;

/**
 * KEYS generation; ARGV a name for a new generation if there is none. Returns the current
 * generation.
 */
const join = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then return ARGV[1] end
return redis.call('GET', KEYS[1])
`;

/**
 * KEYS generation; ARGV the generation to end, the one to begin. If two instances call it, only the
 * first has an effect.
 */
const renewGeneration = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
`;

/**
 * KEYS slots, pause, last, settling, instances, reserved; ARGV limit, windowMs, burst (slots that
 * may be taken at once), slot id, milliseconds until an unsettled slot expires, channel, the number
 * of slots that must exist, 1 if the slot does not count in the pace yet. Returns 1 if taken, else
 * 0; milliseconds to wait; free slots; milliseconds of pause left; the time.
 *
 * The share of known but silent instances is left to them.
 */
const take = `${GUARD}${NOW}
local limit, window, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local taken = redis.call('ZCARD', KEYS[2])
if taken < tonumber(ARGV[8]) then return redis.error_reply('FORGOTTEN slots of a budget') end
local known, since = redis.call('ZCARD', KEYS[6]), now - ${SILENT_MS}
local settling = redis.call('GET', KEYS[5])
if settling then
  local backAt, expected = string.match(settling, '(%d+) (%d+)')
  known, since = math.max(known, tonumber(expected)), math.max(since, tonumber(backAt))
end
local active = math.max(1, redis.call('ZCOUNT', KEYS[6], since, '+inf'))
local share = limit
if active < known then share = math.floor(limit * active / known) end
if redis.call('EXISTS', KEYS[7]) == 1 then
  share = math.min(share, limit - math.ceil(limit / math.max(${CUT_OFF_DIVISOR}, known)))
end
limit = math.max(1, share)
local free = limit - taken
local paused = redis.call('PTTL', KEYS[3])
if paused > 0 then return {0, paused, free, paused, now} end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local untilNext = first[2] and tonumber(first[2]) - now or window
local wait = 0
if free <= 0 then
  wait = untilNext > window + window / 100 + 1 and window / limit or untilNext
elseif free <= limit - burst then
  wait = tonumber(redis.call('GET', KEYS[4]) or 0) + math.min(untilNext, window) / free - now
end
if wait > 0 then return {0, math.ceil(wait), free, 0, now} end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[6]), ARGV[5])
if ARGV[9] ~= '1' then redis.call('SET', KEYS[4], now, 'PX', window) end
redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[6]) + window)
redis.call('PUBLISH', ARGV[7], ARGV[5] .. ' ' .. ARGV[6])
return {1, 0, free - 1, 0, now}
`;

/**
 * KEYS slots; ARGV slot id, milliseconds until free, channel. Adds a millisecond because the clock
 * is rounded down.
 */
const settle = `${GUARD}${NOW}
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]) + 1, ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[2] .. ' ' .. ARGV[3])
`;

/**
 * KEYS slots; ARGV milliseconds until free, channel, then ids of slots with open requests. Extends
 * those that exist.
 */
const keep = `${GUARD}${NOW}
for place = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[place]) then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[place])
    redis.call('PUBLISH', ARGV[3], ARGV[place] .. ' ' .. ARGV[2])
  end
end
redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[2]) * 2)
`;

/** KEYS slots; ARGV channel, then ids of slots whose requests were not sent. */
const cancel = `${GUARD}
for place = 3, #ARGV do
  redis.call('ZREM', KEYS[2], ARGV[place])
  redis.call('PUBLISH', ARGV[2], ARGV[place] .. ' 0')
end
`;

/** KEYS pause; ARGV milliseconds, channel. Does not shorten a longer pause. */
const pause = `${GUARD}
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], 1, 'PX', ARGV[2]) end
redis.call('PUBLISH', ARGV[3], '${PAUSE_WORD} ' .. ARGV[2])
`;

/**
 * KEYS slots, pause; ARGV milliseconds to keep the slots at least, channel, then id and
 * milliseconds until free of each slot that the instance knows. If Redis knows the slot too, the
 * earlier time is the more recent one. Slots new to Redis are published. Returns milliseconds of
 * pause left, then all slots as pairs.
 */
const share = `${GUARD}${NOW}
for place = 4, #ARGV, 2 do
  local freeAt, known = now + tonumber(ARGV[place + 1]) + 1, redis.call('ZSCORE', KEYS[2], ARGV[place])
  if not known or freeAt < tonumber(known) then redis.call('ZADD', KEYS[2], freeAt, ARGV[place]) end
  if not known then redis.call('PUBLISH', ARGV[3], ARGV[place] .. ' ' .. ARGV[place + 1]) end
end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
local answer = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES')
for place = 2, #answer, 2 do answer[place] = tonumber(answer[place]) - now end
table.insert(answer, 1, redis.call('PTTL', KEYS[3]))
return answer
`;

/**
 * KEYS settling; ARGV the number of expected instances, milliseconds to expect them. Until each has
 * sent a heartbeat, and so has written what it spent alone, the share of the missing ones is left
 * to them. Of several calls, the highest number counts.
 */
const awaitInstances = `${GUARD}${NOW}
local expected = tonumber(ARGV[2])
local settling = redis.call('GET', KEYS[2])
if settling then expected = math.max(expected, tonumber(string.match(settling, ' (%d+)'))) end
redis.call('SET', KEYS[2], string.format('%.0f %d', now, expected), 'PX', ARGV[3])
`;

/**
 * KEYS instances, settling, reserved; ARGV instance id, milliseconds after which a silent instance
 * is given up, milliseconds for which a part of the budget stays reserved for it. Returns the
 * number of instances, including expected ones, and the time.
 */
const heartbeat = `${GUARD}${NOW}
redis.call('ZADD', KEYS[2], now, ARGV[2])
if redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3])) > 0 then
  redis.call('SET', KEYS[4], 1, 'PX', ARGV[4])
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local known, settling = redis.call('ZCARD', KEYS[2]), redis.call('GET', KEYS[3])
if settling then known = math.max(known, tonumber(string.match(settling, ' (%d+)'))) end
return {known, now}
`;

/** KEYS instances; ARGV instance id. Removes the instance, so that no share is left to it. */
const leave = `${GUARD}
redis.call('ZREM', KEYS[2], ARGV[2])
`;

/**
 * KEYS ids watched by an instance; ARGV milliseconds to keep them, how many of the following ids to
 * add; the others are removed.
 */
const watchIds = `${GUARD}
local added = tonumber(ARGV[3])
for place = 4, #ARGV do
  redis.call(place - 3 <= added and 'SADD' or 'SREM', KEYS[2], ARGV[place])
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
`;

/** KEYS ids watched by an instance. Removes all of them. */
const forgetIds = `${GUARD}
redis.call('DEL', KEYS[2])
`;

/**
 * KEYS instances; ARGV prefix of the keys with an instance's ids. Returns every id that any
 * instance watches.
 */
const watchedIds = `${GUARD}
local keys = {}
for place, instance in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do keys[place] = ARGV[2] .. instance end
return #keys > 0 and redis.call('SUNION', unpack(keys)) or {}
`;

/**
 * KEYS ids watched by an instance, then leases; ARGV instance id, milliseconds of a lease,
 * milliseconds to keep the ids. Returns whether the ids still existed, then for each lease 1 if
 * this instance holds it, else 0.
 */
const renewLeases = `${GUARD}
local answer = {redis.call('PEXPIRE', KEYS[2], ARGV[4])}
for place = 3, #KEYS do
  local holder = redis.call('GET', KEYS[place])
  if holder == ARGV[2] or not holder then redis.call('SET', KEYS[place], ARGV[2], 'PX', ARGV[3]) end
  answer[place - 1] = (holder == ARGV[2] or not holder) and 1 or 0
end
return answer
`;

/** KEYS leases; ARGV instance id. Deletes those leases that the instance holds. */
const releaseLeases = `${GUARD}
for place = 2, #KEYS do
  if redis.call('GET', KEYS[place]) == ARGV[2] then redis.call('DEL', KEYS[place]) end
end
`;

/** Every script, by the name under which a session runs it. */
export const SCRIPTS = {
  join,
  renewGeneration,
  take,
  settle,
  keep,
  cancel,
  pause,
  share,
  awaitInstances,
  heartbeat,
  leave,
  watchIds,
  forgetIds,
  watchedIds,
  renewLeases,
  releaseLeases,
} as const;

export type ScriptName = keyof typeof SCRIPTS;
