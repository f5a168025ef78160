import type { ExecutionResult } from 'graphql';
import { type FetchAPI, type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { mediaRangesOf } from './accept.ts';
import type { CallbackSender } from './callback-sender.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { RequestShare } from '../access/request-space.ts';
import { withHttp } from '../access/refusal.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import { type Drain, shuttingDown } from './drain.ts';
import { jsonOf } from './result-json.ts';
import type { TransportContext } from './transport-context.ts';

/** Where the events of a subscription are sent, and the values that identify it to the router. */
interface Target {
  url: URL;
  id: string;
  verifier: string;
  /** 0: no heartbeats. */
  heartbeatMs: number;
}

/** The request that subscribes. */
interface Subscribing {
  target: Target;
  /** What its body takes of the space for requests. */
  share: RequestShare | undefined;
  record: OperationRecord | undefined;
}

export interface SubscriptionCallbacksParts {
  sender: CallbackSender;
  maskError: MaskError;
  drain: Drain;
  clock: Clock;
  /** Whether this request may name a URL for events. */
  isTrusted(request: Request): Promise<boolean>;
}

/** Serves subscriptions whose events are posted to a router. */
export interface SubscriptionCallbacks {
  plugin: Plugin;
  close(): Promise<void>;
}

// Heartbeats are sent after this share of the requested interval, because routers may end a
// subscription whose heartbeat is slightly late.
const HEARTBEAT_SHARE = 0.75;
const DEFAULT_HEARTBEAT_MS = 5_000;
const MIN_HEARTBEAT_MS = 1_000;
const MAX_MISSED = 5;

/**
 * Apollo's HTTP callback protocol, `callbackSpec=1.0`. A router subscribes with a callback URL. The
 * gateway posts a `check` there, which the router must confirm, then each event, with heartbeats in
 * between. A refused message ends the subscription; a message that fails is retried.
 */
export function createSubscriptionCallbacks(
  parts: SubscriptionCallbacksParts,
): SubscriptionCallbacks {
  const { sender, maskError, drain, clock, isTrusted } = parts;
  const targets = new WeakMap<Request, Target>();

  return {
    plugin: {
      async onParams({ request, params, setResult }) {
        const extension = (params.extensions as Record<string, unknown> | undefined)?.[
          'subscription'
        ];
        if (!extension || !acceptsCallback(request)) return;
        try {
          const target = readTarget(extension);
          if (!sender.allows(target.url) || !(await isTrusted(request)))
            throw new GatewayError('FORBIDDEN', 'Events may not be sent to this callback URL.');
          targets.set(request, target);
        } catch (error) {
          setResult(refusal(error));
        }
      },
      onResultProcess({ request, result, serverContext, setResultProcessor }) {
        const target = targets.get(request);
        if (target === undefined || !isAsyncIterable(result)) return;
        const { share, record } = serverContext as TransportContext;
        setResultProcessor(
          (results, fetchAPI) =>
            start(results as AsyncIterable<ExecutionResult>, { target, share, record }, fetchAPI),
          'application/json',
        );
      },
    },
    close: () => sender.close(),
  };

  /** Responds to the router after it has confirmed the callback. */
  async function start(
    results: AsyncIterable<ExecutionResult>,
    { target, share, record }: Subscribing,
    { Response }: FetchAPI,
  ): Promise<Response> {
    const events = results[Symbol.asyncIterator]();
    const delivery = await send(target, 'check', { isRetried: true });
    if (delivery === 'accepted') {
      // What the body became is held by the subscription.
      const held = share?.handOver();
      void run(events, target)
        .catch((error: unknown) => maskError(error))
        .finally(() => held?.close());
      return Response.json(
        { data: null },
        { headers: { 'subscription-protocol': 'callback/1.0' } },
      );
    }
    const error = maskError(
      new GatewayError('FORBIDDEN', 'The callback URL did not confirm the subscription.'),
    );
    record?.streamEnded({ errors: [error] });
    await events.return?.();
    const { message, extensions } = error;
    return Response.json({ errors: [{ message, extensions }] }, { status: 403 });
  }

  async function run(events: AsyncIterator<ExecutionResult>, target: Target): Promise<void> {
    let isOver = false;
    let missed = 0;
    let cancelHeartbeat = () => {};
    const unsubscribe = async () => {
      isOver = true;
      cancelHeartbeat();
      await events.return?.();
    };
    const stop = async () => {
      const { message, extensions } = maskError(shuttingDown());
      await unsubscribe();
      await send(target, 'complete', { errors: [{ message, extensions }], isRetried: false });
    };
    const scheduleHeartbeat = () => {
      cancelHeartbeat = clock.after(
        target.heartbeatMs * HEARTBEAT_SHARE,
        // Errors only go to the log: the subscription's request was answered long ago.
        () => void sendHeartbeat().catch((error: unknown) => maskError(error)),
      );
    };
    const sendHeartbeat = async () => {
      const delivery = await send(target, 'check', { isRetried: false });
      missed = delivery === 'failed' ? missed + 1 : 0;
      if (isOver) return;
      if (delivery === 'refused' || missed >= MAX_MISSED) await unsubscribe();
      else scheduleHeartbeat();
    };

    const deliver = async () => {
      if (target.heartbeatMs > 0) scheduleHeartbeat();
      // Sequential, so that the mailbox can merge events while the router is slow.
      for (let next = await events.next(); !next.done; next = await events.next()) {
        if (isOver) return;
        const delivery = await send(target, 'next', { payload: next.value, isRetried: true });
        if (delivery !== 'accepted') await unsubscribe();
        if (isOver) return;
      }
      if (isOver) return;
      await unsubscribe();
      await send(target, 'complete', { isRetried: true });
    };

    let interrupted = Promise.resolve();
    const stream = {
      interrupt() {
        interrupted = stop().catch((error: unknown) => void maskError(error));
      },
    };
    drain.add(stream);
    try {
      await deliver();
    } finally {
      await interrupted;
      drain.remove(stream);
    }
  }

  function send(
    { url, id, verifier }: Target,
    action: 'check' | 'next' | 'complete',
    {
      isRetried,
      payload,
      errors,
    }: { isRetried: boolean; payload?: ExecutionResult; errors?: object[] },
  ) {
    const message = JSON.stringify({ kind: 'subscription', action, id, verifier, errors });
    const whole = payload ? `${message.slice(0, -1)},"payload":${jsonOf(payload).text}}` : message;
    return sender.send(url, whole, { isRetried });
  }

  function refusal(error: unknown): ExecutionResult {
    const masked = maskError(error);
    const status = masked.extensions['code'] === 'FORBIDDEN' ? 403 : 400;
    return { errors: [withHttp(masked, { status })] };
  }
}

function acceptsCallback(request: Request): boolean {
  return mediaRangesOf(request).some(
    ({ type, parameters }) =>
      type === 'application/json' && parameters.includes('callbackspec=1.0'),
  );
}

function readTarget(extension: unknown): Target {
  const {
    callbackUrl,
    subscriptionId,
    verifier,
    heartbeatIntervalMs = DEFAULT_HEARTBEAT_MS,
  } = extension as Record<string, unknown>;
  const url = typeof callbackUrl === 'string' && URL.canParse(callbackUrl);
  const isHeartbeat =
    heartbeatIntervalMs === 0 ||
    (typeof heartbeatIntervalMs === 'number' && heartbeatIntervalMs >= MIN_HEARTBEAT_MS);
  if (!url || typeof subscriptionId !== 'string' || typeof verifier !== 'string' || !isHeartbeat)
    throw new GatewayError(
      'BAD_USER_INPUT',
      `\`extensions.subscription\` must have a \`callbackUrl\`, a \`subscriptionId\`, a \`verifier\`, and a \`heartbeatIntervalMs\` that is 0 or at least ${MIN_HEARTBEAT_MS}.`,
    );
  return {
    url: new URL(callbackUrl),
    id: subscriptionId,
    verifier,
    heartbeatMs: heartbeatIntervalMs,
  };
}
