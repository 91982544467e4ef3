import { answer, client, settled } from './client';

export const trainingRuns = (after?: string) =>
  settled(() => answer(client.GET('/api/v1/training-runs', { params: { query: { after } } })));

export const requestTraining = (plan: { model?: string; family?: string; sentiment?: boolean }) =>
  answer(client.POST('/api/v1/training-runs', { body: plan }));

export const cancelTraining = (id: string) =>
  answer(client.POST('/api/v1/training-runs/{id}/cancel', { params: { path: { id } } }));
