import type { Evaluation } from '../evaluation';
import { answer, client, settled } from './client';

/** `as_of` is an ordinal or an RFC 3339 time, without it what is known now; `after` is what must be known. */
export const models = (as_of?: string, after?: string) =>
  settled(() => answer(client.GET('/api/v1/models', { params: { query: { as_of, after } } })));

export const timeline = (name: string, as_of?: string, after?: string) =>
  settled(() =>
    answer(client.GET('/api/v1/models/{name}/timeline', { params: { path: { name }, query: { as_of, after } } })),
  );

/** What the published predictions of each version scored. */
export const performance = (name: string, as_of?: string) =>
  answer(client.GET('/api/v1/models/{name}/performance', { params: { path: { name }, query: { as_of } } }));

export const promote = (name: string, version: number, reason: string) =>
  answer(
    client.POST('/api/v1/models/{name}/versions/{version}/promote', {
      params: { path: { name, version } },
      body: { reason },
    }),
  );

export const retire = (name: string, version: number, reason: string) =>
  answer(
    client.POST('/api/v1/models/{name}/versions/{version}/retire', {
      params: { path: { name, version } },
      body: { reason },
    }),
  );

export const quarantine = (name: string, version: number, reason: string) =>
  answer(
    client.POST('/api/v1/models/{name}/versions/{version}/quarantine', {
      params: { path: { name, version } },
      body: { reason },
    }),
  );

export const rollBack = (name: string, reason: string) =>
  answer(client.POST('/api/v1/models/{name}/roll-back', { params: { path: { name } }, body: { reason } }));

/** A version's whole evaluation as it was stored; `evaluation.ts` names its parts. */
export const evaluation = async (name: string, version: number): Promise<Evaluation> => {
  const stored = await answer(
    client.GET('/api/v1/models/{name}/versions/{version}/evaluation', { params: { path: { name, version } } }),
  );
  return stored.evaluation as unknown as Evaluation;
};

/** Where a version's report is, as a page. */
export const reportAt = (name: string, version: number) =>
  `/api/v1/models/${encodeURIComponent(name)}/versions/${version}/report`;
