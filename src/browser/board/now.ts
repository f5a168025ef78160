import { useEffect, useState } from 'preact/hooks';

/** Milliseconds since the page's start, anew each second. */
export function useNow(): number {
  const [nowMs, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return nowMs;
}
