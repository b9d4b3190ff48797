/** What the server knows for the completion of the filter bar: attribute keys, and values of a key. */
import type { Counted } from '../filters/complete';
import { attributeKey, fieldOf, type Signal } from '../filters/fields';
import { lists, type Asked } from '../lists_api';

export class Known {
  keys = $state.raw<readonly { key: string; count: number }[]>([]);
  values = $state.raw<readonly Counted[]>([]);

  #asked = '';
  #controller: AbortController | null = null;

  /** Asks for the keys that begin so; what cannot be had is not offered. */
  wantKeys(signal: Signal, prefix: string): void {
    void this.#ask(`keys ${signal} ${prefix}`, async (abort) => {
      this.keys = await lists.attributeKeys(signal, attributeKey(prefix), abort);
    });
  }

  wantValues(signal: Signal, key: string, range: Asked): void {
    const field = fieldOf(key, signal);
    if (field !== undefined && field.facet === undefined) return;
    const facet = field?.facet ?? `attr:${attributeKey(key)}`;
    const asked = `values ${signal} ${facet}`;
    if (asked !== this.#asked) this.values = [];
    void this.#ask(asked, async (abort) => {
      this.values = (await lists.facets(signal, range, [facet], abort)).fields[facet] ?? [];
    });
  }

  /** Forgets what was asked, so that the next wish is asked for again. */
  forget(): void {
    this.#asked = '';
    this.#controller?.abort();
  }

  async #ask(asked: string, run: (abort: AbortSignal) => Promise<void>): Promise<void> {
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#controller?.abort();
    this.#controller = new AbortController();
    try {
      await run(this.#controller.signal);
    } catch {
      // Completion is an extra: the list itself says when the server does not answer.
    }
  }
}
