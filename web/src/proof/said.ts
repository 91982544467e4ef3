import { canonical, type Json } from './canonical';
import type { ProvenEvent } from './event';
import type { Step } from './step';

/** What a page shows of a prediction, as far as its events say the same. */
export interface Said {
  id: string;
  state: 'open' | 'scored' | 'voided' | 'abstained';
  model: string;
  version: number;
  mode: string;
  dataset: string;
  round: string;
  instrument: { id: string };
  as_of: string;
  horizon: number;
  target: string;
  target_closes_at: string;
  abstention?: string | null;
  forecast?: unknown;
  realised?: string | null;
  target_close?: string | null;
  score?: unknown;
}

/** What a prediction is after its last event. */
const STATES: { [event_type: string]: Said['state'] } = {
  PredictionPublished: 'open',
  PredictionScored: 'scored',
  PredictionVoided: 'voided',
  PredictionAbstained: 'abstained',
};

/**
 * Compares the events with what the page shows: a proof of something else proves nothing here. `ahead` says whether
 * the page may show what was written after the checkpoint.
 */
export function saidSteps(events: ProvenEvent[], shown: Said, ahead: boolean): Step[] {
  const [first, last] = [events[0], events.at(-1)];
  const published = said(first, 'PredictionPublished');
  const abstained = said(first, 'PredictionAbstained');
  const scored = said(last, 'PredictionScored');
  const opening = published ?? abstained;
  const slot = (opening?.slot ?? {}) as Json & { [name: string]: Json };
  const pairs: [unknown, unknown][] = [
    [first?.aggregate_id, shown.id],
    [slot.model, shown.model],
    [slot.version, shown.version],
    [slot.mode, shown.mode],
    [slot.dataset, shown.dataset],
    [slot.round, shown.round],
    [slot.instrument, shown.instrument.id],
    [slot.as_of, shown.as_of],
    [slot.horizon, shown.horizon],
    [slot.target, shown.target],
    [instant(slot.target_closes_at), instant(shown.target_closes_at)],
    [published?.forecast, shown.forecast],
    [abstained?.reason, shown.abstention],
  ];
  const state = STATES[last?.event_type ?? ''];
  const missing = state === 'open' && (shown.state === 'scored' || shown.state === 'voided');
  if (!missing) {
    pairs.push(
      [state, shown.state],
      [scored?.realised, shown.realised],
      [Number(scored?.close ?? 0), Number(shown.target_close ?? 0)],
      [scored?.score, shown.score],
    );
  }
  const steps = [comparison(pairs.every(([one, other]) => same(one, other)))];
  if (published && first) steps.push(timeStep(first, String(slot.target_closes_at)));
  if (missing) steps.push(ahead ? LATER_OUTCOME : NO_OUTCOME);
  return steps;
}

/** Whether the page shows an outcome that is still beyond the checkpoint: the next one tells. */
export const awaitsOutcome = (steps: Step[]): boolean => steps.includes(LATER_OUTCOME);

/** What an event of this name says; undefined when it is another. */
function said(event: ProvenEvent | undefined, name: string): { [name: string]: Json } | undefined {
  if (event?.event_type !== name) return undefined;
  const payload = event.payload as { [name: string]: { [name: string]: Json } | undefined };
  return payload[name];
}

const same = (one: unknown, other: unknown) => canonical((one ?? null) as Json) === canonical((other ?? null) as Json);

const instant = (time: unknown) => Date.parse(String(time));

const OUTCOME = 'Is its outcome in the log too?';

const LATER_OUTCOME: Step = {
  asks: OUTCOME,
  result: 'unknown',
  found: 'This page was read after the newest checkpoint was signed. The next one, within minutes, tells.',
};

const NO_OUTCOME: Step = {
  asks: OUTCOME,
  result: 'fails',
  found: 'No: the checkpoint covers all that this page was made from, and it tells of no outcome.',
};

function comparison(agrees: boolean): Step {
  const asks = 'Do the events say what this page shows?';
  return agrees
    ? { asks, result: 'holds', found: 'Yes: stock, sessions and every number are those of the events.' }
    : { asks, result: 'fails', found: 'No: this page shows something else than the events say.' };
}

function timeStep(first: ProvenEvent, closes: string): Step {
  const asks = 'Was it written before the outcome was known?';
  const { at } = first.metadata as { at?: string };
  return at !== undefined && Date.parse(at) < Date.parse(closes)
    ? { asks, result: 'holds', found: `Yes, by the service's clock: ${at}, and the target closes ${closes}.` }
    : { asks, result: 'fails', found: `No: it was written ${at ?? 'at no time'}, after the target had closed.` };
}
