/** What the filter bar offers where the cursor stands. */
import { attributeTermKey, FIELDS, fieldOf, type Signal } from './fields';
import { formatTerm, isField, quote, tokenize, type Operator } from './terms';

/** Which part of which term the cursor is in; `start` to `end` is what a choice replaces. */
export type Place =
  | { part: 'key'; typed: string; start: number; end: number }
  | { part: 'value'; key: string; operator: Exclude<Operator, 'exists'>; typed: string; start: number; end: number };

export interface Offer {
  /** What is shown, and what it means. */
  label: string;
  hint: string;
  /** What takes the place of the typed part. */
  insert: string;
  /** The term is whole with it. */
  isWhole: boolean;
}

export interface Counted {
  value: string;
  count: number;
}

/** More would not be read. */
export const MOST_OFFERS = 12;

export function placeAt(input: string, caret: number): Place {
  const token = tokenize(input).find((each) => each.start <= caret && caret <= each.end);
  if (token === undefined) return { part: 'key', typed: '', start: caret, end: caret };
  if (isField(token.term) && caret >= token.valueStart) {
    const { key, operator, value } = token.term;
    const typed = operator === 'exists' ? '*' : value;
    return { part: 'value', key, operator: operator === 'exists' ? '=' : operator, typed, start: token.start, end: token.end };
  }
  const typed = isField(token.term) ? token.term.key : token.term.text;
  const isQuoted = input.charAt(token.start) === '"';
  return { part: 'key', typed: isQuoted ? '' : typed, start: token.start, end: isField(token.term) ? token.valueStart : token.end };
}

/** Best first: what begins with the typed text, then what holds it. */
function ranked<T>(all: readonly T[], typed: string, textOf: (each: T) => string): T[] {
  const wanted = typed.toLowerCase();
  const place = (each: T) => textOf(each).toLowerCase().indexOf(wanted);
  const begin = all.filter((each) => place(each) === 0);
  return [...begin, ...all.filter((each) => place(each) > 0)].slice(0, MOST_OFFERS);
}

/** The fields of the list, then the attributes that its data has. */
export function offerKeys(typed: string, signal: Signal, attributes: readonly { key: string; count: number }[]): Offer[] {
  const fields = FIELDS.filter((field) => field.signals.includes(signal)).map((field) => ({
    label: field.key,
    hint: field.hint,
    insert: field.key === 'duration' ? 'duration>' : `${field.key}=`,
    isWhole: false,
  }));
  const known = attributes.map(({ key, count }) => {
    const term = formatTerm({ key: attributeTermKey(key, signal), operator: '=', value: 'x' });
    return { label: key, hint: `attribute, ${count}`, insert: term.slice(0, -1), isWhole: false };
  });
  return ranked([...fields, ...known], typed, (each) => each.label);
}

/** The values of a key: the few that it takes, or those that the data has. */
export function offerValues(place: Extract<Place, { part: 'value' }>, signal: Signal, found: readonly Counted[]): Offer[] {
  const field = fieldOf(place.key, signal);
  const values: Counted[] = field?.values?.map((value) => ({ value, count: -1 })) ?? [...found];
  const isExact = values.some((each) => each.value === place.typed) && values.length === 1;
  if (isExact) return [];
  return ranked(values, place.typed === '*' ? '' : place.typed, (each) => each.value).map(({ value, count }) => ({
    label: value === '' ? '(empty)' : value,
    hint: count < 0 ? '' : String(count),
    insert: formatTerm({ key: place.key, operator: place.operator, value }),
    isWhole: true,
  }));
}

/** The input with an offer taken, and where the cursor goes. */
export function take(input: string, place: Place, offer: Offer): { input: string; caret: number } {
  const rest = input.slice(place.end);
  const gap = offer.isWhole && !/^\s/.test(rest) ? ' ' : '';
  const head = input.slice(0, place.start) + offer.insert + gap;
  return { input: head + rest, caret: head.length };
}

export interface Split {
  /** Terms that are typed to their end, as text. */
  done: string[];
  /** The rest, which is still being typed or is free text. */
  draft: string;
}

/**
 * Parts what is typed into whole field terms and the rest. While it is typed, a term is whole when a blank follows it;
 * on Enter (`isFinal`) every field with a value is.
 */
export function splitDraft(input: string, isFinal: boolean): Split {
  const done: string[] = [];
  let draft = '';
  let at = 0;
  for (const token of tokenize(input)) {
    const isFollowed = /\s/.test(input.charAt(token.end));
    if (isField(token.term) && (!token.isOpen || (isFinal && token.term.value !== '')) && (isFinal || isFollowed)) {
      done.push(formatTerm(token.term));
      draft += input.slice(at, token.start);
      at = isFollowed ? token.end + 1 : token.end;
    }
  }
  draft += input.slice(at);
  return { done, draft: done.length > 0 ? draft.replace(/\s+/g, (blank) => blank.charAt(0)).trimStart() : draft };
}

/** The free text of a draft as the server searches for it: quotes only hold it together. */
export function freeText(draft: string): string {
  const texts = tokenize(draft).flatMap(({ term }) => (isField(term) ? [] : [term.text]));
  return texts.join(' ').trim();
}

/** Free text as the bar has to show it, so that it is read as the same text. */
export function showText(text: string): string {
  return freeText(text) === text ? text : quote(text);
}
