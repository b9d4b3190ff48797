import { describe, expect, it } from 'vitest';
import { formatTerm, formatTerms, isField, OPERATORS, parseTerms, tokenize, type Term } from './terms';

describe('parseTerms', () => {
  const cases: [string, Term[]][] = [
    ['', []],
    ['  ', []],
    ['free text', [{ text: 'free' }, { text: 'text' }]],
    ['"free text"', [{ text: 'free text' }]],
    ['service=frontend', [{ key: 'service', operator: '=', value: 'frontend' }]],
    ['service:frontend', [{ key: 'service', operator: '=', value: 'frontend' }]],
    ['http.route="/a b"', [{ key: 'http.route', operator: '=', value: '/a b' }]],
    ['a="say \\"hi\\" \\\\"', [{ key: 'a', operator: '=', value: 'say "hi" \\' }]],
    ['duration>100ms', [{ key: 'duration', operator: '>', value: '100ms' }]],
    ['a>=1 b<=2 c<3 d!=4', [
      { key: 'a', operator: '>=', value: '1' },
      { key: 'b', operator: '<=', value: '2' },
      { key: 'c', operator: '<', value: '3' },
      { key: 'd', operator: '!=', value: '4' },
    ]],
    ['http.route=*', [{ key: 'http.route', operator: 'exists', value: '' }]],
    ['http.route="*"', [{ key: 'http.route', operator: '=', value: '*' }]],
    ['a=""', [{ key: 'a', operator: '=', value: '' }]],
    ['"a=b"=c', [{ key: 'a=b', operator: '=', value: 'c' }]],
    ['a=b=c', [{ key: 'a', operator: '=', value: 'b=c' }]],
    ['service=', []],
    ['service="', []],
    ['service="half', [{ key: 'service', operator: '=', value: 'half' }]],
    ['/orders?id=7', [{ text: '/orders?id=7' }]],
    ['http://x/?a=b', [{ text: 'http://x/?a=b' }]],
    ['<img src=x>', [{ text: '<img' }, { key: 'src', operator: '=', value: 'x>' }]],
    ['a == b', [{ text: 'a' }, { text: '==' }, { text: 'b' }]],
    ['C:\\temp', [{ text: 'C:\\temp' }]],
    ['größe=3', [{ key: 'größe', operator: '=', value: '3' }]],
  ];
  it.each(cases)('reads %s', (input, terms) => expect(parseTerms(input)).toEqual(terms));
});

/** A small generator with a seed, so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const PIECES = ['a', 'service', 'http.route', ' ', '"', '\\', '=', '!', '<', '>', '*', ':', '/', '.', 'é', '\u{1f600}', '\t', '7'];

function text(next: (below: number) => number, least: number): string {
  return Array.from({ length: least + next(6) }, () => PIECES[next(PIECES.length)]).join('');
}

describe('the language as a whole', () => {
  it('reads back every term that it writes', () => {
    const next = random(1);
    for (let run = 0; run < 5_000; run += 1) {
      const terms = Array.from({ length: 1 + next(4) }, (): Term => {
        const operator = OPERATORS[next(OPERATORS.length)] ?? '=';
        if (next(3) === 0) return { text: text(next, 1) };
        return { key: text(next, 1), operator, value: operator === 'exists' ? '' : text(next, 0) };
      });
      expect(parseTerms(formatTerms(terms)), formatTerms(terms)).toEqual(terms);
    }
  });

  it('takes any input, and leaves out nothing but blanks between terms', () => {
    const next = random(2);
    for (let run = 0; run < 5_000; run += 1) {
      const input = text(next, 0);
      let at = 0;
      for (const token of tokenize(input)) {
        expect(input.slice(at, token.start).trim(), input).toBe('');
        expect(token.end).toBeGreaterThan(token.start);
        at = token.end;
      }
      expect(input.slice(at).trim(), input).toBe('');
    }
  });

  it('marks where a value begins', () => {
    const [token] = tokenize('http.route="/a');
    expect(token).toMatchObject({ start: 0, end: 14, valueStart: 11, isOpen: true });
    expect(isField({ text: 'a' })).toBe(false);
    expect(formatTerm({ text: 'a=b' })).toBe('"a=b"');
  });
});
