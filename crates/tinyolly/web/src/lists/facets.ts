/** The facets of a list: which fields, which of their values hold, and what to ask for their counts. */
import { SEVERITY_CLASSES, STATUS_CLASSES, type Signal } from '../filters/fields';
import { narrowingOf, type ListKey, type Narrowing } from '../filters/narrow';
import type { Route } from '../route';
import type { WireCount } from '../wire';

export interface FacetValue {
  value: string;
  label: string;
  count: number;
  isOn: boolean;
  isError: boolean;
}

export interface Facet {
  field: string;
  title: string;
  list: ListKey;
  values: readonly FacetValue[];
}

interface FacetField {
  field: string;
  title: string;
  list: ListKey;
  /** Values in their own order, where they have one. */
  order?: readonly string[];
}

const SPAN_FACETS: readonly FacetField[] = [
  { field: 'service', title: 'Service', list: 'services' },
  { field: 'status', title: 'Status', list: 'statuses' },
  { field: 'status_class', title: 'HTTP status', list: 'statusClasses', order: STATUS_CLASSES },
  { field: 'kind', title: 'Kind', list: 'kinds' },
  { field: 'name', title: 'Span name', list: 'names' },
];

const LOG_FACETS: readonly FacetField[] = [
  { field: 'service', title: 'Service', list: 'services' },
  { field: 'severity', title: 'Severity', list: 'severities', order: SEVERITY_CLASSES },
];

export function facetFields(signal: Signal): readonly FacetField[] {
  return signal === 'logs' ? LOG_FACETS : SPAN_FACETS;
}

/** The route without the choices of a field, whose other values are to be counted too. */
function without(route: Route, list: ListKey): Route {
  return { ...route, [list]: [], ...(list === 'statuses' && { errorsOnly: false }) };
}

function chosen(now: Narrowing, list: ListKey): readonly string[] {
  return list === 'statuses' && now.errorsOnly ? [...new Set([...now.statuses, 'error'])] : now[list];
}

/**
 * What to ask: a field with choices is counted as if it had none, so that more can be chosen; all others are counted
 * together.
 */
export function facetQuestions(route: Route, signal: Signal): { route: Route; fields: string[] }[] {
  const now = narrowingOf(route);
  const isChosen = (each: FacetField) => chosen(now, each.list).length > 0;
  const fields = facetFields(signal);
  const free = fields.filter((each) => !isChosen(each)).map((each) => each.field);
  const alone = fields.filter(isChosen).map((each) => ({ route: without(route, each.list), fields: [each.field] }));
  return free.length > 0 ? [{ route, fields: free }, ...alone] : alone;
}

/** Facets with their counts; a choice that no longer occurs stays, to be taken back. */
export function readFacets(counts: Record<string, WireCount[]>, now: Narrowing, signal: Signal): Facet[] {
  return facetFields(signal).map(({ field, title, list, order }) => {
    const on = chosen(now, list);
    const found = counts[field] ?? [];
    const lost = on.filter((value) => !found.some((each) => same(each.value, value, field)));
    const values = [...found, ...lost.map((value) => ({ value, count: 0 }))]
      .filter((each) => each.value !== '')
      .map(({ value, count }) => ({
        value,
        label: value,
        count,
        isOn: on.some((each) => same(each, value, field)),
        isError: (field === 'status' && value === 'error') || value === '5xx' || isBad(field, value),
      }));
    if (order) values.sort((a, b) => order.indexOf(a.value) - order.indexOf(b.value));
    return { field, title, list, values };
  });
}

function isBad(field: string, value: string): boolean {
  return field === 'severity' && (value === 'ERROR' || value === 'FATAL');
}

function same(a: string, b: string, field: string): boolean {
  return field === 'service' || field === 'name' ? a === b : a.toLowerCase() === b.toLowerCase();
}
