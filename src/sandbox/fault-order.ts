import { AGGREGATION_MUTATIONS } from './aggregation-mutations.ts';
import { type Fault, type FaultOrder, FAULT_KINDS, ROUTES } from './faults.ts';
import { Refusal } from './refusal.ts';
import { ROW_MUTATIONS } from './row-mutations.ts';

/**
 * Reads the order of a fault from a request body. Throws a Refusal with status 400 that lists the
 * known faults.
 */
export function readFaultOrder(body: unknown): FaultOrder {
  const { fault, route, rate, times } = (body ?? {}) as Partial<FaultOrder>;
  const known =
    [rate, times].every(value => value === undefined || typeof value === 'number') &&
    FAULT_KINDS.some(kind => kind === fault?.kind) &&
    (fault?.kind !== 'row' || Object.hasOwn(ROW_MUTATIONS, fault.mutation)) &&
    (fault?.kind !== 'aggregation' || Object.hasOwn(AGGREGATION_MUTATIONS, fault.mutation)) &&
    (route === undefined || ROUTES.includes(route));
  if (!known)
    throw new Refusal(
      400,
      '400.1 Bad request content',
      `The fault must be one of ${FAULT_KINDS.join(', ')}; the mutation of a row must be one of ${Object.keys(ROW_MUTATIONS).join(', ')}; that of an aggregation must be one of ${Object.keys(AGGREGATION_MUTATIONS).join(', ')}.`,
    );
  return {
    fault: fault as Fault,
    ...(route === undefined ? {} : { route }),
    ...(rate === undefined ? {} : { rate }),
    ...(times === undefined ? {} : { times }),
  };
}
