/** Small charts without axes: paths in a box of 100 by 100, stretched to their place. */

/** A line through the values and the area below it; gaps where a value is null. */
export interface Spark {
  line: string;
  area: string;
  /** Values with gaps on both sides, which a line cannot show. */
  dots: { x: number; y: number }[];
}

/** Room above and below, so that the line's width is not cut off. */
const EDGE = 6;

/** `least` is what the top of the box stands for at least, so that noise around zero does not look like a peak. */
export function sparkOf(values: readonly (number | null)[], least = 0): Spark {
  const top = Math.max(least, ...values.map((value) => value ?? 0));
  const x = (index: number) => round(values.length < 2 ? 50 : (index / (values.length - 1)) * 100);
  const y = (value: number) => round(top <= 0 ? 100 - EDGE : 100 - EDGE - (value / top) * (100 - 2 * EDGE));
  let line = '';
  let area = '';
  const dots: Spark['dots'] = [];
  for (const [from, to] of runs(values)) {
    const points = values.slice(from, to).map((value, offset) => `${x(from + offset)} ${y(value ?? 0)}`);
    if (to - from === 1) dots.push({ x: x(from), y: y(values[from] ?? 0) });
    else {
      line += `M${points.join('L')}`;
      area += `M${x(from)} 100L${points.join('L')}L${x(to - 1)} 100Z`;
    }
  }
  return { line, area, dots };
}

/** The pieces without a gap, as first index and one past the last. */
function runs(values: readonly (number | null)[]): [number, number][] {
  const found: [number, number][] = [];
  let from = -1;
  for (let index = 0; index <= values.length; index += 1) {
    const isThere = index < values.length && values[index] !== null;
    if (isThere && from < 0) from = index;
    else if (!isThere && from >= 0) {
      found.push([from, index]);
      from = -1;
    }
  }
  return found;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
