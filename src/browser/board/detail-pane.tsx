import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { ClearForm } from './clear-form.tsx';
import { formatInstant, formatNumber, formatSeconds, toText, toWords } from './format.ts';
import type { GatewayClient } from './gateway-client.ts';
import { LongText } from './long-text.tsx';
import { useNow } from './now.ts';
import { type Pair, Pairs } from './pairs.tsx';
import { StatusMark } from './status-mark.tsx';
import { type TaskDetail, elapsedOf } from './task.ts';
import { useTaskHistory } from './task-history.ts';
import { Timeline } from './timeline.tsx';

interface DetailPaneProps {
  client: GatewayClient;
  /** The id of the task. */
  id: string;
  onClose(): void;
}

/** Everything about one task, live until it ends. */
export function DetailPane({ client, id, onClose }: DetailPaneProps) {
  const { task, observations, error } = useTaskHistory(client, id);
  const heading = useRef<HTMLHeadingElement>(null);
  const nowMs = useNow();
  useEffect(() => heading.current?.focus(), []);
  return (
    <aside
      class="detail"
      aria-label="Task details"
      onKeyDown={event => {
        if (event.key === 'Escape') onClose();
      }}
    >
      <div class="detail-head">
        <h2 ref={heading} tabIndex={-1}>
          <LongText text={task?.uniqueName ?? (error === null ? 'Loading…' : 'Task')} />
        </h2>
        <button type="button" class="close" onClick={onClose} aria-label="Close details">
          ✕
        </button>
      </div>
      {error !== null && (
        <p role="alert" class="error">
          <bdi>{error.message}</bdi>
        </p>
      )}
      {task !== null && (
        <>
          <Pairs pairs={summaryOf(task, nowMs)} emptyText="" />
          <p class="detail-status">
            <StatusMark task={task} />
            <progress
              max={100}
              value={task.effectivePercentComplete}
              aria-label="Progress of this task"
            />
            {task.effectivePercentComplete}%
          </p>
          {task.state !== 'COMPLETED' && <ClearForm client={client} id={id} />}
          <Part title="Timeline">
            <Timeline task={task} observations={observations} />
          </Part>
          <Part title="Messages">
            <Messages task={task} />
          </Part>
          <Part title="Returned values">
            <Pairs pairs={returnsOf(task)} emptyText="None." />
          </Part>
          <Part title="Attributes">
            <Pairs pairs={attributesOf(task)} emptyText="None." />
          </Part>
          <Part title="Definition">
            <Pairs pairs={definitionOf(task)} emptyText="Upstream sent none." />
          </Part>
        </>
      )}
    </aside>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Messages({ task: { messages } }: { task: TaskDetail }) {
  if (messages.length === 0) return <p class="none">None.</p>;
  return (
    <ul class="messages">
      {messages.slice(0, 100).map(({ type, key, localizedText }, place) => (
        <li key={place} data-type={type}>
          <span class="type">{toWords(type)}</span>{' '}
          <LongText text={localizedText?.message ?? key} />
        </li>
      ))}
    </ul>
  );
}

function summaryOf(task: TaskDetail, nowMs: number): Pair[] {
  const elapsed = elapsedOf(task, nowMs);
  const aggregation = task.accountAggregation;
  const pairs: (Pair | null)[] = [
    pairOf('Description', task.description),
    pairOf('Target', task.target?.name),
    pairOf('Launcher', task.launcher),
    pairOf('Progress', task.progress),
    pairOf('Elapsed', elapsed === null ? null : formatSeconds(elapsed)),
    pairOf(
      'Estimated end',
      task.estimatedCompletion === null ? null : formatInstant(task.estimatedCompletion),
    ),
    aggregation && pairOf('Aggregation', toWords(aggregation.rawStatus)),
    aggregation &&
      pairOf('Accounts', ratioOf(aggregation.processedAccounts, aggregation.totalAccounts)),
    aggregation &&
      pairOf('Identities', ratioOf(aggregation.processedIdentities, aggregation.totalIdentities)),
    pairOf('Id', task.id),
  ];
  return pairs.filter(pair => pair !== null && pair !== undefined);
}

/** A returned value is an attribute; its name is the key of a label. */
function returnsOf({ returns, attributes }: TaskDetail): Pair[] {
  return returns.map(({ name, attributeName }) => ({
    label: toWords(name.replace(/^TASK_OUT_/, '')),
    value: toText(recordOf(attributes)[attributeName] ?? '–'),
    title: name,
  }));
}

function attributesOf({ attributes, returns }: TaskDetail): Pair[] {
  const returned = new Set(returns.map(({ attributeName }) => attributeName));
  return Object.entries(recordOf(attributes))
    .filter(([name]) => !returned.has(name))
    .map(([label, value]) => ({ label, value: toText(value) }));
}

function definitionOf({ taskDefinitionSummary: definition }: TaskDetail): Pair[] {
  if (definition === null) return [];
  return [
    pairOf('Name', definition.uniqueName),
    pairOf('Description', definition.description),
    pairOf('Parent', definition.parentName),
    pairOf('Executor', definition.executor),
    ...Object.entries(recordOf(definition.arguments)).map(([name, value]) =>
      pairOf(name, toText(value)),
    ),
    pairOf('Id', definition.id),
  ].filter(pair => pair !== null);
}

function pairOf(label: string, value: string | null | undefined): Pair | null {
  return value === null || value === undefined || value === '' ? null : { label, value };
}

function ratioOf(done: number | null, total: number | null): string | null {
  if (done === null) return total === null ? null : formatNumber(total);
  return `${formatNumber(done)}${total === null ? '' : ` of ${formatNumber(total)}`}`;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
