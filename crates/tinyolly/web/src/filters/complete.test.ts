import { describe, expect, it } from 'vitest';
import { freeText, offerKeys, offerValues, placeAt, showText, splitDraft, take, type Place } from './complete';

/** The input with `|` for the cursor. */
function at(marked: string): Place {
  return placeAt(marked.replace('|', ''), marked.indexOf('|'));
}

describe('placeAt', () => {
  it.each([
    ['|', { part: 'key', typed: '' }],
    ['serv|', { part: 'key', typed: 'serv' }],
    ['a=1 serv|', { part: 'key', typed: 'serv', start: 4, end: 8 }],
    ['a=1 |', { part: 'key', typed: '', start: 4 }],
    ['service=|', { part: 'value', key: 'service', typed: '' }],
    ['service=fr|ont', { part: 'value', key: 'service', typed: 'front', start: 0, end: 13 }],
    ['ser|vice=front', { part: 'key', typed: 'service', start: 0, end: 8 }],
    ['http.route="/a |', { part: 'value', key: 'http.route', typed: '/a ' }],
    ['duration>|', { part: 'value', key: 'duration', operator: '>' }],
    ['"free te|', { part: 'key', typed: '' }],
  ])('%s', (marked, expected) => expect(at(marked)).toMatchObject(expected));
});

describe('offers', () => {
  const attributes = [
    { key: 'http.route', count: 7 },
    { key: 'name', count: 3 },
    { key: 'odd key', count: 1 },
  ];

  it('keys: what begins with the text before what holds it', () => {
    expect(offerKeys('na', 'traces', attributes).map((each) => each.insert)).toEqual(['name=', 'attr.name=']);
    expect(offerKeys('route', 'logs', attributes).map((each) => each.insert)).toEqual(['http.route=']);
    expect(offerKeys('odd', 'logs', attributes)[0]?.insert).toBe('"odd key"=');
    expect(offerKeys('dura', 'spans', [])[0]?.insert).toBe('duration>');
  });

  it('values: the few that a field takes, or those found', () => {
    const place = (marked: string) => at(marked) as Extract<Place, { part: 'value' }>;
    expect(offerValues(place('status=|'), 'spans', []).map((each) => each.label)).toEqual(['error', 'ok', 'unset']);
    expect(offerValues(place('status=|'), 'logs', [{ value: '200', count: 4 }]).map((each) => each.label)).toEqual(['200']);
    const found = [
      { value: 'back end', count: 2 },
      { value: '', count: 1 },
    ];
    expect(offerValues(place('service=ba|'), 'logs', found)).toMatchObject([{ insert: 'service="back end"', hint: '2' }]);
    expect(offerValues(place('x!=|'), 'logs', found)[1]).toMatchObject({ label: '(empty)', insert: 'x!=""' });
  });

  it('takes an offer in the place of what was typed', () => {
    const key = offerKeys('serv', 'logs', [])[0]!;
    expect(take('a=1 serv', at('a=1 serv|'), key)).toEqual({ input: 'a=1 service=', caret: 12 });
    const value = offerValues(at('kind=cl|') as never, 'spans', [])[0]!;
    expect(take('kind=cl x', at('kind=cl| x'), value)).toEqual({ input: 'kind=client x', caret: 11 });
    expect(take('kind=cl', at('kind=cl|'), value)).toEqual({ input: 'kind=client ', caret: 12 });
  });
});

describe('splitDraft', () => {
  it.each([
    ['service=a', false, [], 'service=a'],
    ['service=a ', false, ['service=a'], ''],
    ['service=a free text', false, ['service=a'], 'free text'],
    ['free service="a b" text', false, ['service="a b"'], 'free text'],
    ['free text', true, [], 'free text'],
    ['service=a x', true, ['service=a'], 'x'],
    ['service= ', true, [], 'service= '],
    ['service="a', false, [], 'service="a'],
    ['service="a', true, ['service=a'], ''],
    ['service=frontend status=error http.route="/x" duration>100ms free text', true,
      ['service=frontend', 'status=error', 'http.route=/x', 'duration>100ms'], 'free text'],
  ])('%s %s', (input, isFinal, done, draft) => expect(splitDraft(input, isFinal)).toEqual({ done, draft }));

  it('keeps free text as it is', () => {
    for (const text of ['a', 'a b', 'a=b', '"', 'a "b" c', 'x:y', 'service:y', '\\', 'a  b']) {
      expect(freeText(showText(text)), text).toBe(text);
    }
    expect(freeText('a=b free status:error text')).toBe('free text');
  });
});
