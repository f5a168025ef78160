/**
 * What is known of one field, item or operation of a trace. Times are nanoseconds since the
 * operation began.
 */
export interface TraceNode {
  /** Name in the response, or index in a list; null for the operation. */
  key: string | number | null;
  /** Of the field, if an alias stands in the response. */
  originalFieldName?: string;
  type?: string;
  parentType?: string;
  startNs?: number;
  endNs?: number;
  errors: TraceError[];
  children: Map<string | number, TraceNode>;
}

export interface TraceError {
  message: string;
  locations: readonly { line: number; column: number }[];
  /** The error as it is answered. */
  json: string;
}

export interface Trace {
  /** Milliseconds since the epoch. */
  startedAt: number;
  endedAt: number;
  durationNs: number;
  root: TraceNode;
}

/*
 * The few messages of Apollo's reports.proto that an inline trace has, in protobuf's wire format.
 * The package that Apollo publishes for it needs an install script, and overflows the stack for a
 * trace of some thousand fields.
 */

const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;

/** A trace as the message `Trace`. */
export function encodeTrace({ startedAt, endedAt, durationNs, root }: Trace): Buffer {
  const weight = Buffer.alloc(8);
  weight.writeDoubleLE(1);
  return Buffer.concat([
    message(3, timestamp(endedAt)),
    message(4, timestamp(startedAt)),
    number(11, durationNs),
    message(14, node(root)),
    // Each field was executed as often as this trace says.
    varint((31 << 3) | FIXED_64),
    weight,
  ]);
}

function timestamp(ms: number): Buffer {
  return Buffer.concat([number(1, Math.floor(ms / 1000)), number(2, (ms % 1000) * 1e6)]);
}

function node({ key, errors, children, ...field }: TraceNode): Buffer {
  return Buffer.concat([
    typeof key === 'string' ? text(1, key) : EMPTY,
    typeof key === 'number' ? number(2, key) : EMPTY,
    text(3, field.type),
    number(8, field.startNs),
    number(9, field.endNs),
    ...errors.map(error => message(11, errorOf(error))),
    ...[...children.values()].map(child => message(12, node(child))),
    text(13, field.parentType),
    text(14, field.originalFieldName),
  ]);
}

function errorOf({ message: words, locations, json }: TraceError): Buffer {
  return Buffer.concat([
    text(1, words),
    ...locations.map(({ line, column }) =>
      message(2, Buffer.concat([number(1, line), number(2, column)])),
    ),
    text(4, json),
  ]);
}

const EMPTY = Buffer.alloc(0);

function text(field: number, value: string | undefined): Buffer {
  return value === undefined ? EMPTY : message(field, Buffer.from(value));
}

function message(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | BYTES), varint(bytes.length), bytes]);
}

function number(field: number, value: number | undefined): Buffer {
  return value === undefined
    ? EMPTY
    : Buffer.concat([varint((field << 3) | VARINT), varint(Math.round(value))]);
}

/** Seven bits a byte, the lowest first. Not by shifting: nanoseconds need more than 32 bits. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
