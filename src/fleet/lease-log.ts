import type { Log } from '../log.ts';

/** Logs which leases this instance obtains and loses, and counts those that it holds. */
export interface LeaseLog {
  readonly held: number;
  /** `name` is that of the lease within its group: `tasks`, or `list` and its filter. */
  changed(name: string, isHeld: boolean): void;
}

export function createLeaseLog(log: Pick<Log, 'info'>): LeaseLog {
  let held = 0;
  return {
    get held() {
      return held;
    },
    changed(name, isHeld) {
      held += isHeld ? 1 : -1;
      // Without the filter of a list, which holds what a caller sent.
      const [lease] = name.split(' ', 1);
      log.info({ lease }, isHeld ? 'lease taken: this instance polls' : 'lease lost or given up');
    },
  };
}
