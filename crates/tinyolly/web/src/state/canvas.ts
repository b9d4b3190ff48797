/** The palette on a canvas, to which light-dark() and variables mean nothing. Made anew for every drawing. */
import { hueOf, serviceClass } from '../colours';

type Strength = 'fill' | 'text' | 'soft';

export class Palette {
  readonly #within: HTMLElement;
  /** By hue and strength: asking the browser for each of thousands of spans would take long. */
  readonly #services = new Map<string, string>();

  /** The colours as they are within an element of the page. */
  constructor(within: HTMLElement) {
    this.#within = within;
  }

  /** The computed value of a CSS colour, such as `var(--line)`. */
  css(colour: string, className = ''): string {
    const probe = document.createElement('span');
    probe.className = className;
    probe.style.color = colour;
    this.#within.append(probe);
    const computed = getComputedStyle(probe).color;
    probe.remove();
    return computed;
  }

  /** A service's colour at one of the strengths of palette.css. */
  service(name: string, strength: Strength = 'fill'): string {
    const id = `${strength}${hueOf(name)}`;
    const found = this.#services.get(id);
    if (found !== undefined) return found;
    const computed = this.css(`var(--svc-${strength})`, serviceClass(name));
    this.#services.set(id, computed);
    return computed;
  }
}
