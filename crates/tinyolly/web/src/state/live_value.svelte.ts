/** One answer of the server's, re-read when there is news; the last good one stays while the next is fetched. */
import { ApiError } from '../api';
import { Refresher } from '../lists/refresher';

export class LiveValue<T, Q> {
  value = $state.raw<T | null>(null);
  status = $state<'loading' | 'ready' | 'failed'>('loading');
  error = $state('');
  /** The HTTP status of the failure, 0 when no answer came. */
  code = $state(0);
  /** The question that `value` answers is not the one that is asked: another range, another name. */
  isStale = $state(false);

  #query: Q | null = null;
  #controller: AbortController | null = null;
  readonly #refresher: Refresher;

  /** `interval` is the least time between two reads, in milliseconds. */
  constructor(
    private readonly fetchValue: (query: Q, signal: AbortSignal) => Promise<T>,
    interval = 2_000,
  ) {
    this.#refresher = new Refresher(() => this.#fetch(), interval);
  }

  /** Asks at once when the question changed, else when due and not paused. */
  follow(query: Q, isPaused: boolean): void {
    if (JSON.stringify(query) !== JSON.stringify(this.#query)) {
      this.#query = query;
      this.isStale = this.value !== null;
      void this.#fetch();
    } else if (!isPaused) {
      this.#refresher.ask();
    }
  }

  retry(): void {
    this.#refresher.ask();
  }

  /** Ends what is under way; nothing is asked any more. */
  stop(): void {
    this.#controller?.abort();
    this.#refresher.stop();
  }

  async #fetch(): Promise<void> {
    const query = this.#query;
    if (query === null) return;
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const value = await this.fetchValue(query, controller.signal);
      if (controller.signal.aborted) return;
      this.value = value;
      this.isStale = false;
      this.status = 'ready';
      this.error = '';
    } catch (error) {
      if (controller.signal.aborted) return;
      this.status = 'failed';
      this.code = error instanceof ApiError ? error.status : 0;
      this.error = error instanceof ApiError ? error.message : String(error);
    }
  }
}
