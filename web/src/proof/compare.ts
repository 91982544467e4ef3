import { growthStep, type Prove } from './growth';
import { readKey } from './key';
import type { Shown } from './look';
import { isSignedBy, readNote } from './note';
import { checkpointOf } from './seen';
import { signatureStep, type Step } from './step';

/** A checkpoint as it was signed, out of a mail or a message that has indented it or ended its lines otherwise. */
export function unwrapped(pasted: string): string {
  const lines = pasted
    .trim()
    .split(/\r?\n/)
    .map((line) => line.trim());
  return `${lines.join('\n')}\n`;
}

/** Holds the log as it is now to a checkpoint somebody kept. */
export async function compare(kept: string, shown: Shown, prove: Prove): Promise<Step[]> {
  const key = readKey(shown.verifier_key);
  const [note, then, now] = [readNote(kept), checkpointOf({ checkpoint: kept }), checkpointOf(shown)];
  if (!key || !note || !now || then?.origin !== key.name) {
    return [{ asks: SIGNED, result: 'fails', found: 'No: this is not a whole checkpoint of this log.' }];
  }
  const signed = signatureStep(SIGNED, await isSignedBy(note, key));
  return signed.result === 'fails' ? [signed] : [signed, await growthStep(then, now, prove)];
}

const SIGNED = 'Is the checkpoint you kept signed with the key of this log?';
