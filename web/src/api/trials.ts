import { answer, client, settled } from './client';

/** Newest first; `as_of` and `after` as for models. */
export const trials = (name: string, as_of?: string, after?: string) =>
  settled(() =>
    answer(client.GET('/api/v1/models/{name}/trials', { params: { path: { name }, query: { as_of, after } } })),
  );

/** One trial with its sessions. */
export const trial = (name: string, id: string, as_of?: string, after?: string) =>
  settled(() =>
    answer(client.GET('/api/v1/models/{name}/trials/{id}', { params: { path: { name, id }, query: { as_of, after } } })),
  );

export interface TrialWanted {
  version: number;
  reason: string;
  decide_after?: number;
  latest?: number;
  dry_run: boolean;
}

export const openTrial = (name: string, wanted: TrialWanted) =>
  answer(client.POST('/api/v1/admin/models/{name}/trials', { params: { path: { name } }, body: wanted }));

export const closeTrial = (name: string, id: string, reason: string) =>
  answer(
    client.POST('/api/v1/admin/models/{name}/trials/{id}/close', { params: { path: { name, id } }, body: { reason } }),
  );
