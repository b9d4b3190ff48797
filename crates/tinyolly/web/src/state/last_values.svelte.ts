/** The last value of each metric that has one number: a gauge or sum of a single series. */
import { SvelteMap } from 'svelte/reactivity';
import { api, metricKey } from '../api';
import { pointValue } from '../metrics/series';
import { minus, parseNanos, plus, type Nanos } from '../time';
import type { WireMetricSummary } from '../wire';

/** How far back from the metric's last time its last point is looked for. */
const REACH = 1_000_000n as Nanos;

export class LastValues {
  readonly #known = new SvelteMap<string, { time: string; value: number | null }>();
  readonly #controller = new AbortController();
  #wanted: readonly WireMetricSummary[] = [];
  #isLoading = false;

  of(metric: WireMetricSummary): number | null {
    return this.#known.get(metricKey(metric))?.value ?? null;
  }

  /** Looks up what has changed, one request at a time, so that a long list does not flood the server. */
  load(metrics: readonly WireMetricSummary[]): void {
    this.#wanted = metrics.filter((each) => each.series_count === 1 && (each.type === 'gauge' || each.type === 'sum'));
    if (!this.#isLoading) void this.#run();
  }

  stop(): void {
    this.#controller.abort();
  }

  #next(): WireMetricSummary | undefined {
    return this.#wanted.find((each) => this.#known.get(metricKey(each))?.time !== each.last_time);
  }

  async #run(): Promise<void> {
    this.#isLoading = true;
    for (let metric = this.#next(); metric && !this.#controller.signal.aborted; metric = this.#next()) {
      const value = await this.#fetch(metric);
      this.#known.set(metricKey(metric), { time: metric.last_time, value });
    }
    this.#isLoading = false;
  }

  async #fetch(metric: WireMetricSummary): Promise<number | null> {
    const last = parseNanos(metric.last_time);
    const range = { start: minus(last, REACH), end: plus(last, REACH) };
    try {
      const answer = await api.metric(metric, this.#controller.signal, range);
      return pointValue(answer.series[0]?.datapoints.at(-1)?.value);
    } catch {
      // The number is an extra of the list; the metric itself says what is wrong when it is opened.
      return null;
    }
  }
}
