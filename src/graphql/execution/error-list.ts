import type { GraphQLError, GraphQLResolveInfo } from 'graphql';

export type Path = GraphQLResolveInfo['path'];

/** The errors of an execution, without those below a value that is already null. */
export class ErrorList {
  readonly errors: GraphQLError[] = [];
  readonly #nulled = new Set<Path | undefined>();

  /**
   * `path` is the place in the response that is null because of the error; undefined: the whole
   * response.
   */
  add(error: GraphQLError, path: Path | undefined): void {
    if (this.#nulled.has(undefined)) return;
    for (let place = path; place !== undefined; place = place.prev)
      if (this.#nulled.has(place)) return;
    this.#nulled.add(path);
    this.errors.push(error);
  }
}
