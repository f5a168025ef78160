type Row = Record<string, unknown>;
type Mutate = (row: Row) => Row;

const MESSAGE = {
  type: 'ERROR',
  key: 'connection_refused',
  localizedText: { locale: 'en-US', message: 'The connection to the source was refused.' },
  parameters: [],
};
const DATES = ['created', 'modified', 'launched', 'completed'] as const;

/** Mutations that make a row deviate from the specification, by name. */
export const ROW_MUTATIONS = {
  // With one of these two mutations a row cannot be read at all.
  'id-missing': without('id'),
  'created-unreadable': setting({ created: 'never' }),

  'type-missing': without('type'),
  'type-new': setting({ type: 'WORKFLOW' }),
  'name-for-unique-name': ({ uniqueName, ...row }) => ({ ...row, name: uniqueName }),
  'names-missing': without('uniqueName', 'taskDefinitionSummary', 'description'),
  'description-number': setting({ description: 42 }),
  'launcher-missing': without('launcher'),
  'target-text': row => ({ ...row, target: (row['target'] as Row | null)?.['name'] ?? 'a source' }),
  'target-empty': setting({ target: {} }),

  'dates-epoch-seconds': dated(at => Math.floor(at / 1_000)),
  'dates-epoch-text': dated(String),
  'dates-zoned': dated(at => `${new Date(at).toISOString()}[UTC]`),
  'dates-short-offset': dated(at => new Date(at).toISOString().replace('Z', '+00')),
  'dates-http': dated(at => new Date(at).toUTCString()),
  'dates-day': dated(at => new Date(at).toISOString().slice(0, 10)),
  'dates-empty': setting({ modified: '', launched: '' }),
  'dates-unreadable': setting({ modified: '2026-02-31T00:00:00Z', launched: 'now' }),

  'status-blank': setting({ completionStatus: '' }),
  'status-new': setting({ completionStatus: 'PARTIAL_SUCCESS' }),

  'messages-null': setting({ messages: null }),
  'messages-object': setting({ messages: MESSAGE }),
  'message-text': setting({ messages: ['It failed.'] }),
  'message-null': setting({ messages: [null] }),
  'message-untyped': setting({ messages: [{ ...MESSAGE, type: undefined }] }),
  'message-flagged': setting({ messages: [{ ...MESSAGE, type: undefined, warning: true }] }),
  'message-keyless': setting({ messages: [{ ...MESSAGE, key: undefined }] }),
  'message-plain-text': setting({ messages: [{ ...MESSAGE, localizedText: 'It failed.' }] }),
  'message-no-locale': setting({
    messages: [{ ...MESSAGE, localizedText: { message: 'It failed.' } }],
  }),

  'returns-null': setting({ returns: null }),
  'return-text': setting({ returns: ['total'] }),
  'return-display-label': setting({
    returns: [{ displayLabel: 'Total', attributeName: 'total' }],
  }),
  'return-unlabelled': setting({ returns: [{ attributeName: 'total' }] }),

  'attributes-null': setting({ attributes: null }),
  'attributes-text': setting({ attributes: '{"total":"1"}' }),

  'percent-missing': without('percentComplete'),
  'percent-null': setting({ percentComplete: null }),
  'percent-text': row => ({ ...row, percentComplete: String(row['percentComplete']) }),
  'percent-out-of-range': setting({ percentComplete: 250 }),

  'definition-partial': setting({ taskDefinitionSummary: { description: 'Aggregates.' } }),
  'definition-text': setting({ taskDefinitionSummary: 'Cloud Account Aggregation' }),
} satisfies Record<string, Mutate>;

export type RowMutation = keyof typeof ROW_MUTATIONS;

function setting(change: Row): Mutate {
  return row => ({ ...row, ...change });
}

function without(...names: string[]): Mutate {
  return row => Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name)));
}

/**
 * Rewrites the row's valid dates in another format. Skips dates that another mutation has made
 * invalid.
 */
function dated(write: (at: number) => unknown): Mutate {
  return row => {
    const changed = { ...row };
    for (const name of DATES) {
      const at = new Date((row[name] ?? Number.NaN) as string | number).getTime();
      if (!Number.isNaN(at)) changed[name] = write(at);
    }
    return changed;
  };
}
