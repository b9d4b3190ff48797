/** The shown time of the open trace: here at once, in the URL when the hand rests, as browsers limit its changes. */
import { formatZoom, isWhole, parseZoom, type Zoom } from '../trace/zoom';
import { router } from './router.svelte';

const REST_MS = 250;

export class TraceZoom {
  /** Null for the whole. */
  #part = $state.raw<Zoom | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** As the page was opened with; holds until the first change. */
  #link = $state(router.route.zoom);

  /** The shown part of a trace of this many nanoseconds. */
  of(length: number): Zoom {
    if (this.#part) return this.#part.to > length ? parseZoom(formatZoom(this.#part, length), length) : this.#part;
    return parseZoom(this.#link, length);
  }

  set(zoom: Zoom, length: number): void {
    this.#part = isWhole(zoom, length) ? null : zoom;
    this.#link = '';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => router.replace({ zoom: formatZoom(zoom, length) }), REST_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
