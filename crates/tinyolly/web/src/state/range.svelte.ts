/** The clock of relative time ranges, and the one way to change the range. */
import { router } from './router.svelte';

/** Goes to a range up to now: `15m`, `all` and so on. */
export function setRange(range: string): void {
  router.replace({ range, from: '', to: '' });
}

/** Goes to a fixed range, in nanoseconds; an empty end stays open. `isStep` makes Back return to the range before. */
export function setFixedRange(from: string, to: string, isStep = false): void {
  const change = { range: '', from, to };
  if (isStep) router.push({ ...router.route, ...change });
  else router.replace(change);
}
