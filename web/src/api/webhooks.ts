import { answer, client, settled } from './client';

/** The event types an endpoint may ask for; `*` asks for all of them. */
export const EVENT_TYPES = [
  'prediction.published',
  'prediction.scored',
  'round.completed',
  'model.registered',
  'model.promoted',
  'model.rolled_back',
  'model.trial_decided',
  'bars.ingested',
  'endpoint.tested',
] as const;

const at = (id: string) => ({ params: { path: { id } } });

export const endpoints = (after?: string) =>
  settled(() => answer(client.GET('/api/v1/webhook-endpoints', { params: { query: { after } } })));

export const endpoint = (id: string, after?: string) =>
  settled(() => answer(client.GET('/api/v1/webhook-endpoints/{id}', { params: { path: { id }, query: { after } } })));

export const registerEndpoint = (url: string, event_types: string[]) =>
  answer(client.POST('/api/v1/webhook-endpoints', { body: { url, event_types } }));

export const changeEndpoint = (id: string, url: string, event_types: string[]) =>
  answer(client.PATCH('/api/v1/webhook-endpoints/{id}', { ...at(id), body: { url, event_types } }));

export const removeEndpoint = (id: string) => answer(client.DELETE('/api/v1/webhook-endpoints/{id}', at(id)));

export const rotateSecret = (id: string) => answer(client.POST('/api/v1/webhook-endpoints/{id}/rotate-secret', at(id)));

export const enableEndpoint = (id: string) => answer(client.POST('/api/v1/webhook-endpoints/{id}/enable', at(id)));

export const disableEndpoint = (id: string) => answer(client.POST('/api/v1/webhook-endpoints/{id}/disable', at(id)));

export const testEndpoint = (id: string) => answer(client.POST('/api/v1/webhook-endpoints/{id}/test', at(id)));

export const deliveries = (id: string) => answer(client.GET('/api/v1/webhook-endpoints/{id}/deliveries', at(id)));

export const attempts = (id: string) => answer(client.GET('/api/v1/webhook-deliveries/{id}/attempts', at(id)));

export const resend = (id: string) => answer(client.POST('/api/v1/webhook-deliveries/{id}/resend', at(id)));
