/**
 * What instances share, in Redis. The server's clock decides, so that no two instances disagree about
 * it, and each script runs whole, so that no two of them take the same slot or lease.
 *
 * The window of a budget is a sorted set of the slots taken, scored with the time at which each is free
 * again. Every change of it is published, as `id milliseconds until free`, 0 for at once: so each
 * instance knows what was spent when Redis is lost.
 *
 * Keys belong to a generation. When Redis forgets it (a flush, a restart without data) or its clock is
 * set, what the keys say is worth nothing: a new generation begins, into which each instance writes what
 * it knows. Every script but `join` and `renewGeneration` takes the generation's key as KEYS[1] and the
 * generation that the instance is in as ARGV[1], and refuses any other.
 */

/** Stands for a slot's id in a message about a pause. */
export const PAUSE_WORD = 'pause';

/**
 * The part of a budget, as a divisor, that an instance spends when it cannot know whether the others still
 * share, and that the others leave to it. Where there are more instances than this, the divisor is their number.
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

/** An instance that sent no heartbeat for so long may have gone on alone. */
const SILENT_MS = 1_500;

/** KEYS generation; ARGV a generation to begin where there is none. Answers the generation. */
const join = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then return ARGV[1] end
return redis.call('GET', KEYS[1])
`;

/** KEYS generation; ARGV the generation that is to end, the one to begin. Of two instances that ask, the first does it. */
const renewGeneration = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
`;

/**
 * KEYS slots, pause, last, settling, instances, reserved; ARGV limit, windowMs, burst (slots that may go at
 * once), slot id, milliseconds after which a slot that is never settled is free, channel, how many slots must
 * be there at the least, 1 where the slot does not count in the pace yet. Answers 1 or 0 for taken, milliseconds to wait, slots free,
 * milliseconds of pause left, the time.
 *
 * The share of instances that are known and silent is left to them.
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
local heard = math.max(1, redis.call('ZCOUNT', KEYS[6], since, '+inf'))
local share = limit
if heard < known then share = math.floor(limit * heard / known) end
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

/** KEYS slots; ARGV slot id, milliseconds until it is free, channel. A millisecond is added because the clock is read rounded down. */
const settle = `${GUARD}${NOW}
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]) + 1, ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[2] .. ' ' .. ARGV[3])
`;

/** KEYS slots; ARGV milliseconds until free, channel, then ids of slots whose requests are still under way. Those that are there are kept for longer. */
const keep = `${GUARD}${NOW}
for place = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[place]) then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[place])
    redis.call('PUBLISH', ARGV[3], ARGV[place] .. ' ' .. ARGV[2])
  end
end
redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[2]) * 2)
`;

/** KEYS slots; ARGV channel, then ids of slots for which nothing was sent. */
const cancel = `${GUARD}
for place = 3, #ARGV do
  redis.call('ZREM', KEYS[2], ARGV[place])
  redis.call('PUBLISH', ARGV[2], ARGV[place] .. ' 0')
end
`;

/** KEYS pause; ARGV milliseconds, channel. A longer pause is not made shorter. */
const pause = `${GUARD}
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], 1, 'PX', ARGV[2]) end
redis.call('PUBLISH', ARGV[3], '${PAUSE_WORD} ' .. ARGV[2])
`;

/**
 * KEYS slots, pause; ARGV milliseconds to keep slots for at the least, channel, then id and milliseconds
 * until free of each slot that an instance knows of. Where both know of a slot, the earlier end is the
 * more recent; the other instances are sent what Redis did not know. Answers milliseconds of pause left,
 * then all slots as they were given.
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
 * KEYS settling; ARGV instances that are expected, milliseconds that they are expected for. Until each
 * of them has sent a heartbeat, and so has reported what it spent alone, the share of those that have not
 * is left to them. Of several that report, the one that knew most instances decides.
 */
const awaitInstances = `${GUARD}${NOW}
local expected = tonumber(ARGV[2])
local settling = redis.call('GET', KEYS[2])
if settling then expected = math.max(expected, tonumber(string.match(settling, ' (%d+)'))) end
redis.call('SET', KEYS[2], string.format('%.0f %d', now, expected), 'PX', ARGV[3])
`;

/**
 * KEYS instances, settling, reserved; ARGV instance id, milliseconds after which a silent instance is given
 * up, milliseconds for which a part of the budget is left to one that was. Answers how many instances there
 * are, those that are expected included, and the time.
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

/** KEYS instances; ARGV instance id. The instance leaves, and leaves no share unused. */
const leave = `${GUARD}
redis.call('ZREM', KEYS[2], ARGV[2])
`;

/** KEYS ids watched by an instance; ARGV milliseconds to keep them, how many of the ids that follow are added; the others are removed. */
const watchIds = `${GUARD}
local added = tonumber(ARGV[3])
for place = 4, #ARGV do
  redis.call(place - 3 <= added and 'SADD' or 'SREM', KEYS[2], ARGV[place])
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
`;

/** KEYS ids watched by an instance: all are removed. */
const forgetIds = `${GUARD}
redis.call('DEL', KEYS[2])
`;

/** KEYS instances; ARGV prefix of the ids of an instance. Answers every id that any instance watches. */
const watchedIds = `${GUARD}
local keys = {}
for place, instance in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do keys[place] = ARGV[2] .. instance end
return #keys > 0 and redis.call('SUNION', unpack(keys)) or {}
`;

/**
 * KEYS ids watched by an instance, then leases; ARGV instance id, milliseconds of a lease, milliseconds
 * to keep the ids. Answers whether the ids were still there, then 1 for each lease that is held.
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

/** KEYS leases; ARGV instance id. */
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
