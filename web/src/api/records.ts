import { answer, client } from './client';

export interface RecordFilter {
  model?: string;
  version?: number;
  horizon?: number;
  instrument?: string;
  as_of?: string;
}

export const trackRecord = (query: RecordFilter = {}) =>
  answer(client.GET('/api/v1/track-record', { params: { query } }));

/** What each session added to the record, ascending. */
export const recordSeries = (query: { model: string; horizon: number; version?: number }) =>
  answer(client.GET('/api/v1/track-record/series', { params: { query } }));
