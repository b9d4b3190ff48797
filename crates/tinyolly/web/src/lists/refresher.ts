/** Runs a refresh at most once per interval and never twice at a time, however often it is asked. */

export interface Timers {
  now(): number;
  set(run: () => void, delay: number): unknown;
  clear(handle: unknown): void;
}

const browserTimers: Timers = {
  now: () => performance.now(),
  set: (run, delay) => setTimeout(run, delay),
  clear: (handle) => clearTimeout(handle as number),
};

export class Refresher {
  #lastStart = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  #isAsked = false;
  #isStopped = false;
  #timer: unknown = null;

  constructor(
    private readonly refresh: () => Promise<void>,
    private readonly interval = 1_000,
    private readonly timers: Timers = browserTimers,
  ) {}

  /** Asks for a refresh: now when the interval has passed, else as soon as it has. */
  ask(): void {
    if (this.#isStopped) return;
    this.#isAsked = true;
    if (this.#isRunning || this.#timer !== null) return;
    const wait = this.#lastStart + this.interval - this.timers.now();
    if (wait <= 0) {
      void this.#run();
    } else {
      this.#timer = this.timers.set(() => {
        this.#timer = null;
        void this.#run();
      }, wait);
    }
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) this.timers.clear(this.#timer);
    this.#timer = null;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#isAsked = false;
    this.#lastStart = this.timers.now();
    try {
      await this.refresh();
    } finally {
      this.#isRunning = false;
      if (this.#isAsked) this.ask();
    }
  }
}
