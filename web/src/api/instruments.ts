import { answer, client } from './client';

export const instruments = (query: { search?: string; limit?: number; cursor?: string }) =>
  answer(client.GET('/api/v1/instruments', { params: { query } }));

export const instrument = (id: string) => answer(client.GET('/api/v1/instruments/{id}', { params: { path: { id } } }));

/** The newest `limit` bars in ascending order, adjusted for splits. */
export const bars = (id: string, limit: number) =>
  answer(client.GET('/api/v1/instruments/{id}/bars', { params: { path: { id }, query: { limit } } }));

export const sentiment = (id: string) =>
  answer(client.GET('/api/v1/instruments/{id}/sentiment', { params: { path: { id } } }));

export const headlines = (id: string, limit: number) =>
  answer(client.GET('/api/v1/instruments/{id}/headlines', { params: { path: { id }, query: { limit } } }));
