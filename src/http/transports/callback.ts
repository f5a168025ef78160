import type { ExecutionResult } from 'graphql';
import { type FetchAPI, type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { mediaRangesOf } from './accept.ts';
import type { CallbackSender } from './callback-sender.ts';
import type { MaskError } from '../access/mask-error.ts';
import { withHttp } from '../access/refusal.ts';

/** Where a router wants the events of a subscription, and how it knows that they are meant for it. */
interface Target {
  url: URL;
  id: string;
  verifier: string;
  /** 0: it wants no heartbeat. */
  heartbeatMs: number;
}

export interface SubscriptionCallbacksParts {
  sender: CallbackSender;
  maskError: MaskError;
  clock: Clock;
  /** Whether this request may have events sent to a place that it names. */
  isTrusted(request: Request): Promise<boolean>;
}

/** Subscriptions whose events are sent to a router. */
export interface SubscriptionCallbacks {
  plugin: Plugin;
  /** Tells every router that its subscriptions are over. */
  close(): Promise<void>;
}

// Of the interval that a router names: some take one that is only just missed for the last.
const HEARTBEAT_SHARE = 0.75;
const DEFAULT_HEARTBEAT_MS = 5_000;
const MIN_HEARTBEAT_MS = 1_000;
const MAX_MISSED = 5;

/**
 * Apollo's HTTP callback protocol, `callbackSpec=1.0`: a router asks for a subscription with a URL, is
 * asked there whether it means it, and is sent each event, with heartbeats between them. What it refuses
 * ends the subscription; what does not reach it is sent again.
 */
export function createSubscriptionCallbacks(
  parts: SubscriptionCallbacksParts,
): SubscriptionCallbacks {
  const { sender, maskError, clock, isTrusted } = parts;
  const targets = new WeakMap<Request, Target>();
  const running = new Set<(errors: object[]) => Promise<void>>();
  let isClosing = false;

  return {
    plugin: {
      async onParams({ request, params, setResult }) {
        const wanted = (params.extensions as Record<string, unknown> | undefined)?.['subscription'];
        if (!wanted || !wantsCallback(request)) return;
        try {
          const target = readTarget(wanted);
          if (isClosing) throw shuttingDown();
          if (!sender.allows(target.url) || !(await isTrusted(request)))
            throw new GatewayError('FORBIDDEN', 'No events are sent to this place.');
          targets.set(request, target);
        } catch (error) {
          setResult(refusal(error));
        }
      },
      onResultProcess({ request, result, setResultProcessor }) {
        const target = targets.get(request);
        if (target === undefined || !isAsyncIterable(result)) return;
        setResultProcessor(
          (results, fetchAPI) => begin(results as AsyncIterable<ExecutionResult>, target, fetchAPI),
          'application/json',
        );
      },
    },
    async close() {
      isClosing = true;
      const { message, extensions } = maskError(shuttingDown());
      await Promise.all([...running].map(stop => stop([{ message, extensions }])));
      await sender.close();
    },
  };

  /** The answer to the router that asked, once it has confirmed. */
  async function begin(
    results: AsyncIterable<ExecutionResult>,
    target: Target,
    { Response }: FetchAPI,
  ): Promise<Response> {
    const events = results[Symbol.asyncIterator]();
    const delivery = await tell(target, 'check', { isRepeated: true });
    if (delivery === 'taken' && !isClosing) {
      void run(events, target).catch((error: unknown) => maskError(error));
      return Response.json(
        { data: null },
        { headers: { 'subscription-protocol': 'callback/1.0' } },
      );
    }
    await events.return?.();
    const { message, extensions } = maskError(
      new GatewayError('FORBIDDEN', 'The place for the events did not confirm that it wants them.'),
    );
    return Response.json({ errors: [{ message, extensions }] }, { status: 403 });
  }

  async function run(events: AsyncIterator<ExecutionResult>, target: Target): Promise<void> {
    let isOver = false;
    let missed = 0;
    let cancelHeartbeat = () => {};
    const leave = async () => {
      isOver = true;
      cancelHeartbeat();
      running.delete(stop);
      await events.return?.();
    };
    const stop = async (errors: object[]) => {
      await leave();
      await tell(target, 'complete', { errors, isRepeated: false });
    };
    const beatOn = () => {
      cancelHeartbeat = clock.after(
        target.heartbeatMs * HEARTBEAT_SHARE,
        // Nobody is left to be told, but the log.
        () => void beat().catch((error: unknown) => maskError(error)),
      );
    };
    const beat = async () => {
      const delivery = await tell(target, 'check', { isRepeated: false });
      missed = delivery === 'failed' ? missed + 1 : 0;
      if (isOver) return;
      if (delivery === 'refused' || missed >= MAX_MISSED) await leave();
      else beatOn();
    };

    running.add(stop);
    if (target.heartbeatMs > 0) beatOn();
    // One after another: what a slow router has yet to be told is the newest, and waits in the mailbox.
    for (let next = await events.next(); !next.done; next = await events.next()) {
      if (isOver) return;
      const delivery = await tell(target, 'next', { payload: next.value, isRepeated: true });
      if (delivery !== 'taken') await leave();
      if (isOver) return;
    }
    if (isOver) return;
    await leave();
    await tell(target, 'complete', { isRepeated: true });
  }

  function tell(
    { url, id, verifier }: Target,
    action: 'check' | 'next' | 'complete',
    { isRepeated, ...more }: { isRepeated: boolean; payload?: unknown; errors?: object[] },
  ) {
    return sender.send(
      url,
      { kind: 'subscription', action, id, verifier, ...more },
      { isRepeated },
    );
  }

  function refusal(error: unknown): ExecutionResult {
    const masked = maskError(error);
    const status = masked.extensions['code'] === 'FORBIDDEN' ? 403 : 400;
    return { errors: [withHttp(masked, { status })] };
  }
}

function shuttingDown(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
}

function wantsCallback(request: Request): boolean {
  return mediaRangesOf(request).some(
    ({ type, parameters }) =>
      type === 'application/json' && parameters.includes('callbackspec=1.0'),
  );
}

function readTarget(wanted: unknown): Target {
  const {
    callbackUrl,
    subscriptionId,
    verifier,
    heartbeatIntervalMs = DEFAULT_HEARTBEAT_MS,
  } = wanted as Record<string, unknown>;
  const url = typeof callbackUrl === 'string' && URL.canParse(callbackUrl);
  const isBeat =
    heartbeatIntervalMs === 0 ||
    (typeof heartbeatIntervalMs === 'number' && heartbeatIntervalMs >= MIN_HEARTBEAT_MS);
  if (!url || typeof subscriptionId !== 'string' || typeof verifier !== 'string' || !isBeat)
    throw new GatewayError(
      'BAD_USER_INPUT',
      `\`extensions.subscription\` wants a \`callbackUrl\`, a \`subscriptionId\`, a \`verifier\`, and a \`heartbeatIntervalMs\` that is 0 or ${MIN_HEARTBEAT_MS} at the least.`,
    );
  return {
    url: new URL(callbackUrl),
    id: subscriptionId,
    verifier,
    heartbeatMs: heartbeatIntervalMs,
  };
}
