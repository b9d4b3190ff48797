/** The live tail of the log list: records as they are stored, without asking again. */
import { readLog, type LogRecord } from '../model';
import type { Asked } from '../lists_api';
import type { WireLog } from '../wire';

/** Records that come together are shown together, so that a flood costs a drawing per flush and not per line. */
const FLUSH_MS = 200;

export class LogTail {
  /** The server streams; otherwise the list has to be asked again on news. */
  isOpen = $state(false);

  #source: EventSource | null = null;
  #buffer: LogRecord[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly onrows: (rows: LogRecord[]) => void) {}

  /** Follows what fits `asked` from the record `after` on. */
  start(asked: Asked, after: string): void {
    this.stop();
    const query = new URLSearchParams();
    for (const [name, value] of asked) query.append(name, value);
    if (after !== '') query.set('after', after);
    const source = new EventSource(`/api/logs/stream?${query.toString()}`);
    this.#source = source;
    source.addEventListener('open', () => (this.isOpen = true));
    source.addEventListener('log', (event: MessageEvent<string>) => {
      this.#buffer.push(readLog(JSON.parse(event.data) as WireLog));
      this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
    });
    // A broken connection is taken up by the browser, which says where it was; a refused one is closed for good.
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) this.isOpen = false;
    });
  }

  stop(): void {
    this.#source?.close();
    this.#source = null;
    this.isOpen = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#buffer = [];
  }

  #flush(): void {
    this.#timer = undefined;
    const rows = this.#buffer;
    this.#buffer = [];
    if (rows.length > 0) this.onrows(rows);
  }
}

/** The record that was stored last: ids of records rise as they are stored. */
export function newestId(rows: readonly LogRecord[]): string {
  let newest = '';
  for (const { id } of rows) {
    if (!/^\d{1,20}$/.test(id)) return '';
    if (newest === '' || BigInt(id) > BigInt(newest)) newest = id;
  }
  return newest;
}
