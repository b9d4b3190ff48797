/** A list of the server's, page by page, re-read when there is news and held still while it is read. */
import { ApiError } from '../api';
import { append, emptyPaged, insertLive, offerTop, releaseTop, waitingOf, type Page, type Paged } from '../lists/paged';
import { Refresher } from '../lists/refresher';
import type { Asked } from '../lists_api';

export interface Question {
  /** The same text for the same question, whatever the clock says. */
  key: string;
  /** The parameters at the moment of asking. */
  ask: () => Asked;
}

/** Pages that are read at once when the server's time was up before it found enough to fill the screen. */
const MOST_FOLLOWED = 8;
const ENOUGH_ROWS = 30;

export class PagedList<T> {
  list = $state.raw<Paged<T>>(emptyPaged());
  status = $state<'loading' | 'ready' | 'failed'>('loading');
  error = $state('');
  isLoadingMore = $state(false);
  /** Set by the list on the screen: scrolled, hovered or focused. */
  isReading = $state(false);
  /** The row with the keyboard's cursor. */
  cursor = $state('');
  /** Kept while another view is open, to return to the same place. */
  scrollTop = 0;
  /** Counts the answers to new questions: what is shown then is another list. */
  generation = $state(0);

  #question: Question | null = null;
  #isReplaced = true;
  #top: AbortController | null = null;
  #more: AbortController | null = null;
  /** Rows of a live tail that came while the top was asked for, which the answer may not have. */
  #meanwhile: { rows: readonly T[]; timeOf: (row: T) => bigint }[] = [];
  readonly #refresher: Refresher;

  constructor(
    private readonly fetchPage: (asked: Asked, cursor: string, signal: AbortSignal) => Promise<Page<T>>,
    readonly key: (row: T) => string,
    intervalMs = 1_000,
  ) {
    this.#refresher = new Refresher(() => this.#fetchTop(), intervalMs);
  }

  get rows(): readonly T[] {
    return this.list.shown.rows;
  }

  get hasMore(): boolean {
    return this.list.shown.cursor !== '';
  }

  readonly waiting = $derived.by(() => waitingOf(this.list, this.key));

  /** Asks for rows: at once and whatever is being read when the question changed, else when due and not paused. */
  follow(question: Question, isPaused: boolean): void {
    const isNew = question.key !== this.#question?.key;
    this.#question = question;
    if (isNew) {
      this.#isReplaced = true;
      this.#meanwhile = [];
      this.#more?.abort();
      void this.#fetchTop();
    } else if (!isPaused) {
      this.#refresher.ask();
    }
  }

  retry(): void {
    this.#refresher.ask();
  }

  release(): void {
    if (this.list.newer === null) return;
    this.#more?.abort();
    this.list = releaseTop(this.list);
  }

  /** Takes rows that a live tail sent; none belong to a question whose answer is not there yet. */
  insert(rows: readonly T[], timeOf: (row: T) => bigint): void {
    if (this.#top !== null) this.#meanwhile.push({ rows, timeOf });
    if (this.#isReplaced) return;
    this.list = insertLive(this.list, rows, this.key, timeOf, this.isReading);
  }

  /** Loads the page that follows the rows shown, and more while the server finds little in its time. */
  async more(most = MOST_FOLLOWED): Promise<void> {
    if (this.isLoadingMore || !this.hasMore || this.#isReplaced) return;
    const controller = new AbortController();
    this.#more = controller;
    this.isLoadingMore = true;
    const before = this.rows.length;
    try {
      for (let page = 0; page < most && this.hasMore && this.rows.length < before + ENOUGH_ROWS; page += 1) {
        const { asked, cursor } = this.list.shown;
        const next = await this.fetchPage(asked, cursor, controller.signal);
        if (controller.signal.aborted) return;
        this.list = append(this.list, next, this.key);
      }
      this.error = '';
      this.status = 'ready';
    } catch (error) {
      if (!controller.signal.aborted) this.#fail(error);
    } finally {
      if (this.#more === controller) this.isLoadingMore = false;
    }
  }

  async #fetchTop(): Promise<void> {
    const question = this.#question;
    if (question === null) return;
    this.#top?.abort();
    const controller = new AbortController();
    this.#top = controller;
    try {
      const page = await this.fetchPage(question.ask(), '', controller.signal);
      if (controller.signal.aborted) return;
      const isReading = this.isReading && !this.#isReplaced;
      const isNew = this.#isReplaced;
      if (isNew) {
        this.generation += 1;
        this.scrollTop = 0;
        this.cursor = '';
      }
      if (!isReading) this.#stopMore();
      this.list = isNew ? { shown: page, newer: null } : offerTop(this.list, page, this.key, isReading);
      this.#isReplaced = false;
      this.#top = null;
      for (const late of this.#meanwhile) this.insert(late.rows, late.timeOf);
      this.#meanwhile = [];
      this.status = 'ready';
      this.error = '';
      if (isNew && this.rows.length < ENOUGH_ROWS) void this.more();
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#top = null;
      this.#meanwhile = [];
      this.#fail(error);
    }
  }

  #stopMore(): void {
    this.#more?.abort();
    this.isLoadingMore = false;
  }

  #fail(error: unknown): void {
    this.status = 'failed';
    this.error = error instanceof ApiError ? error.message : String(error);
  }
}
