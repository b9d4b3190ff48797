import { expect, it } from 'vitest';
import { findText, labelOf, readAttributes, toPlain, valueText, valueType } from './attributes';
import type { WireValue } from './wire';

it.each<[WireValue | null, string, string]>([
  [{ stringValue: '<b>' }, 'string', '<b>'],
  [{ stringValue: '' }, 'string', ''],
  [{ boolValue: false }, 'bool', 'false'],
  [{ intValue: '9223372036854775807' }, 'int', '9223372036854775807'],
  [{ intValue: 0 }, 'int', '0'],
  [{ doubleValue: 1.5 }, 'double', '1.5'],
  [{ doubleValue: 'NaN' }, 'double', 'NaN'],
  [{ bytesValue: 'AAE=' }, 'bytes', 'AAE='],
  [{ arrayValue: { values: [{ intValue: '1' }, {}] } }, 'array', '[\n  1,\n  null\n]'],
  [{ arrayValue: {} }, 'array', '[]'],
  [{ kvlistValue: { values: [{ key: 'a', value: { boolValue: true } }] } }, 'map', '{\n  "a": true\n}'],
  [{}, 'empty', ''],
  [null, 'empty', ''],
])('%j is %s', (value, type, text) => {
  expect(valueType(value)).toBe(type);
  expect(valueText(value)).toBe(text);
});

it('keeps hostile keys as plain keys', () => {
  const plain = toPlain({ kvlistValue: { values: [{ key: '__proto__', value: { stringValue: 'x' } }] } });
  expect(JSON.stringify(plain)).toBe('{"__proto__":"x"}');
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});

it('lists attributes by key', () => {
  const attributes = readAttributes([
    { key: 'b', value: { stringValue: '2' } },
    { key: 'a', value: { intValue: '1' } },
    { key: 'c' },
  ]);
  expect(attributes.map((each) => each.key)).toEqual(['a', 'b', 'c']);
  expect(findText(attributes, 'a')).toBe('1');
  expect(findText(attributes, 'none')).toBe('');
  expect(labelOf(attributes)).toBe('a=1 b=2 c=');
});
