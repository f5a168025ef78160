import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { Log } from '../../src/log.ts';

/**
 * Watches what the gateways of one test emit: every byte that leaves their ports, every line of
 * their logs, and what is given to `record`. None of it may hold a secret that a gateway was given,
 * whole or in part.
 */
export interface SecretWatch {
  /**
   * A secret of the test, not to be emitted from now on; those of the configuration, of upstream
   * and of requests are found by themselves.
   */
  addSecret(secret: string): void;
  addEnvironment(env: Readonly<Record<string, string | undefined>>): void;
  /** Every answer from this port of this process is watched. */
  addPort(port: number): void;
  /** The same log, watched. */
  watchLog(log: Log): Log;
  /** A stream of another process, watched as it is read. */
  watchStream(stream: Readable): void;
  record(text: string): void;
  /** Fails if anything emitted so far holds a secret. */
  check(): void;
}

/** Names of variables whose values are secret, or hold a password. */
const SECRET_VARIABLE = /SECRET|PASSWORD|REDIS_URL|PROXY$/i;
// A shorter text is found anywhere by chance.
const SHORTEST = 12;
// So much is kept before it is searched; a secret that is cut in two there is found by what is kept
// of it.
const SEARCHED_BYTES = 4_194_304;
const KEPT_BYTES = 20_000;

const watches = new WeakMap<TestContext, SecretWatch>();

/** The watch of a test; checked when each of its gateways has closed. */
export function secretWatchOf(t: TestContext): SecretWatch {
  const known = watches.get(t) ?? createSecretWatch(t);
  watches.set(t, known);
  return known;
}

function createSecretWatch(t: TestContext): SecretWatch {
  const secrets = new Set<string>();
  const ports = new Set<number>();
  const leaks = new Set<string>();
  let chunks: string[] = [];
  let length = 0;

  const onServerSocket = (message: unknown) => {
    const { socket } = message as { socket: Socket };
    const { localPort = 0 } = socket;
    // A port becomes known once its server listens, before it is told to any client.
    if (ports.has(localPort)) watchWrites(socket, record);
  };
  // Of the client that the gateway uses, and of `fetch`, by which tests ask.
  const onSendHeaders = (message: unknown) => {
    const { headers } = message as { headers: string };
    for (const [, token = ''] of headers.matchAll(/^[\w-]*authorization: *\w+ +(.*)$/gim))
      addSecret(token.trim());
  };
  const onServerRequest = (message: unknown) => {
    const { headers } = (message as { request: { headers: Record<string, string> } }).request;
    for (const name of ['authorization', 'router-authorization'])
      addSecret(/^\w+ +(.*)$/.exec(headers[name] ?? '')?.[1] ?? '');
  };
  subscribe('net.server.socket', onServerSocket);
  subscribe('undici:client:sendHeaders', onSendHeaders);
  subscribe('http.server.request.start', onServerRequest);
  t.after(() => {
    unsubscribe('net.server.socket', onServerSocket);
    unsubscribe('undici:client:sendHeaders', onSendHeaders);
    unsubscribe('http.server.request.start', onServerRequest);
  });

  return {
    addSecret(secret) {
      search();
      chunks = [];
      addSecret(secret);
    },
    addEnvironment(env) {
      for (const [name, value = ''] of Object.entries(env)) {
        if (!SECRET_VARIABLE.test(name)) continue;
        addSecret(URL.canParse(value) ? decodeURIComponent(new URL(value).password) : value);
      }
    },
    addPort: port => void ports.add(port),
    watchLog(log) {
      const at =
        (level: keyof Log) =>
        (...line: unknown[]) => {
          record(JSON.stringify(line, withErrors));
          log[level](...(line as [object, string?]));
        };
      const watched = {
        debug: at('debug'),
        info: at('info'),
        warn: at('warn'),
        error: at('error'),
      };
      return Object.assign(Object.create(log), watched) as Log;
    },
    watchStream(stream) {
      const push = stream.push.bind(stream);
      stream.push = (chunk: Buffer | string | null, encoding) => {
        if (chunk !== null) record(chunk.toString());
        return push(chunk, encoding);
      };
    },
    record,
    check() {
      search();
      assert.deepEqual([...leaks], [], 'secrets were emitted');
    },
  };

  function addSecret(secret: string): void {
    for (const form of formsOf(secret)) if (form.length >= SHORTEST) secrets.add(form);
  }

  function record(text: string): void {
    chunks.push(text);
    length += text.length;
    if (length > SEARCHED_BYTES) search();
  }

  function search(): void {
    const text = chunks.join('');
    for (const secret of secrets) {
      const at = text.indexOf(secret);
      if (at >= 0) leaks.add(text.slice(Math.max(0, at - 100), at + secret.length + 50));
    }
    // Secrets that become known later are searched for in the last part only.
    chunks = [text.slice(-KEPT_BYTES)];
    length = 0;
  }
}

/**
 * A secret, the parts of a JWT that are nobody else's, and what they look like in base64 and in a
 * URL.
 */
function formsOf(secret: string): string[] {
  const [, ...parts] = secret.split('.');
  return [secret, ...parts].flatMap(part => [
    part,
    encodeURIComponent(part),
    Buffer.from(part).toString('base64').replace(/=+$/, ''),
  ]);
}

/** Sees the bytes that are written to the socket, on their way. */
function watchWrites(socket: Socket, record: (text: string) => void): void {
  const { _write: write, _writev: writev } = socket;
  socket._write = function (chunk, encoding, done) {
    record(textOf(chunk));
    return write.call(this, chunk, encoding, done);
  };
  if (writev)
    socket._writev = function (chunks, done) {
      record(chunks.map(({ chunk }) => textOf(chunk)).join(''));
      return writev.call(this, chunks, done);
    };
}

function textOf(chunk: unknown): string {
  return Buffer.isBuffer(chunk) ? chunk.toString('latin1') : (chunk as string);
}

/** As the program's own log writes errors: with message, stack, cause and own members. */
function withErrors(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { name, message, stack, cause } = value;
  return Object.assign({}, value, { name, message, stack, cause });
}
