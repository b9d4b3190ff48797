import { expect, it } from 'vitest';
import { fromLocalInput, rangeMillis, rangeText, shownRange, shownRoute, timeWindow, toLocalInput, windowParams } from './range';
import { HOME as START } from './route';
import { fromMillis } from './time';

const HOME = { ...START, tab: 'traces' } as const;
const NOW = new Date(2026, 2, 4, 14, 30, 0).getTime();
const at = (...clock: [number, number, number, number?]) =>
  fromMillis(new Date(2026, 2, clock[0], clock[1], clock[2], clock[3] ?? 0).getTime()).toString();

it.each([
  ['15m', 900_000],
  ['7d', 604_800_000],
  ['all', null],
  ['0m', null],
  ['5x', null],
])('%s is %s milliseconds', (id, length) => {
  expect(rangeMillis(id)).toBe(length);
});

it('asks for all that is there on lists, and for the last hour where rates are shown', () => {
  expect(timeWindow(HOME, NOW)).toEqual({});
  expect(timeWindow({ ...HOME, tab: 'services' }, NOW)).toEqual({ start: fromMillis(NOW - 3_600_000) });
});

it('leaves the end open unless it is fixed', () => {
  expect(timeWindow({ ...HOME, range: '5m' }, NOW)).toEqual({ start: fromMillis(NOW - 300_000) });
  const fixed = timeWindow({ ...HOME, range: '5m', from: '10', to: '20' }, NOW);
  expect(fixed).toEqual({ start: 10n, end: 20n });
  expect(windowParams(fixed)).toEqual({ start: '10', end: '20' });
  expect(windowParams({})).toEqual({ start: '', end: '' });
});

it.each([
  [{ range: '5m' }, 'Last 5 minutes'],
  [{ range: '90s' }, 'Last 90 seconds'],
  [{ range: '1d' }, 'Last 1 day'],
  [{}, 'All stored data'],
  [{ from: at(4, 9, 5), to: at(4, 9, 6, 7) }, '09:05:00 – 09:06:07'],
  [{ from: at(3, 9, 5), to: at(3, 9, 6) }, '2026-03-03 09:05:00 – 09:06:00'],
  [{ from: at(3, 23, 0), to: at(4, 1, 0) }, '2026-03-03 23:00:00 – 2026-03-04 01:00:00'],
  [{ from: at(4, 9, 5) }, '09:05:00 – now'],
  [{ to: at(4, 9, 5) }, 'the beginning – 09:05:00'],
])('%o reads as %s', (range, text) => {
  expect(rangeText({ ...HOME, ...range }, NOW)).toBe(text);
});

it('brings times of the picker there and back', () => {
  expect(fromLocalInput(toLocalInput(at(4, 9, 5, 7)))).toBe(at(4, 9, 5, 7));
  expect(fromLocalInput('nonsense')).toBe('');
  expect(toLocalInput('')).toBe('');
});

it('takes the shown range along', () => {
  expect(shownRange({ ...HOME, tab: 'services' })).toEqual({ range: '1h', from: '', to: '' });
  expect(shownRange({ ...HOME, tab: 'services', range: '1h', from: '5' })).toEqual({ range: '', from: '5', to: '' });
});

it('leads to another view with the range that is shown', () => {
  const overview = { ...START, tab: 'overview', search: 'left behind' } as const;
  expect(shownRoute(overview, 'traces', { errorsOnly: true })).toEqual({ ...START, tab: 'traces', range: '1h', errorsOnly: true });
  const fixed = { ...overview, range: '5m', from: '10', to: '20' };
  expect(shownRoute(fixed, 'logs')).toEqual({ ...START, tab: 'logs', from: '10', to: '20' });
});
