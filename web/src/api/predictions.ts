import { answer, client } from './client';

export interface PredictionFilter {
  instrument?: string;
  model?: string;
  horizon?: number;
  state?: 'open' | 'scored' | 'voided' | 'abstained';
  limit?: number;
  cursor?: string;
}

/** Predictions, newest first. */
export const predictions = (query: PredictionFilter) =>
  answer(client.GET('/api/v1/predictions', { params: { query } }));

export const prediction = (id: string) => answer(client.GET('/api/v1/predictions/{id}', { params: { path: { id } } }));

/** The newest round's predictions. */
export const latestPredictions = (query: { instrument?: string; watchlist?: string } = {}) =>
  answer(client.GET('/api/v1/predictions/latest', { params: { query } }));

/** Why a prediction is what it is; for this the service makes it again. */
export const explanation = (id: string) =>
  answer(client.GET('/api/v1/predictions/{id}/explanation', { params: { path: { id } } }));
