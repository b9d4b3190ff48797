import { expect, it } from 'vitest';
import { HUES, hueOf, serviceClass } from './colours';

it('gives a service the same colour always', () => {
  expect(hueOf('ebpf-frontend')).toBe(hueOf('ebpf-frontend'));
  expect(serviceClass('ebpf-frontend')).toBe(`svc svc-${hueOf('ebpf-frontend')}`);
});

it('tells the two services of the demo apart', () => {
  expect(hueOf('ebpf-frontend')).not.toBe(hueOf('ebpf-backend'));
});

it('uses every hue about equally', () => {
  const counts = new Array<number>(HUES).fill(0);
  for (let index = 0; index < 1_200; index += 1) {
    const hue = hueOf(`service-${index}`);
    counts[hue] = (counts[hue] ?? 0) + 1;
  }
  expect(Math.min(...counts)).toBeGreaterThan(50);
  expect(Math.max(...counts)).toBeLessThan(200);
});
