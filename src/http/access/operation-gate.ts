import type { GraphQLError } from 'graphql';
import type { Credential } from '../../upstream/credentials.ts';
import type { Authenticate } from './authenticate.ts';
import { type OperationParams, readOperationParams } from './operation-params.ts';
import type { PersistedDocuments } from './persisted-documents.ts';
import { toRefusal } from './refusal.ts';

/** Whose operation it is, or why it may only ask for the schema. */
export type Admission = { credential: Credential } | { refusal: GraphQLError };

/** An operation that may be parsed. */
export interface AdmittedOperation {
  admission: Admission;
  params: OperationParams & { query: string };
}

/** Checks an operation before any of it is parsed, the same for each transport. */
export interface OperationGate {
  /** Throws a refusal for a caller without a credential; over HTTP before the body is read. */
  identify(header: (name: string) => string | null, address: string): Promise<Admission>;
  /** Throws a refusal for params that name no document. */
  admit(sent: unknown, admission: Admission): AdmittedOperation;
}

export interface OperationGateParts {
  authenticate: Authenticate;
  documents: PersistedDocuments;
  /** Whether a credential is known to be good. */
  isProven(credential: Credential): boolean;
  /** Whether these headers let a caller without a credential ask for the schema. */
  mayReadSchema(header: (name: string) => string | null): Promise<boolean>;
}

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
      // What a stranger sends is not kept, because it would push out what others have sent.
      const mayStore = 'credential' in admission && isProven(admission.credential);
      const query = documents.resolve(params, { mayStore });
      return { admission, params: { ...params, query } };
    },
  };
}
