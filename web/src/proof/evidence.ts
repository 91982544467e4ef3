import { count } from '../format';
import { equal, fromHex, type Bytes } from './bytes';
import type { Json } from './canonical';
import { readCheckpoint, rootName, type Checkpoint } from './checkpoint';
import { digest, type ProvenEvent } from './event';
import { readKey } from './key';
import { isSignedBy, readNote } from './note';
import { signatureStep, type Step } from './step';
import { rootFrom } from './tree';

/** A proof that stands by itself: events, the way from each to the root, and the signed root. */
export interface Evidence {
  version: number;
  verifier_key: string;
  /** A signed note. */
  checkpoint: string;
  events: ProvenEvent[];
}

/** Reads a proof from a file. Undefined when it is none. */
export function readEvidence(text: string): Evidence | undefined {
  try {
    const read = JSON.parse(text) as Evidence;
    const whole =
      read.version === 1 &&
      [read.verifier_key, read.checkpoint].every((part) => typeof part === 'string') &&
      read.events.length > 0 &&
      read.events.every(isEvent) &&
      hasPlainNumbers(read as unknown as Json);
    return whole ? read : undefined;
  } catch {
    return undefined;
  }
}

/** The log holds no numbers but integers that every reader keeps exactly; others could be written in two ways. */
function hasPlainNumbers(value: Json): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(hasPlainNumbers);
}

const isEvent = (event: ProvenEvent) =>
  [event.aggregate_type, event.aggregate_id, event.event_type, event.event_version, event.event_id].every(
    (part) => typeof part === 'string',
  ) &&
  [event.ordinal, event.sequence].every((place) => Number.isSafeInteger(place) && place > 0) &&
  typeof event.recorded_at === 'string' &&
  typeof event.hash === 'string' &&
  Array.isArray(event.inclusion);

/**
 * Checks a proof against the key the reader trusts; each step with what was found. At first sight of a key nothing
 * speaks for it but the service itself.
 */
export async function check(evidence: Evidence, trusted: string, firstSight = false): Promise<Step[]> {
  const note = readNote(evidence.checkpoint);
  const key = readKey(trusted);
  const checkpoint = note && readCheckpoint(note.text);
  const steps = [keyStep(evidence.verifier_key, trusted, firstSight)];
  if (!note || !key || checkpoint?.origin !== key.name) {
    steps.push({ asks: SIGNED, result: 'fails', found: 'No: there is no checkpoint of this log to be signed.' });
    return steps;
  }
  steps.push(signatureStep(SIGNED, await isSignedBy(note, key)));
  steps.push(streamStep(evidence.events));
  for (const event of evidence.events) steps.push(...eventSteps(event, checkpoint));
  return steps;
}

const SIGNED = 'Is the checkpoint signed with that key?';
const COMPARE = 'Compare it with a copy you trust; the page of the record keeps it from then on.';

function keyStep(given: string, trusted: string, firstSight: boolean): Step {
  const asks = 'Is the key in the proof the key of this log?';
  if (given !== trusted) {
    return { asks, result: 'fails', found: `No: the proof names ${given}, this log has ${trusted}.` };
  }
  return firstSight
    ? { asks, result: 'unknown', found: `This browser sees this key for the first time: ${given}. ${COMPARE}` }
    : { asks, result: 'holds', found: `Yes: ${given}` };
}

function streamStep(events: ProvenEvent[]): Step {
  const asks = 'Do the events tell one story, from its beginning and in order?';
  const [first] = events;
  const whole = events.every(
    (event, place) =>
      event.aggregate_type === first?.aggregate_type &&
      event.aggregate_id === first.aggregate_id &&
      event.sequence === place + 1 &&
      event.ordinal > (events[place - 1]?.ordinal ?? 0),
  );
  return whole
    ? { asks, result: 'holds', found: `Yes: ${events.map(({ event_type }) => event_type).join(', then ')}.` }
    : { asks, result: 'fails', found: 'No: the events are of several things, out of order, or some are left out.' };
}

function eventSteps(event: ProvenEvent, checkpoint: Checkpoint): Step[] {
  const named = `${event.event_type}, place ${count(event.ordinal)} in the log`;
  const made = digest(event);
  return [contentStep(event, named, made), inclusionStep(event, named, made, checkpoint)];
}

function contentStep(event: ProvenEvent, named: string, made: Bytes): Step {
  const asks = `${named}: is its content the one that was hashed?`;
  const said = fromHex(event.hash);
  return said && equal(said, made)
    ? { asks, result: 'holds', found: `Yes: SHA-256 over what it says gives ${event.hash}.` }
    : { asks, result: 'fails', found: 'No: something in it was changed after it was written.' };
}

function inclusionStep(event: ProvenEvent, named: string, made: Bytes, checkpoint: Checkpoint): Step {
  const asks = `${named}: is it in the log the checkpoint was signed for?`;
  const path = event.inclusion.map((hash) => fromHex(String(hash)));
  const sound = path.every((hash) => hash?.length === 32) ? (path as Bytes[]) : undefined;
  const root = sound && rootFrom(event.ordinal - 1, checkpoint.size, made, sound);
  return root && equal(root, checkpoint.root)
    ? { asks, result: 'holds', found: `Yes: ${path.length} steps up the tree lead to ${rootName(checkpoint)}.` }
    : { asks, result: 'fails', found: 'No: its way up the tree does not lead to the signed root.' };
}
