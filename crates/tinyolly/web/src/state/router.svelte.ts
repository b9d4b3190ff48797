/** The current route, tied to the browser's history. Every write says whether it makes an entry of its own. */
import { formatRoute, HOME, parseRoute, type Route } from '../route';

interface Entry {
  /** How many entries of ours lie below this one: Back stays inside the page while it is above zero. */
  depth: number;
}

class Router {
  route = $state.raw<Route>(parseRoute(location.search));

  constructor() {
    if (history.state === null) history.replaceState({ depth: 0 } satisfies Entry, '');
    addEventListener('popstate', () => {
      this.route = parseRoute(location.search);
    });
  }

  get #depth(): number {
    return (history.state as Entry | null)?.depth ?? 0;
  }

  /** Goes to another view; Back returns. */
  push(route: Route): void {
    const url = formatRoute(route);
    if (url === formatRoute(this.route)) return;
    history.pushState({ depth: this.#depth + 1 } satisfies Entry, '', url);
    this.route = route;
  }

  /** Changes the view in place, such as a filter or a selection; Back leaves the view. */
  replace(change: Partial<Route>): void {
    const route = { ...this.route, ...change };
    history.replaceState({ depth: this.#depth } satisfies Entry, '', formatRoute(route));
    this.route = route;
  }

  /** Leaves a view: back to where the reader came from, or up to `fallback` when a link led here. */
  leave(fallback: Partial<Route>): void {
    if (this.#depth > 0) history.back();
    else this.push({ ...HOME, ...fallback });
  }

  /** For links: a plain click stays in the page, any other (new tab, new window) is the browser's. */
  follow(event: MouseEvent, route: Route): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.push(route);
  }
}

export const router = new Router();
