/** A list of the server's, re-read when there is news, held still while it is read. */
import { ApiError } from '../api';
import { emptyHeld, offer, release, waiting, type Held } from '../lists/held';
import { Refresher } from '../lists/refresher';

export class LiveList<T, Q> {
  held = $state.raw<Held<T>>(emptyHeld());
  status = $state<'loading' | 'ready' | 'failed'>('loading');
  error = $state('');
  /** Set by the list on the screen: scrolled, hovered or focused. */
  isReading = $state(false);
  /** The row with the keyboard's cursor. */
  cursor = $state('');
  /** Kept while another view is open, to return to the same place. */
  scrollTop = 0;

  #query: Q | null = null;
  #isReplaced = true;
  #controller: AbortController | null = null;
  readonly #refresher = new Refresher(() => this.#fetch());

  constructor(
    private readonly fetchRows: (query: Q, signal: AbortSignal) => Promise<T[]>,
    readonly key: (row: T) => string,
  ) {}

  /** Asks for rows: at once and whatever is being read when the question changed, else when due and not paused. */
  follow(query: Q, isPaused: boolean): void {
    if (JSON.stringify(query) !== JSON.stringify(this.#query)) {
      this.#query = query;
      this.#isReplaced = true;
      void this.#fetch();
    } else if (!isPaused) {
      this.#refresher.ask();
    }
  }

  retry(): void {
    this.#refresher.ask();
  }

  waiting(isWanted: (row: T) => boolean): number {
    return waiting(this.held, this.key, isWanted);
  }

  release(): void {
    if (this.held.shown !== this.held.latest) this.held = release(this.held);
  }

  async #fetch(): Promise<void> {
    const query = this.#query;
    if (query === null) return;
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const rows = await this.fetchRows(query, controller.signal);
      if (controller.signal.aborted) return;
      this.held = offer(this.held, rows, this.key, this.isReading && !this.#isReplaced);
      this.#isReplaced = false;
      this.status = 'ready';
      this.error = '';
    } catch (error) {
      if (controller.signal.aborted) return;
      this.status = 'failed';
      this.error = error instanceof ApiError ? error.message : String(error);
    }
  }
}
