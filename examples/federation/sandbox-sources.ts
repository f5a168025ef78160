import type { Source } from './sources.ts';

/** The sources of the sandbox tenant, with the fields of the subgraph that owns them. */
export const SANDBOX_SOURCES: readonly Source[] = [
  { id: 'a08ff49b6f772632716c43069c43a8c3', name: 'Workday HR', owner: 'grace' },
  { id: 'b7cf3c25632b92409d3fb64afebede10', name: 'Active Directory', owner: 'ada' },
  { id: 'd4e8eb2af2f26165a881cd424e42a851', name: 'Salesforce', owner: 'grace' },
  { id: '214aa1883c4ffd020f5bd14dcc312684', name: 'GitHub', owner: 'linus' },
  { id: 'e4edaa36434ef2510c632d4e86a538cc', name: 'ServiceNow', owner: 'ada' },
  { id: '03aa056da5590e89a11d2b4a48e112a0', name: 'SAP', owner: 'hasso' },
];
