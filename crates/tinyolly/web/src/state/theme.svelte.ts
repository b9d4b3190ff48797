/** Light, dark or what the system says; remembered under the key that public/theme.js reads. */

const KEY = 'tinyolly.theme';

export const THEMES = ['auto', 'light', 'dark'] as const;
export type ThemeChoice = (typeof THEMES)[number];

function remembered(): ThemeChoice {
  try {
    return THEMES.find((each) => each === localStorage.getItem(KEY)) ?? 'auto';
  } catch {
    return 'auto';
  }
}

class Theme {
  choice = $state<ThemeChoice>(remembered());
  #systemIsDark = $state(matchMedia('(prefers-color-scheme: dark)').matches);

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
      this.#systemIsDark = event.matches;
    });
  }

  get isDark(): boolean {
    return this.choice === 'auto' ? this.#systemIsDark : this.choice === 'dark';
  }

  next(): void {
    this.choice = THEMES[(THEMES.indexOf(this.choice) + 1) % THEMES.length] ?? 'auto';
    if (this.choice === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.choice;
    try {
      localStorage.setItem(KEY, this.choice);
    } catch {
      // Storage is blocked: the choice holds until the page is closed.
    }
  }
}

export const theme = new Theme();
