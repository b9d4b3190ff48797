/** Between the terms of the filter bar and the filters of the route. */
import { NO_FILTERS, type Filters, type Route } from '../route';
import { formatAttr, parseAttr } from './attr';
import { attributeKey, attributeTermKey, fieldOf, KINDS, SEVERITY_CLASSES, STATUSES, STATUS_CLASSES, type Signal } from './fields';
import { formatTerm, isField, isSame, type FieldTerm, type Term } from './terms';

/** What narrows a list: the filters of the route and, on logs and spans, a trace. */
export type Narrowing = Filters & Pick<Route, 'traceId' | 'spanId'>;

export const NOT_NARROWED: Readonly<Narrowing> = { ...NO_FILTERS, traceId: '', spanId: '' };

/** The part of a route that narrows its list. */
export function narrowingOf(route: Route): Narrowing {
  const narrowing: Record<string, unknown> = {};
  for (const name of Object.keys(NOT_NARROWED) as (keyof Narrowing)[]) narrowing[name] = route[name];
  return narrowing as unknown as Narrowing;
}

export type ListKey = 'services' | 'names' | 'kinds' | 'statuses' | 'statusClasses' | 'severities' | 'attrs';

/** A term that the list cannot take, in words. */
export class TermError extends Error {}

/** The filters with a term more; a term of the same meaning changes nothing. Throws TermError. */
export function withTerm(now: Narrowing, term: Term, signal: Signal): Narrowing {
  if (!isField(term)) return { ...now, search: `${now.search} ${term.text}`.trim() };
  const field = fieldOf(term.key, signal);
  switch (field?.key) {
    case undefined:
      return add(now, 'attrs', [attr(term)]);
    case 'service':
      return term.operator === '!='
        ? add(now, 'attrs', [formatAttr({ ...term, key: 'resource.service.name' })])
        : add(now, 'services', [equal(term)]);
    case 'name':
      return add(now, 'names', [equal(term)]);
    case 'kind':
      return add(now, 'kinds', oneOf(term, KINDS));
    case 'status':
      if (STATUS_CLASSES.some((each) => each === term.value.toLowerCase())) {
        return add(now, 'statusClasses', oneOf(term, STATUS_CLASSES));
      }
      return add(now, 'statuses', oneOf(term, STATUSES));
    case 'class':
      return add(now, 'statusClasses', oneOf(term, STATUS_CLASSES));
    case 'duration':
      return withDuration(now, term);
    case 'root':
      return { ...now, rootOnly: isTrue(term) };
    case 'severity':
      return withSeverity(now, term);
    case 'trace':
      return { ...now, traceId: hex(term, 32) };
    case 'span':
      return { ...now, spanId: hex(term, 16) };
    default:
      return now;
  }
}

function add(now: Narrowing, list: ListKey, values: readonly string[]): Narrowing {
  return { ...now, [list]: [...new Set([...now[list], ...values])] };
}

function equal(term: FieldTerm): string {
  if (term.operator !== '=' || term.value === '') throw new TermError(`${term.key} takes = and a value`);
  return term.value;
}

function attr(term: FieldTerm): string {
  const key = attributeKey(term.key);
  if (key === '') throw new TermError('an attribute has a key');
  if (['>', '>=', '<', '<='].includes(term.operator) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(term.value)) {
    throw new TermError(`${key} ${term.operator} compares with a number`);
  }
  return formatAttr({ ...term, key });
}

/** `=` one of the values, `!=` all others. */
function oneOf(term: FieldTerm, values: readonly string[]): string[] {
  const value = values.find((each) => each.toLowerCase() === term.value.toLowerCase());
  if (value === undefined || (term.operator !== '=' && term.operator !== '!=')) {
    const hint = /^[1-5]\d\d$/.test(term.value) ? '; for one code filter by http.response.status_code' : '';
    throw new TermError(`${term.key} is one of ${values.join(', ')}${hint}`);
  }
  return term.operator === '=' ? [value] : values.filter((each) => each !== value);
}

function isTrue(term: FieldTerm): boolean {
  if (term.operator !== '=' || !/^(true|1|yes)$/i.test(term.value)) throw new TermError(`${term.key} takes =true`);
  return true;
}

function hex(term: FieldTerm, length: number): string {
  const id = term.value.toLowerCase();
  if (term.operator !== '=' || id.length !== length || !/^[0-9a-f]+$/.test(id)) {
    throw new TermError(`${term.key} takes = and ${length} hex digits`);
  }
  return id;
}

/** The server's spelling of a duration: it knows ns, us, ms and s. */
function duration(term: FieldTerm): string {
  const match = /^(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|m|min|h)$/i.exec(term.value);
  if (match === null) throw new TermError('duration takes a number with its unit, such as 250us, 100ms or 2s');
  const [, number = '', unit = ''] = match;
  switch (unit.toLowerCase()) {
    case 'm':
    case 'min':
      return `${Number(number) * 60}s`;
    case 'h':
      return `${Number(number) * 3600}s`;
    case 'ns':
      return String(Math.round(Number(number)));
    case 'ms':
    case 's':
      return `${Number(number)}${unit.toLowerCase()}`;
    default:
      return `${Number(number)}us`;
  }
}

function withDuration(now: Narrowing, term: FieldTerm): Narrowing {
  const length = duration(term);
  switch (term.operator) {
    case '>':
    case '>=':
      return { ...now, minDuration: length };
    case '<':
    case '<=':
      return { ...now, maxDuration: length };
    case '=':
      return { ...now, minDuration: length, maxDuration: length };
    default:
      throw new TermError('duration takes >, < or =');
  }
}

function withSeverity(now: Narrowing, term: FieldTerm): Narrowing {
  const match = /^(trace|debug|info|warn|error|fatal)(?:ing)?([2-4]?)$/i.exec(term.value);
  const place = SEVERITY_CLASSES.findIndex((each) => each === match?.[1]?.toUpperCase());
  if (place < 0) throw new TermError(`severity is one of ${SEVERITY_CLASSES.join(', ')}`);
  const step = Number(match?.[2] || 1) - 1;
  switch (term.operator) {
    case '>=':
      return { ...now, severity: place * 4 + 1 + step };
    case '>':
      if (place === SEVERITY_CLASSES.length - 1) throw new TermError('nothing is above FATAL');
      return { ...now, severity: place * 4 + 5 };
    case '<':
    case '<=':
      return add(now, 'severities', SEVERITY_CLASSES.slice(0, term.operator === '<' ? place : place + 1));
    default:
      return add(now, 'severities', oneOf({ ...term, value: SEVERITY_CLASSES[place] ?? '' }, SEVERITY_CLASSES));
  }
}

/** A filter that holds, as a term, with what is left when it is removed. */
export interface Chip {
  term: FieldTerm;
  text: string;
  without: Narrowing;
}

function severityName(least: number): string {
  const name = SEVERITY_CLASSES[Math.floor((least - 1) / 4)] ?? 'FATAL';
  const step = (least - 1) % 4;
  return step === 0 ? name : `${name}${step + 1}`;
}

function durationText(text: string): string {
  return /^\d+$/.test(text) ? `${text}ns` : text;
}

/** The filters that a list of the signal obeys, except for the free text. */
export function chipsOf(now: Narrowing, signal: Signal): Chip[] {
  const chips: Chip[] = [];
  const put = (term: FieldTerm, without: Narrowing) => chips.push({ term, text: formatTerm(term), without });
  const equals = (key: string, value: string): FieldTerm => ({ key, operator: '=', value });
  const list = (key: string, name: ListKey, termOf = (value: string) => equals(key, value)) => {
    for (const value of now[name]) put(termOf(value), toggled(now, name, value));
  };
  list('service', 'services');
  if (signal === 'logs') {
    if (now.severity > 0) {
      put({ key: 'severity', operator: '>=', value: severityName(now.severity) }, { ...now, severity: 0 });
    }
    list('severity', 'severities');
  } else {
    list('name', 'names');
    list('status', 'statuses');
    if (now.errorsOnly && !now.statuses.includes('error')) put(equals('status', 'error'), { ...now, errorsOnly: false });
    list('class', 'statusClasses');
    list('kind', 'kinds');
    if (now.rootOnly) put(equals('root', 'true'), { ...now, rootOnly: false });
    if (now.minDuration !== '') {
      put({ key: 'duration', operator: '>=', value: durationText(now.minDuration) }, { ...now, minDuration: '' });
    }
    if (now.maxDuration !== '') {
      put({ key: 'duration', operator: '<=', value: durationText(now.maxDuration) }, { ...now, maxDuration: '' });
    }
  }
  list('', 'attrs', (text) => {
    const term = parseAttr(text);
    return { ...term, key: attributeTermKey(term.key, signal) };
  });
  if (signal !== 'traces' && now.traceId !== '') put(equals('trace', now.traceId), { ...now, traceId: '' });
  if (signal === 'logs' && now.spanId !== '') put(equals('span', now.spanId), { ...now, spanId: '' });
  return chips;
}

export function isNarrowed(now: Narrowing, signal: Signal): boolean {
  return now.search.trim() !== '' || chipsOf(now, signal).length > 0;
}

/** The filters with a value of a list switched on or off. */
export function toggled(now: Narrowing, list: ListKey, value: string): Narrowing {
  const values = now[list];
  const isError = list === 'statuses' && value === 'error';
  const isOn = values.includes(value) || (isError && now.errorsOnly);
  return {
    ...now,
    ...(isError && { errorsOnly: false }),
    [list]: isOn ? values.filter((each) => each !== value) : [...values, value],
  };
}

/** Does the filter say already what the term says? */
export function holds(now: Narrowing, term: Term, signal: Signal): boolean {
  return isField(term) && chipsOf(now, signal).some((chip) => isSame(chip.term, term));
}

/** The parameters of the server for a list of the signal, as often as each is needed; what does not apply is left out. */
export function narrowParams(now: Narrowing, signal: Signal): [string, string][] {
  const params: [string, string][] = [];
  const put = (name: string, value: string) => {
    if (value !== '') params.push([name, value]);
  };
  const all = (name: string, values: readonly string[]) => {
    for (const value of values) put(name, value);
  };
  put('q', now.search.trim());
  all('service', now.services);
  if (signal === 'logs') {
    if (now.severity > 0) put('severity_min', String(now.severity));
    all('severity', now.severities);
    put('span_id', now.spanId);
  } else {
    all('name', now.names);
    all('kind', now.kinds);
    all('status', now.statuses);
    all('status_class', now.statusClasses);
    put('min_duration', now.minDuration);
    put('max_duration', now.maxDuration);
    if (now.errorsOnly) put('errors', '1');
    if (now.rootOnly) put('root', '1');
  }
  all('attr', now.attrs);
  if (signal !== 'traces') put('trace_id', now.traceId);
  return params;
}
