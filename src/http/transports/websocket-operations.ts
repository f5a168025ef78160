/**
 * In the place of an operation that has no result yet. graphql-ws puts null there, which does not
 * tell an operation from a later one with the same id.
 */
export class StartingOperation {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }
}

/** Whether an operation of a socket has neither a result nor a stream of them yet. */
export function isStarting(operation: unknown): boolean {
  return operation === null || operation instanceof StartingOperation;
}
