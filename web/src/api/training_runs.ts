import { answer, client, settled } from './client';

export const trainingRuns = (after?: string) =>
  settled(() => answer(client.GET('/api/v1/training-runs', { params: { query: { after } } })));

export const requestTraining = (plan: { model?: string; family?: string; feature_set?: string; sentiment?: boolean }) =>
  answer(client.POST('/api/v1/training-runs', { body: plan }));

/** Each file in base64, with its horizon in sessions. */
export const requestImport = (
  name: string,
  model: { files: { horizon: number; onnx: string }[]; trained_through?: string },
) => answer(client.POST('/api/v1/models/{name}/imports', { params: { path: { name } }, body: model }));

export const cancelTraining = (id: string) =>
  answer(client.POST('/api/v1/training-runs/{id}/cancel', { params: { path: { id } } }));
