export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'almanac.theme';
const ORDER: Theme[] = ['auto', 'light', 'dark'];

/** The chosen colours, and a count that moves whenever the colours on the screen change: charts read it. */
class ThemeChoice {
  choice = $state<Theme>('auto');
  painted = $state(0);

  constructor() {
    const stored = document.documentElement.dataset.theme;
    if (stored === 'light' || stored === 'dark') this.choice = stored;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.painted++);
  }

  next() {
    this.choice = ORDER[(ORDER.indexOf(this.choice) + 1) % ORDER.length] ?? 'auto';
    if (this.choice === 'auto') {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem(KEY);
    } else {
      document.documentElement.dataset.theme = this.choice;
      localStorage.setItem(KEY, this.choice);
    }
    this.painted++;
  }
}

export const theme = new ThemeChoice();
