import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { Mailbox } from '../../progress/mailbox.ts';
import type { ReadOptions } from '../../session/loader.ts';
import type { Signal } from '../../signal.ts';
import type { Session } from '../../session/session.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { Credential } from '../../upstream/credentials.ts';
import type { Admission } from '../access/operation-gate.ts';
import { ROUTER_HEADER, type RouterTrust } from '../access/router-trust.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/** What a transport knows of an operation. */
export interface OperationSource {
  admission: Admission | undefined;
  record: OperationRecord | undefined;
  /** Reads a header by its lower-case name; null if it was not sent. */
  header(name: string): string | null;
}

/** Makes the context of an operation. Its reads have no signal yet. */
export type CreateOperationContext = (source: OperationSource) => Context;

export interface OperationContextParts {
  sessions: Sessions;
  clock: Clock;
  /** Whether callers may read the schema. */
  introspection: boolean;
  routerTrust: RouterTrust;
  /** Prints the schema for composition. */
  printSdl(): string;
}

export function createOperationContexts(parts: OperationContextParts): CreateOperationContext {
  const { sessions, clock, introspection, routerTrust, printSdl } = parts;
  return ({ admission, record, header }) => {
    const credential = admission && 'credential' in admission ? admission.credential : null;
    return {
      caller: new CredentialCaller(credential, sessions, clock),
      async subgraphSdl() {
        record?.usage.markPersonal();
        const mayRead = introspection || (await routerTrust.isRouter(header(ROUTER_HEADER)));
        return mayRead ? printSdl() : null;
      },
      now() {
        record?.usage.markUnique();
        return clock.now();
      },
      read: {
        caller: credential?.caller,
        usages: record && [record.usage],
        isFresh: isFresh(header('cache-control')),
      },
      aggregations: new Map(),
      omitted: [],
    };
  };
}

/** Whether the client asks for an answer that does not come from memory. */
export function isFresh(cacheControl: string | null): boolean {
  return cacheControl !== null && /\bno-cache\b/i.test(cacheControl);
}

/** The options of a read, with a signal that is made when something first listens to it. */
export function withSignal(read: ReadOptions, client: LeavingClient): ReadOptions {
  return new AbortableReads(read, client);
}

/** A client that may disconnect before it has its result. */
export interface LeavingClient {
  /** Aborts when it disconnects. */
  signal(): Signal;
}

type Caller = Context['caller'];

// Classes, because V8 gives each object literal with a getter a hidden class of its own, which
// keeps whatever the getter refers to until a full garbage collection.

class CredentialCaller implements Caller {
  readonly #credential: Credential | null;
  readonly #sessions: Sessions;
  readonly #clock: Clock;
  #session: Session | null = null;

  constructor(credential: Credential | null, sessions: Sessions, clock: Clock) {
    this.#credential = credential;
    this.#sessions = sessions;
    this.#clock = clock;
  }

  get session(): Session {
    // Operations that need no credential, such as introspection, open no session.
    if (this.#credential === null)
      throw new GatewayError('UNAUTHENTICATED', 'The operation needs a bearer token.');
    return (this.#session ??= this.#sessions.of(this.#credential));
  }

  whileValid<T>(stream: Mailbox<T>): Mailbox<T> {
    const { expiresAt = null } = this.#credential ?? {};
    if (expiresAt === null) return stream;
    const expired = new GatewayError('UNAUTHENTICATED', 'The bearer token has expired.');
    return stream.whenClosed(
      this.#clock.after(expiresAt - this.#clock.now(), () => stream.end(expired)),
    );
  }
}

class AbortableReads implements ReadOptions {
  readonly caller: ReadOptions['caller'];
  readonly usages: ReadOptions['usages'];
  readonly isFresh: boolean;
  readonly #client: LeavingClient;

  constructor({ caller, usages, isFresh = false }: ReadOptions, client: LeavingClient) {
    this.caller = caller;
    this.usages = usages;
    this.isFresh = isFresh;
    this.#client = client;
  }

  get signal(): Signal {
    return this.#client.signal();
  }
}
