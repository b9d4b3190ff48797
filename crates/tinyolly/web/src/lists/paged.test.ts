import { describe, expect, it } from 'vitest';
import { append, emptyPage, emptyPaged, insert, insertLive, offerTop, releaseTop, waitingOf, type Page, type Paged } from './paged';

interface Row {
  id: string;
  time: bigint;
  text?: string;
}

const key = (row: Row) => row.id;
const time = (row: Row) => row.time;
const row = (at: number, text?: string): Row => ({ id: `r${at}`, time: BigInt(at), ...(text !== undefined && { text }) });
const page = (times: number[], cursor = ''): Page<Row> => ({ ...emptyPage<Row>(), rows: times.map((at) => row(at)), cursor });
const times = (list: Paged<Row>) => list.shown.rows.map((each) => Number(each.time));

describe('a list in pages', () => {
  it('shows a fresh top at once when nobody reads, and lets loaded pages go', () => {
    let list = offerTop(emptyPaged<Row>(), page([9, 8], 'c1'), key, false);
    list = append(list, page([7, 6]), key);
    expect(times(list)).toEqual([9, 8, 7, 6]);
    list = offerTop(list, page([11, 10], 'c2'), key, false);
    expect(times(list)).toEqual([11, 10]);
    expect(list.shown.cursor).toBe('c2');
  });

  it('keeps rows in place while it is read, updates them, and counts what waits', () => {
    let list = append(offerTop(emptyPaged<Row>(), page([9, 8], 'c1'), key, false), page([7], 'c3'), key);
    const top = { ...page([], 'c2'), rows: [row(10), row(9, 'grown')] };
    list = offerTop(list, top, key, true);
    expect(times(list)).toEqual([9, 8, 7]);
    expect(list.shown.rows[0]?.text).toBe('grown');
    expect(list.shown.cursor).toBe('c3');
    expect(waitingOf(list, key)).toEqual({ count: 1, isLeast: false });
    expect(times(releaseTop(list))).toEqual([10, 9]);
    expect(releaseTop(list).shown.cursor).toBe('c2');
  });

  it('says "at least" when the whole page is new and there is more', () => {
    const list = offerTop(offerTop(emptyPaged<Row>(), page([1]), key, false), page([9, 8], 'c'), key, true);
    expect(waitingOf(list, key)).toEqual({ count: 2, isLeast: true });
  });

  it('does not show a row twice', () => {
    const list = append(offerTop(emptyPaged<Row>(), page([9, 8], 'c'), key, false), page([8, 7]), key);
    expect(times(list)).toEqual([9, 8, 7]);
  });

  it('searches no piece of time again when the search of the top ended early', () => {
    const at = 1_000_000;
    const first = { ...page([9, 8], 'deep'), askedAt: at, searchedTo: '5' };
    const list = offerTop(emptyPaged<Row>(), first, key, false);
    const early = { ...page([11, 9], 'c'), askedAt: at + 1_000, searchedTo: String((at - 20_000) * 1_000_000) };
    const followed = offerTop(list, early, key, false);
    expect(times(followed)).toEqual([11, 9, 8]);
    expect(followed.shown).toMatchObject({ cursor: 'deep', searchedTo: '5' });
    const gap = { ...early, searchedTo: String(at * 1_000_000) };
    expect(offerTop(list, gap, key, false).shown).toBe(gap);
  });

  it('is filled even when it counts as read', () => {
    expect(times(offerTop(emptyPaged<Row>(), page([1]), key, true))).toEqual([1]);
  });
});

describe('a live tail', () => {
  it('puts rows where their time says', () => {
    const all = insert(page([9, 5, 3]), [row(6), row(10), row(9)], key, time).rows;
    expect(all.map((each) => Number(each.time))).toEqual([10, 9, 6, 5, 3]);
  });

  it('leaves what is older than the loaded rows to its page', () => {
    expect(insert(page([9, 5], 'more'), [row(2)], key, time)).toEqual(page([9, 5], 'more'));
    expect(insert(page([9, 5]), [row(2)], key, time).rows).toHaveLength(3);
  });

  it('holds rows back while the list is read, and loses none', () => {
    let list = offerTop(emptyPaged<Row>(), page([5, 4], 'c'), key, false);
    list = insertLive(list, [row(6)], key, time, true);
    list = insertLive(list, [row(7), row(8)], key, time, true);
    expect(times(list)).toEqual([5, 4]);
    expect(waitingOf(list, key)).toEqual({ count: 3, isLeast: false });
    expect(times(releaseTop(list))).toEqual([8, 7, 6, 5, 4]);
    expect(times(insertLive(list, [row(9)], key, time, false))).toEqual([9, 8, 7, 6, 5, 4]);
  });
});
