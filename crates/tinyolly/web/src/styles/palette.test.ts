/** Contrast of what the palette puts on what, by WCAG 2: 4.5 to 1 for text, 3 to 1 for bars and marks. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { HUES } from '../colours';

const css = readFileSync(new URL('./palette.css', import.meta.url), 'utf8');
const colours = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6,8}|oklch\([^)]*\)\)), (#[0-9a-f]{6,8}|oklch\([^)]*\)\))\)/g)].map(
    ([, name = '', light = '', dark = '']) => [name, { light, dark }],
  ),
);
const hues = [...css.matchAll(/\.svc-(\d+) \{ --hue: (\d+); \}/g)].map(([, , hue]) => Number(hue));

type Scheme = 'light' | 'dark';
type Linear = [number, number, number];

function linear(name: string, scheme: Scheme, hue = 0): Linear {
  const value = colours.get(name)?.[scheme];
  if (value === undefined) throw new Error(`no colour --${name}`);
  if (value.startsWith('#')) {
    const channel = (at: number) => {
      const share = parseInt(value.slice(at, at + 2), 16) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    };
    return [channel(1), channel(3), channel(5)];
  }
  const [lightness = 0, chroma = 0] = [...value.matchAll(/[\d.]+/g)].map(Number);
  return oklchToLinear(lightness, chroma, hue);
}

/** Björn Ottosson, "A perceptual color space for image processing", with out-of-gamut channels clipped. */
function oklchToLinear(lightness: number, chroma: number, hue: number): Linear {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (channel: number) => Math.min(1, Math.max(0, channel));
  return [
    clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function contrast(one: Linear, other: Linear): number {
  const luminance = ([r, g, b]: Linear) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = ['bg', 'surface', 'raised', 'hover', 'selected'];
const pairs: [string, string][] = [
  ...['text', 'muted', 'accent', 'error'].flatMap((name) => GROUNDS.map((ground): [string, string] => [name, ground])),
  ...['error', 'warn', 'info', 'ok', 'quiet', 'fatal'].map((name): [string, string] => [name, `${name}-soft`]),
  ['on-accent', 'accent-strong'],
];

describe.each<Scheme>(['light', 'dark'])('%s', (scheme) => {
  it.each(pairs)('%s on %s is readable', (text, ground) => {
    expect(contrast(linear(text, scheme), linear(ground, scheme))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(hues)('a service of hue %d is readable', (hue) => {
    const text = linear('svc-text', scheme, hue);
    for (const ground of GROUNDS) expect(contrast(text, linear(ground, scheme)), ground).toBeGreaterThanOrEqual(4.5);
    expect(contrast(text, linear('svc-soft', scheme, hue))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(linear('svc-fill', scheme, hue), linear('bg', scheme))).toBeGreaterThanOrEqual(3);
  });
});

it('has as many hues as names are hashed to', () => {
  expect(hues).toHaveLength(HUES);
});
