import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  buildSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isSpecifiedDirective,
  isSpecifiedScalarType,
} from 'graphql';
import { schema } from '../src/graphql/schema.ts';
import { printSdl } from '../src/graphql/sdl.ts';

const committed = readFileSync(new URL('../schema.graphql', import.meta.url), 'utf8');

test('schema.graphql is what the code prints', () => {
  assert.equal(committed, printSdl(schema), 'run `npm run schema` and check the difference');
});

test('tools without federation support can read schema.graphql', () => {
  const read = buildSchema(committed);
  const types = Object.keys(schema.getTypeMap()).filter(name => !/^_(?!_)/.test(name));
  assert.deepEqual(Object.keys(read.getTypeMap()).sort(), types.sort());
});

test('every type, field, argument, enum value and directive is described', () => {
  const mute: string[] = [];
  const ask = (name: string, { description }: { description?: string | null | undefined }) => {
    if (!description?.trim()) mute.push(name);
  };
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__') || isSpecifiedScalarType(type)) continue;
    ask(type.name, type);
    if (isEnumType(type))
      for (const value of type.getValues()) ask(`${type.name}.${value.name}`, value);
    if (isInputObjectType(type))
      for (const field of Object.values(type.getFields())) ask(`${type.name}.${field.name}`, field);
    if (isObjectType(type) || isInterfaceType(type))
      for (const field of Object.values(type.getFields())) {
        ask(`${type.name}.${field.name}`, field);
        for (const argument of field.args)
          ask(`${type.name}.${field.name}(${argument.name})`, argument);
      }
  }
  for (const directive of schema.getDirectives())
    if (!isSpecifiedDirective(directive)) ask(`@${directive.name}`, directive);
  assert.deepEqual(mute, []);
});

test('every enum mirrored from upstream has UNKNOWN', () => {
  const mirrored = ['TaskType', 'TaskCompletionStatus', 'TargetType', 'TaskMessageType'];
  for (const name of mirrored) {
    const type = schema.getType(name);
    assert.ok(isEnumType(type) && type.getValue('UNKNOWN'), name);
  }
});
