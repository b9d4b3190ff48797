import { describe, expect, it } from 'vitest';
import { formatAttr, parseAttr } from './attr';
import { attributeTermKey } from './fields';
import { chipsOf, isNarrowed, narrowParams, NOT_NARROWED, TermError, toggled, withTerm, type Narrowing } from './narrow';
import { formatTerms, OPERATORS, parseTerms, type FieldTerm } from './terms';

function read(text: string, signal: 'traces' | 'spans' | 'logs' = 'traces'): Narrowing {
  return parseTerms(text).reduce((now, term) => withTerm(now, term, signal), NOT_NARROWED as Narrowing);
}

function params(text: string, signal: 'traces' | 'spans' | 'logs' = 'traces'): string {
  return narrowParams(read(text, signal), signal)
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

describe('terms to the parameters of the server', () => {
  it.each([
    ['service=frontend status=error http.route="/x" duration>100ms free text',
      'q=free text&service=frontend&status=error&min_duration=100ms&attr=http.route=/x'],
    ['service=a service=b service=a', 'service=a&service=b'],
    ['service!=a', 'attr=resource.service.name!=a'],
    ['service.name=a', 'service=a'],
    ['kind=SERVER kind!=client', 'kind=server&kind=internal&kind=producer&kind=consumer'],
    ['class=4xx status=5xx', 'status_class=4xx&status_class=5xx'],
    ['duration>=250µs duration<1m', 'min_duration=250us&max_duration=60s'],
    ['duration=3ns', 'min_duration=3&max_duration=3'],
    ['root=true', 'root=1'],
    ['http.response.status_code>=400', 'attr=http.response.status_code>=400'],
    ['http.route=*', 'attr=http.route'],
    ['attr.name=x', 'attr=name=x'],
    ['"a=b"!=c', 'attr="a=b"!=c'],
    ['a=""', 'attr=a='],
    ['"resource.a=b"=c', 'attr=resource."a=b"=c'],
  ])('%s', (text, expected) => expect(params(text)).toBe(expected));

  it.each([
    ['severity>=warn payment', 'q=payment&severity_min=13'],
    ['severity>=WARN3', 'severity_min=15'],
    ['severity>info', 'severity_min=13'],
    ['severity=error severity=FATAL', 'severity=ERROR&severity=FATAL'],
    ['severity<info', 'severity=TRACE&severity=DEBUG'],
    ['trace=0AF7651916cd43dd8448eb211c80319c', 'trace_id=0af7651916cd43dd8448eb211c80319c'],
    ['kind=server', 'attr=kind=server'],
  ])('of logs: %s', (text, expected) => expect(params(text, 'logs')).toBe(expected));

  it.each(['duration>100', 'duration!=1ms', 'kind=x', 'status>error', 'status=404', 'http.size>big', 'name=*', 'root=no', 'attr.=1'])(
    'refuses %s in words',
    (text) => expect(() => read(text)).toThrow(TermError),
  );

  it('leaves out what the list cannot take', () => {
    const now = { ...NOT_NARROWED, severity: 17, kinds: ['server'], traceId: 'ab' };
    expect(narrowParams(now, 'traces')).toEqual([['kind', 'server']]);
    expect(narrowParams(now, 'logs')).toEqual([['severity_min', '17'], ['trace_id', 'ab']]);
  });
});

describe('chipsOf', () => {
  it('says every filter as a term that means the same', () => {
    const text = 'service=a name="b c" status=error class=4xx kind=server root=true duration>=1ms duration<=2s x=1 attr.name=y';
    const now = read(text);
    const chips = chipsOf(now, 'traces');
    expect(chips.map((chip) => chip.text).join(' ')).toBe(text);
    expect(read(formatTerms(chips.map((chip) => chip.term)))).toEqual(now);
  });

  it('takes each filter away alone', () => {
    let now = read('service=a service=b severity>=warn trace=0af7651916cd43dd8448eb211c80319c span=00f067aa0ba902b7 k=*', 'logs');
    for (let left = chipsOf(now, 'logs').length; left > 0; left -= 1) {
      now = chipsOf(now, 'logs')[0]?.without ?? now;
      expect(chipsOf(now, 'logs')).toHaveLength(left - 1);
    }
    expect(isNarrowed(now, 'logs')).toBe(false);
  });

  it('shows errors=1 and status=error as one', () => {
    const now = { ...NOT_NARROWED, errorsOnly: true, statuses: ['error'] };
    expect(chipsOf(now, 'spans').map((chip) => chip.text)).toEqual(['status=error']);
    expect(toggled(now, 'statuses', 'error')).toEqual(NOT_NARROWED);
    expect(toggled({ ...NOT_NARROWED, errorsOnly: true }, 'statuses', 'error')).toEqual(NOT_NARROWED);
  });
});

describe('attribute conditions', () => {
  it('are read back as they were written', () => {
    const parts = ['a', 'resource.', 'http.route', '=', '!', '<', '>', '"', '\\', ' ', 'ü', '1'];
    let state = 7;
    const next = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const text = (least: number) => Array.from({ length: least + next(5) }, () => parts[next(parts.length)]).join('');
    for (let run = 0; run < 3_000; run += 1) {
      const operator = OPERATORS[next(OPERATORS.length)] ?? '=';
      // An operator is read as far as it goes, so a value never begins with its second half.
      const value = operator === 'exists' ? '' : text(0).replace(/^=+/, '');
      const term: FieldTerm = { key: text(1), operator, value };
      expect(parseAttr(formatAttr(term)), formatAttr(term)).toEqual(term);
    }
  });

  it('keep keys apart from those of the bar', () => {
    expect(attributeTermKey('name', 'traces')).toBe('attr.name');
    expect(attributeTermKey('name', 'logs')).toBe('name');
    expect(attributeTermKey('attr.x', 'logs')).toBe('attr.attr.x');
  });
});
