/** A condition on an attribute in the server's spelling: `key`, `key=value`, `"a=b">1`. */
import { quote, readQuoted, type FieldTerm, type Operator } from './terms';

/** What an unquoted key cannot hold. */
const MARKS = /[=!<>"]/;

/** Before the key, outside of its quotes, it means the resource. */
const RESOURCE = 'resource.';

export function formatAttr(term: FieldTerm): string {
  const scope = term.key.startsWith(RESOURCE) && term.key !== RESOURCE ? RESOURCE : '';
  const bare = term.key.slice(scope.length);
  const key = scope + (MARKS.test(bare) || bare !== bare.trim() ? quote(bare) : bare);
  return term.operator === 'exists' ? key : `${key}${term.operator}${term.value}`;
}

export function parseAttr(text: string): FieldTerm {
  const scope = text.startsWith(`${RESOURCE}"`) ? RESOURCE : '';
  let key: string;
  let rest: string;
  if (text.startsWith('"', scope.length)) {
    const quoted = readQuoted(text, scope.length);
    key = scope + quoted.text;
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
