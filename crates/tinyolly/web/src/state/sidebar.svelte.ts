/** Whether the facets stand beside the lists: remembered on wide pages, closed at first on narrow ones. */
const KEY = 'tinyolly.facets';
const NARROW = '(max-width: 1000px)';

function remembered(): boolean {
  if (matchMedia(NARROW).matches) return false;
  try {
    return localStorage.getItem(KEY) !== 'closed';
  } catch {
    return true;
  }
}

class Sidebar {
  isOpen = $state(remembered());

  /** On a narrow page the facets lie over the list. */
  get isOver(): boolean {
    return this.isOpen && matchMedia(NARROW).matches;
  }

  toggle(): void {
    this.isOpen = !this.isOpen;
    if (matchMedia(NARROW).matches) return;
    try {
      localStorage.setItem(KEY, this.isOpen ? 'open' : 'closed');
    } catch {
      // Storage is blocked: the choice holds until the page is closed.
    }
  }
}

export const sidebar = new Sidebar();
