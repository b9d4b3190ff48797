/** One open trace with its logs, and the news that more of it has arrived. */
import { api, ApiError, type TraceDetail } from '../api';
import { Refresher } from '../lists/refresher';
import type { LogRecord } from '../model';
import { fromMillis, minus } from '../time';

/** After this long without a new span a trace counts as complete and is not asked for again. */
const QUIET_NS = 60_000_000_000n;

/** Logs that a trace shows at most. */
const MOST_LOGS = 1_000;

/** Traces of other hosts whose logs are asked for as well: each takes a request. */
const MOST_LOG_TRACES = 20;

export class OpenTrace {
  detail = $state.raw<TraceDetail | null>(null);
  logs = $state.raw<LogRecord[]>([]);
  error = $state('');
  isMissing = $state(false);
  /** A later answer with more spans, kept back until it is asked for. */
  #newer = $state.raw<TraceDetail | null>(null);

  readonly #controller = new AbortController();
  readonly #refresher = new Refresher(() => this.#load());

  constructor(readonly id: string) {}

  get waiting(): number {
    return this.#newer && this.detail ? this.#newer.spans.length - this.detail.spans.length : 0;
  }

  /** Loads the trace, and again on news while it is young enough to grow. */
  refresh(): void {
    if (this.detail === null || this.#isYoung()) this.#refresher.ask();
  }

  release(): void {
    if (this.#newer) this.detail = this.#newer;
    this.#newer = null;
  }

  stop(): void {
    this.#refresher.stop();
    this.#controller.abort();
  }

  #isYoung(): boolean {
    const ends = (this.#newer ?? this.detail)?.spans.map((span) => span.end) ?? [];
    const last = ends.reduce((most, end) => (end > most ? end : most), fromMillis(0));
    return minus(fromMillis(Date.now()), last) < QUIET_NS;
  }

  /** Oldest first; a log names the trace of its own host. */
  async #logsOf(traceIds: readonly string[]): Promise<LogRecord[]> {
    const signal = this.#controller.signal;
    const answers = await Promise.all(traceIds.map((traceId) => api.logs({ limit: MOST_LOGS, traceId }, signal)));
    const logs = answers.flatMap((answer) => answer.reverse());
    if (answers.length > 1) logs.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
    return logs;
  }

  async #load(): Promise<void> {
    const signal = this.#controller.signal;
    try {
      const detail = await api.trace(this.id, signal);
      const logs = await this.#logsOf([detail.id, ...detail.wire.joined_trace_ids.slice(0, MOST_LOG_TRACES)]);
      if (this.detail === null) this.detail = detail;
      else if (detail.spans.length > this.detail.spans.length) this.#newer = detail;
      if (logs.length !== this.logs.length) this.logs = logs;
      this.error = '';
      this.isMissing = false;
    } catch (error) {
      if (signal.aborted) return;
      this.isMissing = error instanceof ApiError && error.status === 404;
      this.error = error instanceof ApiError ? error.message : String(error);
    }
  }
}
