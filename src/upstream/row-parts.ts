import {
  type LocalizedText,
  MESSAGE_TYPES,
  type MessageType,
  TARGET_TYPES,
  type Target,
  type TaskDefinition,
  type TaskMessage,
  type TaskReturn,
} from '../task/task.ts';
import {
  type JsonObject,
  type OnFallback,
  isObject,
  kindOf,
  readEnum,
  readObject,
  readText,
  readWord,
} from './json-fields.ts';

/** The name of a task or definition; some services call the field `name`. */
export function readName(json: JsonObject, path: string, onFallback: OnFallback): string | null {
  const uniqueName = readWord(json['uniqueName'], path, onFallback);
  return uniqueName ?? readWord(json['name'] ?? null, path, () => {});
}

/** The target of a task; null if there is none. A string is read as its name. */
export function readTarget(value: unknown, onFallback: OnFallback): Target | null {
  // Optional in the specification.
  if (value === null || value === undefined) return null;
  if (!isObject(value)) {
    onFallback('target', kindOf(value));
    return typeof value === 'string' && value.trim() !== ''
      ? { id: null, type: null, rawType: null, name: value }
      : null;
  }
  const { id = null, type = null, name = null } = value;
  const rawType = type === null ? null : readWord(type, 'target.type', onFallback);
  return {
    id: id === null ? null : readWord(id, 'target.id', onFallback),
    type: rawType === null ? null : readEnum(TARGET_TYPES, rawType, 'target.type', onFallback),
    rawType,
    name: readText(name, 'target.name', onFallback),
  };
}

/** A message; null if nothing in it can be read. */
export function readMessage(value: unknown, onFallback: OnFallback): TaskMessage | null {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    const key = String(value);
    if (key.trim() === '') return null;
    onFallback('messages[]', kindOf(value));
    return { type: 'UNKNOWN', key, localizedText: null, parameters: null };
  }
  if (!isObject(value)) return null;
  const localizedText = readLocalizedText(value['localizedText'], onFallback);
  const key =
    readWord(value['key'], 'messages.key', onFallback) ??
    localizedText?.message ??
    readWord(value['message'] ?? value['text'] ?? null, 'messages.key', () => {});
  const type = readMessageType(value, onFallback);
  const parameters = value['parameters'] ?? null;
  if (key === null && type === 'UNKNOWN' && parameters === null) return null;
  return { type, key: key ?? '', localizedText, parameters };
}

function readMessageType(message: JsonObject, onFallback: OnFallback): MessageType {
  const word = readWord(message['type'], 'messages.type', onFallback);
  const type =
    word === null ? 'UNKNOWN' : readEnum(MESSAGE_TYPES, word, 'messages.type', onFallback);
  // The load-accounts endpoint writes flags instead of the type.
  if (type === 'UNKNOWN' && isSet(message['error'])) return 'ERROR';
  if (type === 'UNKNOWN' && isSet(message['warning'])) return 'WARN';
  return type;
}

function isSet(flag: unknown): boolean {
  return flag === true || flag === 'true';
}

function readLocalizedText(value: unknown, onFallback: OnFallback): LocalizedText | null {
  const field = 'messages.localizedText';
  if (value === null) return null;
  if (!isObject(value)) {
    const message = readWord(value, field, onFallback);
    if (typeof value === 'string' && message !== null) onFallback(field, 'string');
    return message === null ? null : { locale: null, message };
  }
  const message = readWord(value['message'] ?? value['text'], `${field}.message`, onFallback);
  if (message === null) return null;
  return { locale: readWord(value['locale'], `${field}.locale`, onFallback), message };
}

/** The label of a result and its key; either falls back to the other. */
export function readReturn(value: unknown, onFallback: OnFallback): TaskReturn | null {
  if (typeof value === 'string' && value.trim() !== '') {
    onFallback('returns[]', 'string');
    return { name: value, attributeName: value };
  }
  if (!isObject(value)) return null;
  const name =
    readWord(value['name'], 'returns.name', onFallback) ??
    readWord(value['displayLabel'] ?? null, 'returns.name', () => {});
  const attributeName = readWord(value['attributeName'], 'returns.attributeName', onFallback);
  const either = name ?? attributeName;
  return either === null ? null : { name: either, attributeName: attributeName ?? either };
}

/** The definition; null if it has no id or no name. */
export function readDefinition(value: unknown, onFallback: OnFallback): TaskDefinition | null {
  const field = 'taskDefinitionSummary';
  // Optional in the specification.
  if (value === null || value === undefined) return null;
  if (!isObject(value)) {
    onFallback(field, kindOf(value));
    return null;
  }
  const id = readWord(value['id'], `${field}.id`, onFallback);
  const uniqueName = readName(value, `${field}.uniqueName`, onFallback);
  if (id === null || uniqueName === null) return null;
  return {
    id,
    uniqueName,
    description: readText(value['description'], `${field}.description`, onFallback),
    parentName: readText(value['parentName'], `${field}.parentName`, onFallback),
    executor: readText(value['executor'], `${field}.executor`, onFallback),
    arguments: readObject(value['arguments'], `${field}.arguments`, onFallback),
  };
}
