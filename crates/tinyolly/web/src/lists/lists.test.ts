import { describe, expect, it } from 'vitest';
import { emptyHeld, offer, release, waiting } from './held';
import { Refresher, type Timers } from './refresher';
import { reveal, step, windowOf } from './window';

describe('windowOf', () => {
  it.each([
    [0, 300, 1000, { first: 0, end: 38 }],
    [3000, 300, 1000, { first: 292, end: 338 }],
    [99_990, 300, 100, { first: 100, end: 100 }],
    [0, 300, 0, { first: 0, end: 0 }],
  ])('scrolled to %d with a height of %d over %d rows', (scrollTop, height, count, window) => {
    expect(windowOf(scrollTop, height, 10, count)).toEqual(window);
  });
});

it('scrolls no more than it takes to show a row', () => {
  expect(reveal(5, 0, 100, 10)).toBe(0);
  expect(reveal(10, 0, 100, 10)).toBe(10);
  expect(reveal(2, 50, 100, 10)).toBe(20);
});

it('steps within the list', () => {
  expect(step(-1, 1, 3)).toBe(0);
  expect(step(-1, -1, 3)).toBe(2);
  expect(step(2, 1, 3)).toBe(2);
  expect(step(1, -9, 3)).toBe(0);
  expect(step(0, 1, 0)).toBe(-1);
});

describe('a held list', () => {
  interface Row {
    id: string;
    spans: number;
  }
  const key = (row: Row) => row.id;
  const rows = (...pairs: [string, number][]): Row[] => pairs.map(([id, spans]) => ({ id, spans }));
  const first = offer(emptyHeld<Row>(), rows(['b', 1], ['a', 1]), key, true);

  it('shows its first answer even to a reader', () => {
    expect(first.shown.map(key)).toEqual(['b', 'a']);
  });

  it('follows while nobody reads', () => {
    const held = offer(first, rows(['c', 1], ['b', 1]), key, false);
    expect(held.shown.map(key)).toEqual(['c', 'b']);
    expect(waiting(held, key, () => true)).toBe(0);
  });

  it('keeps places, renews content and counts what waits while somebody reads', () => {
    const held = offer(first, rows(['d', 1], ['c', 1], ['b', 7]), key, true);
    expect(held.shown).toEqual(rows(['b', 7], ['a', 1]));
    expect(waiting(held, key, () => true)).toBe(2);
    expect(waiting(held, key, (row) => row.id === 'd')).toBe(1);
    expect(release(held).shown.map(key)).toEqual(['d', 'c', 'b']);
    expect(waiting(release(held), key, () => true)).toBe(0);
  });
});

describe('Refresher', () => {
  /** A clock that moves by hand. */
  function clock() {
    let now = 0;
    let due: { at: number; run: () => void } | null = null;
    const timers: Timers = {
      now: () => now,
      set: (run, delay) => (due = { at: now + delay, run }),
      clear: () => (due = null),
    };
    const advance = async (by: number) => {
      now += by;
      if (due && due.at <= now) {
        const { run } = due;
        due = null;
        run();
      }
      await Promise.resolve();
      await Promise.resolve();
      await Promise.resolve();
    };
    return { timers, advance };
  }

  it('runs at once, then at most once per interval', async () => {
    const { timers, advance } = clock();
    let runs = 0;
    const refresher = new Refresher(async () => void (runs += 1), 1_000, timers);
    refresher.ask();
    await advance(0);
    expect(runs).toBe(1);
    for (let index = 0; index < 5; index += 1) refresher.ask();
    await advance(999);
    expect(runs).toBe(1);
    await advance(1);
    expect(runs).toBe(2);
    await advance(5_000);
    expect(runs).toBe(2);
  });

  it('never runs twice at a time, and runs again when asked meanwhile', async () => {
    const { timers, advance } = clock();
    const finish: (() => void)[] = [];
    const refresher = new Refresher(() => new Promise((resolve) => finish.push(resolve)), 1_000, timers);
    refresher.ask();
    await advance(5_000);
    refresher.ask();
    await advance(5_000);
    expect(finish).toHaveLength(1);
    finish[0]?.();
    await advance(0);
    expect(finish).toHaveLength(2);
  });

  it('stops', async () => {
    const { timers, advance } = clock();
    let runs = 0;
    const refresher = new Refresher(async () => void (runs += 1), 1_000, timers);
    refresher.ask();
    await advance(10);
    refresher.ask();
    refresher.stop();
    refresher.ask();
    await advance(5_000);
    expect(runs).toBe(1);
  });
});
