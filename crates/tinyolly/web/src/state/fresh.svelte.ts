/** A value of the server's that is re-read when there is news, such as counts over time. */
import { ApiError } from '../api';
import { Refresher } from '../lists/refresher';

export class Fresh<T> {
  value = $state.raw<T | null>(null);
  error = $state('');
  /** The value answers an earlier question than the one that stands. */
  isStale = $state(false);

  #key = '';
  #fetch: ((signal: AbortSignal) => Promise<T>) | null = null;
  #controller: AbortController | null = null;
  readonly #refresher: Refresher;

  constructor(intervalMs: number) {
    this.#refresher = new Refresher(() => this.#run(), intervalMs);
  }

  /** Asks at once when the question changed, else when due and not paused. */
  follow(key: string, fetch: (signal: AbortSignal) => Promise<T>, isPaused: boolean): void {
    const isNew = key !== this.#key;
    this.#key = key;
    this.#fetch = fetch;
    if (isNew) {
      this.isStale = true;
      void this.#run();
    } else if (!isPaused) {
      this.#refresher.ask();
    }
  }

  async #run(): Promise<void> {
    if (this.#fetch === null) return;
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const value = await this.#fetch(controller.signal);
      if (controller.signal.aborted) return;
      this.value = value;
      this.error = '';
      this.isStale = false;
    } catch (error) {
      if (controller.signal.aborted) return;
      this.error = error instanceof ApiError ? error.message : String(error);
    }
  }
}
