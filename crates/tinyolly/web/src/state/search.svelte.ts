/** A searched list with what surrounds it: counts over time and facets. It outlives its view, as lists do. */
import type { Signal } from '../filters/fields';
import { chipsOf, narrowingOf, type Narrowing } from '../filters/narrow';
import { askFilters, askList, questionKey } from '../lists/ask';
import { facetQuestions, readFacets, type Facet } from '../lists/facets';
import { bucketCount, readBuckets, type Buckets } from '../lists/histogram';
import type { Page } from '../lists/paged';
import type { SpanRow } from '../lists/rows';
import { lists, type Asked } from '../lists_api';
import type { LogRecord, TraceSummary } from '../model';
import type { Route } from '../route';
import type { WireFacets } from '../wire';
import { Fresh } from './fresh.svelte';
import { PagedList } from './paged_list.svelte';
import { router } from './router.svelte';

/** How often what surrounds the list is re-read at most: each of these is a scan of its own. */
const AROUND_MS = 2_500;

/** What one row is called. */
const ONE = { traces: 'trace', spans: 'span', logs: 'log' } as const;

export class Search<T> {
  readonly one: (typeof ONE)[Signal];
  readonly pages: PagedList<T>;
  readonly histogram = new Fresh<Buckets>(AROUND_MS);
  readonly counts = new Fresh<WireFacets>(AROUND_MS);
  /** Width of the histogram in pixels; 0 until it is known. */
  width = $state(0);

  constructor(
    readonly signal: Signal,
    fetchPage: (asked: Asked, cursor: string, abort: AbortSignal) => Promise<Page<T>>,
    key: (row: T) => string,
  ) {
    this.one = ONE[signal];
    this.pages = new PagedList(fetchPage, key);
  }

  /** Asks what the route asks: at once when it is new, else when due. */
  follow(route: Route, isPaused: boolean): void {
    const key = questionKey(route, this.signal);
    this.pages.follow({ key, ask: () => askList(route, this.signal, Date.now()) }, isPaused);
  }

  /** The same for counts over time and facets; without `hasFacets` those are left alone. */
  followAround(route: Route, hasFacets: boolean, isPaused: boolean): void {
    const signal = this.signal;
    const key = questionKey({ ...route, sort: '', order: '' }, signal);
    const buckets = bucketCount(this.width);
    if (this.width > 0) {
      const ask = async (abort: AbortSignal) =>
        readBuckets(await lists.histogram(signal, askFilters(route, signal, Date.now()), buckets, abort));
      this.histogram.follow(`${key} ${buckets}`, ask, isPaused);
    }
    if (hasFacets) this.counts.follow(key, (abort) => this.#facets(route, abort), isPaused);
  }

  facets(now: Narrowing): Facet[] {
    return readFacets(this.counts.value?.fields ?? {}, now, this.signal);
  }

  async #facets(route: Route, abort: AbortSignal): Promise<WireFacets> {
    const answers = await Promise.all(
      facetQuestions(route, this.signal).map((each) =>
        lists.facets(this.signal, askFilters(each.route, this.signal, Date.now()), each.fields, abort),
      ),
    );
    return {
      complete: answers.every((each) => each.complete),
      fields: Object.assign({}, ...answers.map((each) => each.fields)) as WireFacets['fields'],
    };
  }
}

export const traceSearch = new Search<TraceSummary>('traces', lists.traces, (row) => row.id);
export const spanSearch = new Search<SpanRow>('spans', lists.spans, (row) => row.key);
export const logSearch = new Search<LogRecord>('logs', lists.logs, (row) => row.id);

/** Takes every filter of the list away. */
export function clearFilters(signal: Signal): void {
  const now = narrowingOf(router.route);
  const cleared = chipsOf(now, signal).reduce<Narrowing>((rest) => chipsOf(rest, signal)[0]?.without ?? rest, now);
  router.replace({ ...cleared, search: '' });
}
