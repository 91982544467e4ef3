import { answer, client } from './client';

export const status = () => answer(client.GET('/api/v1/status'));

export const log = () => answer(client.GET('/api/v1/admin/log'));

/** Events up to a moment, newest first. */
export const events = (query: { as_of?: string; type?: string; limit?: number; cursor?: string }) =>
  answer(client.GET('/api/v1/admin/events', { params: { query } }));

/** What led to an event, and what came of it. */
export const story = (event_id: string) =>
  answer(client.GET('/api/v1/admin/events/{event_id}/story', { params: { path: { event_id } } }));

export const ingestions = () => answer(client.GET('/api/v1/admin/ingestions'));

export const actors = () => answer(client.GET('/api/v1/admin/actors'));

export const mails = () => answer(client.GET('/api/v1/mails'));
