import { answer, client, settled } from './client';

/** The account's watchlists, with everything up to the event `after` in them. */
export const watchlists = (after?: string) =>
  settled(() => answer(client.GET('/api/v1/watchlists', { params: { query: { after } } })));

export const createWatchlist = (name: string) => answer(client.POST('/api/v1/watchlists', { body: { name } }));

export const renameWatchlist = (id: string, name: string) =>
  answer(client.PATCH('/api/v1/watchlists/{id}', { params: { path: { id } }, body: { name } }));

export const deleteWatchlist = (id: string) =>
  answer(client.DELETE('/api/v1/watchlists/{id}', { params: { path: { id } } }));

export const watch = (id: string, instrument: string) =>
  answer(client.PUT('/api/v1/watchlists/{id}/instruments/{instrument}', { params: { path: { id, instrument } } }));

export const unwatch = (id: string, instrument: string) =>
  answer(client.DELETE('/api/v1/watchlists/{id}/instruments/{instrument}', { params: { path: { id, instrument } } }));
