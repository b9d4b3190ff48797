/** A condition on an attribute in the server's spelling: `key`, `key=value`, `"a=b">1`. */
import { quote, readQuoted, type FieldTerm, type Operator } from './terms';

/** What an unquoted key cannot hold. */
const MARKS = /[=!<>"]/;

export function formatAttr(term: FieldTerm): string {
  const key = MARKS.test(term.key) || term.key !== term.key.trim() ? quote(term.key) : term.key;
  return term.operator === 'exists' ? key : `${key}${term.operator}${term.value}`;
}

export function parseAttr(text: string): FieldTerm {
  let key: string;
  let rest: string;
  if (text.startsWith('"')) {
    const quoted = readQuoted(text, 0);
    key = quoted.text;
    rest = text.slice(quoted.end);
  } else {
    const end = text.search(MARKS);
    key = end < 0 ? text : text.slice(0, end);
    rest = end < 0 ? '' : text.slice(end);
  }
  const operator = /^(?:!=|>=|<=|=|>|<)/.exec(rest)?.[0] as Operator | undefined;
  if (operator === undefined) return { key: key + rest, operator: 'exists', value: '' };
  return { key, operator, value: rest.slice(operator.length) };
}
