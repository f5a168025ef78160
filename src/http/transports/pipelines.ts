import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Knows the responses that wait for their turn, because clients send requests before earlier ones
 * are answered.
 */
export interface Pipelines {
  /** Whether no later response is to be sent on its connection. */
  isLast(response: ServerResponse): boolean;
}

/**
 * When a connection closes, Node closes only the response whose turn it is. This closes those
 * behind it as well: otherwise what waits for them to close, or counts them until then, would do so
 * forever.
 *
 * Attach to a server before its other listeners.
 */
export function createPipelines(server: Server): Pipelines {
  const waiting = new WeakMap<Socket, Set<ServerResponse>>();

  server.prependListener('request', ({ socket }, response: ServerResponse) => {
    if (response.socket === null) add(socket, response);
  });

  return {
    isLast(response) {
      const last = [...(waiting.get(response.req.socket) ?? [])].at(-1) ?? response;
      return last === response;
    },
  };

  function add(socket: Socket, response: ServerResponse): void {
    const responses = waiting.get(socket) ?? openFor(socket);
    responses.add(response);
    response.once('close', () => responses.delete(response));
  }

  function openFor(socket: Socket): Set<ServerResponse> {
    const responses = new Set<ServerResponse>();
    waiting.set(socket, responses);
    socket.once('close', () => {
      for (const response of responses) response.destroy().emit('close');
    });
    return responses;
  }
}
