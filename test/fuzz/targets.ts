import type { FuzzTarget } from './fuzz-target.ts';
import { HTTP_TARGETS } from './http-targets.ts';
import { PURE_TARGETS } from './pure-targets.ts';
import { SOCKET_TARGETS } from './socket-targets.ts';
import { STREAM_TARGETS } from './stream-targets.ts';
import { UPSTREAM_TARGETS } from './upstream-targets.ts';

/** Every part of the gateway that takes input from outside. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...PURE_TARGETS,
  ...HTTP_TARGETS,
  ...STREAM_TARGETS,
  ...SOCKET_TARGETS,
  ...UPSTREAM_TARGETS,
];
