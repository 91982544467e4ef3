import { growthStep, type Prove } from './growth';
import { readKey } from './key';
import { isSignedBy, readNote } from './note';
import { checkpointOf, type Seen } from './seen';
import { signatureStep, verdict, type Step } from './step';

/** What the service shows of its log. */
export interface Shown {
  verifier_key: string;
  /** The newest checkpoint, a signed note. */
  checkpoint: string;
}

/** Looks at the newest checkpoint as this browser can: is it signed, and does it continue what was seen before? */
export async function look(shown: Shown, before: Seen | undefined, prove: Prove): Promise<Step[]> {
  const key = readKey(before?.verifier_key ?? shown.verifier_key);
  const [note, now] = [readNote(shown.checkpoint), checkpointOf(shown)];
  const steps = [keyStep(shown.verifier_key, before)];
  if (!key || !note || now?.origin !== key.name) {
    return [...steps, { asks: SIGNED, result: 'fails', found: 'No: this is not a checkpoint of this log.' }];
  }
  steps.push(signatureStep(SIGNED, await isSignedBy(note, key)));
  steps.push(await growthStep(before && checkpointOf(before), now, prove));
  return steps;
}

/** What is kept after a look: the newest checkpoint, unless something was wrong with it. */
export const kept = (shown: Shown, steps: Step[], at: Date): Seen | undefined =>
  verdict(steps) === 'fails' ? undefined : { ...shown, at: at.toISOString() };

const SIGNED = 'Is the newest checkpoint signed with that key?';

function keyStep(shown: string, before: Seen | undefined): Step {
  const asks = 'Is it the key this browser knows?';
  if (!before) {
    return { asks, result: 'unknown', found: 'It knows none yet and keeps this one. Compare it with a copy you trust.' };
  }
  return shown === before.verifier_key
    ? { asks, result: 'holds', found: 'Yes: the log has had this key since the first look.' }
    : { asks, result: 'fails', found: `No: before it was ${before.verifier_key}.` };
}
