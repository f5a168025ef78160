import { failureCodeOf } from '../errors.ts';

/**
 * Called if a request must wait for its token: until it is fetched, or until upstream accepts it
 * for another request. What it returns is called when the wait has ended, with the reason if it
 * failed.
 */
export type OnTokenWait = () => (failureCode?: string) => void;

/** Waits for `token`, and tells `onWait` of it. */
export async function waitForToken<T>(token: Promise<T>, onWait?: OnTokenWait): Promise<T> {
  const onEnd = onWait?.();
  try {
    const result = await token;
    onEnd?.();
    return result;
  } catch (error) {
    onEnd?.(failureCodeOf(error));
    throw error;
  }
}
