import type { GraphQLError } from 'graphql';
import type { Credential } from '../../upstream/credentials.ts';
import type { Authenticate } from './authenticate.ts';
import { type OperationParams, readOperationParams } from './operation-params.ts';
import type { PersistedDocuments } from './persisted-documents.ts';
import { toRefusal } from './refusal.ts';

/**
 * The credential of an operation; or, for callers without one who may read the schema, the error
 * for anything else.
 */
export type Admission = { credential: Credential } | { refusal: GraphQLError };

/** An operation that may be parsed. */
export interface AdmittedOperation {
  admission: Admission;
  params: OperationParams & { query: string };
}

/** Checks an operation before it is parsed. All transports use it. */
export interface OperationGate {
  /** Throws a refusal if the caller has no valid credential. Over HTTP, before the body is read. */
  identify(header: (name: string) => string | null, address: string): Promise<Admission>;
  /** Throws a refusal if the params name no document. */
  admit(sent: unknown, admission: Admission): AdmittedOperation;
}

export interface OperationGateParts {
  authenticate: Authenticate;
  documents: PersistedDocuments;
  /** Whether upstream has accepted a credential, or its claims are verified. */
  isProven(credential: Credential): boolean;
  /** Whether a caller without a credential may read the schema. */
  mayReadSchema(header: (name: string) => string | null): Promise<boolean>;
}

/** Authenticates the caller, checks the params, then resolves the document. */
export function createOperationGate(parts: OperationGateParts): OperationGate {
  const { authenticate, documents, isProven, mayReadSchema } = parts;
  return {
    identify: (header, address) =>
      authenticate(header('authorization'), address).then(
        credential => ({ credential }),
        async (error: unknown) => {
          if (!(await mayReadSchema(header).catch(() => false))) throw toRefusal(error);
          return { refusal: toRefusal(error) as GraphQLError };
        },
      ),
    admit(sent, admission) {
      const params = readOperationParams(sent);
      // Do not store documents of callers without a proven credential: they would push out those of
      // others.
      const mayStore = 'credential' in admission && isProven(admission.credential);
      const query = documents.resolve(params, { mayStore });
      return { admission, params: { ...params, query } };
    },
  };
}
