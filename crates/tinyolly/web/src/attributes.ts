/** OTLP values as text for people: every type keeps its meaning, nothing is ever markup. */
import type { WireAttribute, WireValue } from './wire';

export type ValueType = 'string' | 'bool' | 'int' | 'double' | 'bytes' | 'array' | 'map' | 'empty';

export interface Attribute {
  key: string;
  type: ValueType;
  /** The value on as many lines as it needs. */
  text: string;
}

/** Plain JavaScript data of a value; 64-bit integers stay text when a number would lose digits. */
export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

export function valueType(value: WireValue | null | undefined): ValueType {
  if (!value) return 'empty';
  if (value.stringValue !== undefined) return 'string';
  if (value.boolValue !== undefined) return 'bool';
  if (value.intValue !== undefined) return 'int';
  if (value.doubleValue !== undefined) return 'double';
  if (value.bytesValue !== undefined) return 'bytes';
  if (value.arrayValue !== undefined) return 'array';
  if (value.kvlistValue !== undefined) return 'map';
  return 'empty';
}

export function toPlain(value: WireValue | null | undefined): Plain {
  if (!value) return null;
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) {
    const number = Number(value.intValue);
    return Number.isSafeInteger(number) ? number : String(value.intValue);
  }
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.bytesValue !== undefined) return value.bytesValue;
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(toPlain);
  if (value.kvlistValue !== undefined) {
    // Entries and not assignment: a key named __proto__ is a key like any other.
    return Object.fromEntries((value.kvlistValue.values ?? []).map((each) => [each.key, toPlain(each.value)]));
  }
  return null;
}

export function valueText(value: WireValue | null | undefined): string {
  const plain = toPlain(value);
  if (plain === null) return '';
  return typeof plain === 'object' ? JSON.stringify(plain, null, 2) : String(plain);
}

/** Attributes by key, as the detail tables list them. */
export function readAttributes(attributes: readonly WireAttribute[] | undefined): Attribute[] {
  return (attributes ?? [])
    .map((each) => ({ key: each.key, type: valueType(each.value), text: valueText(each.value) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

export function findText(attributes: readonly Attribute[], key: string): string {
  return attributes.find((each) => each.key === key)?.text ?? '';
}

/** A short name for a set of attributes: `method=GET route=/orders`. */
export function labelOf(attributes: readonly Attribute[]): string {
  return attributes.map((each) => `${each.key}=${each.text}`).join(' ');
}
