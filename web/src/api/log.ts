import { answer, client } from './client';

/** Whose log it is, and the key it is signed with. */
export const logIdentity = () => answer(client.GET('/.well-known/almanac-log'));

/** The newest checkpoint, a signed note. */
export const newestCheckpoint = () => answer(client.GET('/api/v1/log/checkpoint', { parseAs: 'text' }));

/** Checkpoints, newest first. */
export const checkpoints = (query: { limit?: number; cursor?: string }) =>
  answer(client.GET('/api/v1/log/checkpoints', { params: { query } }));

/**
 * What proves that the log of `to` events begins with the log of `from` events.
 *
 * The answer may be kept for good, but a demo that was begun anew has other events at the same sizes.
 */
export const consistency = (from: number, to: number) =>
  answer(client.GET('/api/v1/log/consistency', { params: { query: { from, to } }, cache: 'no-cache' }));

/** What proves that a prediction's events are in the log. */
export const predictionProof = (id: string) =>
  answer(client.GET('/api/v1/predictions/{id}/proof', { params: { path: { id } } }));
