import type { Component } from 'svelte';

import { match } from './router.svelte';

// Pages about one thing take `params`, the others nothing: TypeScript has no word for both but this.
export type Page = Component<any>;

/** What an address names. */
export type Params = { [name: string]: string };

export interface Entry {
  pattern: string;
  title: string;
  /** Who may see it; the service refuses what is not theirs in any case. */
  needs?: 'account' | 'admin';
  load: () => Promise<{ default: Page }>;
}

/** Every address and the page behind it, loaded when it is first visited. */
const PAGES: Entry[] = [
  { pattern: '/', title: 'Almanac', load: () => import('./pages/Home.svelte') },
  { pattern: '/sign-in', title: 'Sign in', load: () => import('./pages/SignIn.svelte') },
  { pattern: '/register', title: 'Register', load: () => import('./pages/Register.svelte') },
  { pattern: '/account', title: 'Account', needs: 'account', load: () => import('./pages/Account.svelte') },
  { pattern: '/unsubscribe', title: 'Unsubscribe', load: () => import('./pages/Unsubscribe.svelte') },
  { pattern: '/watchlists', title: 'Watchlist', needs: 'account', load: () => import('./pages/Watchlists.svelte') },
  { pattern: '/stocks', title: 'Stocks', load: () => import('./pages/Stocks.svelte') },
  { pattern: '/stocks/:id', title: 'Stock', load: () => import('./pages/Stock.svelte') },
  { pattern: '/predictions/:id', title: 'Prediction', load: () => import('./pages/Prediction.svelte') },
  { pattern: '/track-record', title: 'Track record', load: () => import('./pages/TrackRecord.svelte') },
  { pattern: '/log', title: 'The record', load: () => import('./pages/Log.svelte') },
  { pattern: '/models', title: 'Models', load: () => import('./pages/Models.svelte') },
  { pattern: '/webhooks', title: 'Webhooks', needs: 'account', load: () => import('./pages/Webhooks.svelte') },
  { pattern: '/webhooks/:id', title: 'Webhook', needs: 'account', load: () => import('./pages/Webhook.svelte') },
  { pattern: '/mails', title: 'Mails', needs: 'account', load: () => import('./pages/Mails.svelte') },
  { pattern: '/admin', title: 'Admin', needs: 'admin', load: () => import('./pages/admin/Replay.svelte') },
  {
    pattern: '/admin/training',
    title: 'Training',
    needs: 'admin',
    load: () => import('./pages/admin/Training.svelte'),
  },
  {
    pattern: '/admin/ingestions',
    title: 'Ingestions',
    needs: 'admin',
    load: () => import('./pages/admin/Ingestions.svelte'),
  },
  { pattern: '/admin/actors', title: 'Actors', needs: 'admin', load: () => import('./pages/admin/Actors.svelte') },
  { pattern: '/admin/record', title: 'Record', needs: 'admin', load: () => import('./pages/admin/Record.svelte') },
  { pattern: '/admin/events', title: 'Log', needs: 'admin', load: () => import('./pages/admin/Events.svelte') },
  {
    pattern: '/admin/events/:id/story',
    title: 'Story',
    needs: 'admin',
    load: () => import('./pages/admin/Story.svelte'),
  },
];

const NOT_FOUND: Entry = { pattern: '', title: 'Not found', load: () => import('./pages/NotFound.svelte') };

/** The page at an address, with what the address names. */
export function pageAt(path: string): { entry: Entry; params: Params } {
  for (const entry of PAGES) {
    const params = match(entry.pattern, path);
    if (params) return { entry, params };
  }
  return { entry: NOT_FOUND, params: {} };
}
