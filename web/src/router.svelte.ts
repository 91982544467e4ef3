import { tick } from 'svelte';

/** Where the reader is. A link is a plain `<a href>`; clicks on our own addresses stay in the page. */
class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  /** Listens to clicks and to the browser's back and forward. Gives the way to stop. */
  start(): () => void {
    const clicked = (event: MouseEvent) => this.#clicked(event);
    const moved = () => this.#read();
    document.addEventListener('click', clicked);
    window.addEventListener('popstate', moved);
    return () => {
      document.removeEventListener('click', clicked);
      window.removeEventListener('popstate', moved);
    };
  }

  go(address: string, replace = false) {
    const before = this.path;
    if (replace) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
    this.#read();
    if (this.path !== before) void this.#arrive();
  }

  /** Changes the query without leaving the page. */
  ask(changes: { [key: string]: string | undefined }) {
    const query = new URLSearchParams(this.query);
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) query.delete(key);
      else query.set(key, value);
    }
    this.go(query.size > 0 ? `${this.path}?${query}` : this.path, true);
  }

  #read() {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  /** A reader who listens instead of looking is told of the new page by the focus. */
  async #arrive() {
    window.scrollTo(0, 0);
    await tick();
    document.querySelector<HTMLElement>('main')?.focus({ preventScroll: true });
  }

  #clicked(event: MouseEvent) {
    const link = (event.target as Element | null)?.closest('a');
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || isServed(link.pathname)) return;
    // A jump within the page is the browser's.
    if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
    event.preventDefault();
    this.go(link.pathname + link.search + link.hash);
  }
}

/** Addresses that the service answers itself, outside these pages. */
const isServed = (path: string) => /^\/(api|health|\.well-known)\/|^\/(openapi\.json|reference)/.test(path);

export const router = new Router();

/** The values of the `:names` in `pattern` if `path` has its form. */
export function match(pattern: string, path: string): { [name: string]: string } | undefined {
  const wanted = pattern.split('/');
  const given = path.replace(/(.)\/$/, '$1').split('/');
  if (wanted.length !== given.length) return undefined;
  const found: { [name: string]: string } = {};
  for (const [place, part] of wanted.entries()) {
    const value = given[place] ?? '';
    if (part.startsWith(':')) found[part.slice(1)] = decoded(value);
    else if (part !== value) return undefined;
  }
  return found;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
