/**
 * The language of the filter bar: `service=frontend http.route="/a b" duration>100ms free text`. A term is a key, an
 * operator and a value, or text. Quotes hold blanks and operators; inside them a backslash makes the next character
 * plain. What is no term is text, so any input means something and nothing is refused while it is typed.
 */

export const OPERATORS = ['=', '!=', '>', '>=', '<', '<=', 'exists'] as const;
export type Operator = (typeof OPERATORS)[number];

export interface FieldTerm {
  key: string;
  operator: Operator;
  /** Empty for `exists`. */
  value: string;
}

export interface TextTerm {
  text: string;
}

export type Term = FieldTerm | TextTerm;

/** A term and where it stands. */
export interface Token {
  start: number;
  /** One past the last character. */
  end: number;
  term: Term;
  /** Where the value begins, its quote included; -1 for text. */
  valueStart: number;
  /** Neither a value nor the end of a quote has been typed yet. */
  isOpen: boolean;
}

/** Keys that take `:` for `=`, as other tools write it; elsewhere a colon is a character like any other. */
const COLON_KEYS = new Set(['service', 'name', 'kind', 'status', 'class', 'severity', 'trace', 'span', 'event']);

export function isField(term: Term): term is FieldTerm {
  return 'key' in term;
}

export interface Quoted {
  text: string;
  end: number;
  isClosed: boolean;
}

export function readQuoted(input: string, start: number): Quoted {
  let text = '';
  let at = start + 1;
  while (at < input.length) {
    const char = input.charAt(at);
    if (char === '"') return { text, end: at + 1, isClosed: true };
    if (char === '\\' && at + 1 < input.length) at += 1;
    text += input.charAt(at);
    at += 1;
  }
  return { text, end: at, isClosed: false };
}

function wordEnd(input: string, start: number): number {
  const rest = /\s/.exec(input.slice(start));
  return rest === null ? input.length : start + rest.index;
}

function operatorAt(input: string, at: number): { operator: Exclude<Operator, 'exists'>; end: number } | null {
  const found = /^(?:!=|>=|<=|=|>|<)/.exec(input.slice(at, at + 2))?.[0];
  return found === undefined ? null : { operator: found as Exclude<Operator, 'exists'>, end: at + found.length };
}

/** The key before an operator, when there is one: it begins like a name, so that `/a?b=c` and `<p>` stay text. */
function readKey(input: string, start: number): { key: string; end: number } | null {
  if (input.charAt(start) === '"') {
    const quoted = readQuoted(input, start);
    const isKey = quoted.isClosed && quoted.text !== '' && operatorAt(input, quoted.end) !== null;
    return isKey ? { key: quoted.text, end: quoted.end } : null;
  }
  const key = /^[\p{L}\p{N}_@$.][^\s"=!<>]*/u.exec(input.slice(start))?.[0];
  if (key === undefined) return null;
  const colon = key.indexOf(':');
  if (colon > 0 && COLON_KEYS.has(key.slice(0, colon))) return { key: key.slice(0, colon), end: start + colon };
  return key.includes('://') ? null : { key, end: start + key.length };
}

function readField(input: string, start: number): Token | null {
  const name = readKey(input, start);
  if (name === null) return null;
  const isColon = input.charAt(name.end) === ':';
  const sign = isColon ? { operator: '=' as const, end: name.end + 1 } : operatorAt(input, name.end);
  if (sign === null) return null;
  const valueStart = sign.end;
  if (input.charAt(valueStart) === '"') {
    const { text, end, isClosed } = readQuoted(input, valueStart);
    return { start, end, valueStart, isOpen: !isClosed, term: { key: name.key, operator: sign.operator, value: text } };
  }
  const end = wordEnd(input, valueStart);
  const value = input.slice(valueStart, end);
  const doesExist = sign.operator === '=' && value === '*';
  const term: FieldTerm = doesExist
    ? { key: name.key, operator: 'exists', value: '' }
    : { key: name.key, operator: sign.operator, value };
  return { start, end, valueStart, isOpen: value === '', term };
}

function readText(input: string, start: number): Token {
  if (input.charAt(start) === '"') {
    const { text, end, isClosed } = readQuoted(input, start);
    return { start, end, valueStart: -1, isOpen: !isClosed, term: { text } };
  }
  const end = wordEnd(input, start);
  return { start, end, valueStart: -1, isOpen: false, term: { text: input.slice(start, end) } };
}

/** Every term with its place, in order. */
export function tokenize(input: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < input.length) {
    if (/\s/.test(input.charAt(at))) {
      at += 1;
      continue;
    }
    const token = readField(input, at) ?? readText(input, at);
    tokens.push(token);
    at = token.end;
  }
  return tokens;
}

/** The terms that say something: a field without a value yet, and empty text, do not. */
export function parseTerms(input: string): Term[] {
  return tokenize(input)
    .filter(({ term, isOpen }) => (isField(term) ? !(isOpen && term.value === '') : term.text !== ''))
    .map((token) => token.term);
}

export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function formatKey(key: string): string {
  return readKey(`${key}=`, 0)?.key === key ? key : quote(key);
}

function formatValue(value: string): string {
  // `a>` before `=b` would read as `a>=b`.
  return value === '' || value === '*' || /\s|^["=]/.test(value) ? quote(value) : value;
}

/** The term as it would be typed; `parseTerms` reads it back as the same. */
export function formatTerm(term: Term): string {
  if (!isField(term)) {
    const [first, ...others] = tokenize(term.text);
    const isPlain = first !== undefined && others.length === 0 && !isField(first.term) && first.term.text === term.text;
    return isPlain ? term.text : quote(term.text);
  }
  if (term.operator === 'exists') return `${formatKey(term.key)}=*`;
  return `${formatKey(term.key)}${term.operator}${formatValue(term.value)}`;
}

export function formatTerms(terms: readonly Term[]): string {
  return terms.map(formatTerm).join(' ');
}

export function isSame(a: Term, b: Term): boolean {
  return formatTerm(a) === formatTerm(b);
}
