/** The server's live channel: fresh statistics, and with them the news that a list has changed. */
import type { WireStats } from '../wire';

export type LiveStatus = 'connecting' | 'live' | 'offline';

/** How long to wait after the browser has given the connection up. */
const RETRY_MS = 2_000;

class Live {
  stats = $state.raw<WireStats | null>(null);
  status = $state<LiveStatus>('connecting');
  isPaused = $state(false);
  /** Rises with every connection, so that views re-read what they may have missed. */
  connections = $state(0);

  readonly spans = $derived(this.stats?.received.spans ?? -1);
  readonly logs = $derived(this.stats?.received.logs ?? -1);
  readonly points = $derived(this.stats?.received.metric_points ?? -1);

  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** Connects while the page is visible; a hidden tab holds none of the browser's few connections to the server. */
  start(): void {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#close();
      else this.#open();
    });
    if (!document.hidden) this.#open();
  }

  #open(): void {
    this.#close();
    const source = new EventSource('/api/live');
    this.#source = source;
    source.addEventListener('open', () => {
      this.status = 'live';
      this.connections += 1;
    });
    source.addEventListener('stats', (event: MessageEvent<string>) => {
      this.stats = JSON.parse(event.data) as WireStats;
    });
    source.addEventListener('error', () => {
      this.status = 'offline';
      if (source.readyState === EventSource.CLOSED) this.#retry = setTimeout(() => this.#open(), RETRY_MS);
    });
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }
}

export const live = new Live();
