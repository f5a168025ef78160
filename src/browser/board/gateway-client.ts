import { createClient } from 'graphql-sse';

/** A failure of an operation, with the code of its first error where the gateway sent one. */
export class OperationError extends Error {
  override readonly name = 'OperationError';
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }

  /** Whether the same operation may succeed later without a change by the user. */
  get isTemporary(): boolean {
    return this.code === null || TEMPORARY.has(this.code);
  }
}

export interface SubscriptionSink<Data> {
  next(data: Data): void;
  /** The stream has ended: with an error, or null after its regular end. */
  end(error: OperationError | null): void;
}

/** The public GraphQL API of the gateway that served this page. */
export interface GatewayClient {
  query<Data>(document: string, variables: object): Promise<Data>;
  /** Returns a function that ends the subscription without a call of `end`. */
  subscribe<Data>(document: string, variables: object, sink: SubscriptionSink<Data>): () => void;
  /** Sets the bearer token for all operations from now on. It is kept in memory only. */
  useToken(token: string | null): void;
  /**
   * Milliseconds since 1970 by the gateway's clock. Before its first answer, by that of this
   * computer.
   */
  now(): number;
}

interface Answer<Data> {
  data?: Data | null;
  errors?: readonly { message: string; extensions?: Record<string, unknown> }[];
}

const TEMPORARY = new Set([
  'RATE_LIMITED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_INVALID_RESPONSE',
  'INTERNAL_SERVER_ERROR',
  'SHUTTING_DOWN',
]);
// The gateway sends a heartbeat every few seconds. A stream that is silent for longer is dead.
const SILENCE_MS = 20_000;
// The Date header has whole seconds, and is a moment old. Clocks that are as close as that are
// taken as equal.
const CLOCK_TOLERANCE_MS = 3_000;

export function createGatewayClient(url: string): GatewayClient {
  let token: string | null = null;
  // How far the gateway's clock is ahead of this computer's.
  let aheadMs = 0;
  const headers = (): Record<string, string> =>
    token === null ? {} : { authorization: `Bearer ${token}` };
  return {
    useToken(value) {
      token = value;
    },
    now: () => Date.now() + aheadMs,
    async query<Data>(query: string, variables: object) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', ...headers() },
        body: JSON.stringify({ query, variables }),
      }).catch(() => {
        throw new OperationError('The gateway does not answer.', null);
      });
      compareClocks(response);
      const answer = await readAnswer<Data>(response);
      const error = errorOf(answer);
      if (answer.data === null || answer.data === undefined)
        throw error ?? new OperationError('The gateway sent no data.', null);
      return answer.data;
    },
    subscribe<Data>(query: string, variables: object, sink: SubscriptionSink<Data>) {
      let hasEnded = false;
      let lastError: OperationError | null = null;
      let silence = 0;
      const client = createClient({ url, headers, retryAttempts: 0, fetchFn: fetchWatched });
      const listen = () => {
        clearTimeout(silence);
        silence = setTimeout(
          () => end(new OperationError('The connection is silent.', null)),
          SILENCE_MS,
        );
      };
      const close = client.subscribe(
        { query, variables: { ...variables } },
        {
          next(result) {
            if (hasEnded) return;
            const answer = result as Answer<Data>;
            lastError = errorOf(answer);
            if (answer.data !== null && answer.data !== undefined) sink.next(answer.data);
          },
          error: error => void fail(error),
          complete: () => end(lastError),
        },
      );
      return dispose;

      async function fail(error: unknown) {
        end(await toOperationError(error));
      }

      function end(error: OperationError | null) {
        if (hasEnded) return;
        dispose();
        sink.end(error);
      }

      function dispose() {
        hasEnded = true;
        clearTimeout(silence);
        close();
      }

      async function fetchWatched(input: RequestInfo, init?: RequestInit) {
        listen();
        const response = await fetch(input, init);
        compareClocks(response);
        if (response.body === null) return response;
        const body = response.body.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            transform(chunk, controller) {
              if (!hasEnded) listen();
              controller.enqueue(chunk);
            },
          }),
        );
        return new Response(body, response);
      }
    },
  };

  function compareClocks(response: Response) {
    const ms = Date.parse(response.headers.get('date') ?? '') - Date.now();
    if (!Number.isNaN(ms)) aheadMs = Math.abs(ms) > CLOCK_TOLERANCE_MS ? ms : 0;
  }
}

async function readAnswer<Data>(response: Response): Promise<Answer<Data>> {
  const answer: unknown = await response.json().catch(() => null);
  if (typeof answer === 'object' && answer !== null) return answer;
  // A proxy in between answers with a page of its own.
  throw new OperationError(`The gateway answered with status ${response.status}.`, null);
}

function errorOf({ errors }: Answer<unknown>): OperationError | null {
  const [error] = errors ?? [];
  if (error === undefined) return null;
  const code = error.extensions?.['code'];
  return new OperationError(error.message, typeof code === 'string' ? code : null);
}

/** The reason of a failed request stands in its body, of which graphql-sse keeps the response. */
async function toOperationError(error: unknown): Promise<OperationError> {
  // Request errors of GraphQL, such as a failed validation.
  if (Array.isArray(error)) return errorOf({ errors: error }) ?? unreachable();
  const { response } = error as { response?: Response };
  if (response === undefined) return unreachable();
  try {
    return errorOf(await readAnswer(response)) ?? unreachable();
  } catch (cause) {
    return cause instanceof OperationError ? cause : unreachable();
  }
}

const unreachable = () => new OperationError('The gateway does not answer.', null);
