import type { IncomingHttpHeaders } from 'node:http';

export interface CallersOptions {
  /** Whether whoever reaches the gateway is served with its own credentials. */
  isOpen: boolean;
  /** Origins of browsers that may call, besides the gateway's own. */
  corsOrigins: readonly string[];
}

/** Tells callers from pages of strangers that a browser of theirs has open. */
export interface Callers {
  /** Whether the request is meant for this gateway. A stranger's name may be made to lead to this machine. */
  isMeantFor(headers: IncomingHttpHeaders): boolean;
  /** Whether what opens a socket may: browsers ask nobody before they do, and tell the page all. */
  mayOpenSocket(headers: IncomingHttpHeaders): boolean;
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

export function createCallers({ isOpen, corsOrigins }: CallersOptions): Callers {
  return {
    isMeantFor({ host = '' }) {
      const url = `http://${host}`;
      if (!URL.canParse(url)) return false;
      return !isOpen || LOOPBACK.test(new URL(url).hostname);
    },
    // What is no browser sends no Origin.
    mayOpenSocket: ({ origin, host }) =>
      origin === undefined ||
      corsOrigins.includes(origin) ||
      (URL.canParse(origin) && new URL(origin).host === host),
  };
}
