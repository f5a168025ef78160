/**
 * All keys have the same hash tag, so that one cluster node holds them all. The number is the
 * version of their format.
 */
export const KEY_PREFIX = '{task-status-gateway:2}';

/** Holds the name of the current generation, to which all other keys belong. */
export const GENERATION_KEY = `${KEY_PREFIX}:generation`;

/** Names of the keys of one generation. */
export function keysOf(generation: string) {
  const prefix = `${KEY_PREFIX}:${generation}`;
  return {
    instances: `${prefix}:instances`,
    settling: `${prefix}:settling`,
    reserved: `${prefix}:reserved`,
    budget(name: string) {
      const budget = `${prefix}:budget:${name}`;
      return { slots: `${budget}:slots`, pause: `${budget}:pause`, last: `${budget}:last` };
    },
    idsOf: (group: string, instanceId: string) => `${prefix}:group:${group}:ids:${instanceId}`,
    lease: (group: string, lease: string) => `${prefix}:group:${group}:lease:${lease}`,
  };
}

/** Channels do not depend on the generation, because their messages hold in any. */
export const CHANNELS = {
  budget: (name: string) => `${KEY_PREFIX}:budget:${name}`,
  group: (name: string) => `${KEY_PREFIX}:group:${name}`,
  selfTest: (instanceId: string) => `${KEY_PREFIX}:self-test:${instanceId}`,
};
