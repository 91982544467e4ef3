import type { components } from './schema';

type Schemas = components['schemas'];

/** What a command answers: the event to wait for, if it changed anything. */
export type Accepted = Schemas['Accepted'];
export type Account = Schemas['Account'];
export type ActorReport = Schemas['ActorReport'];
export type Attempt = Schemas['Attempt'];
export type Bar = Schemas['Bar'];
export type DailySentiment = Schemas['DailySentiment'];
export type Delivery = Schemas['Delivery'];
export type EvaluationMeasure = Schemas['EvaluationMeasure'];
export type Finding = Schemas['Finding'];
export type Forecast = Schemas['Forecast'];
export type Headline = Schemas['Headline'];
export type Ingestion = Schemas['Ingestion'];
export type Instrument = Schemas['Instrument'];
export type LogEvent = Schemas['LogEvent'];
export type Mail = Schemas['Mail'];
export type Model = Schemas['Model'];
export type ModelVersion = Schemas['ModelVersion'];
export type Prediction = Schemas['Prediction'];
export type Record = Schemas['Record'];
export type RecordPoint = Schemas['RecordPoint'];
export type Status = Schemas['Status'];
export type TimelineEntry = Schemas['TimelineEntry'];
export type TrainingRun = Schemas['TrainingRun'];
export type WatchedInstrument = Schemas['WatchedInstrument'];
export type Watchlist = Schemas['Watchlist'];
export type WebhookEndpoint = Schemas['WebhookEndpoint'];
