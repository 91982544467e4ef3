import { count } from '../format';
import { fromHex, type Bytes } from './bytes';
import { rootName, type Checkpoint } from './checkpoint';
import type { Step } from './step';
import { sameHead } from './seen';
import { growsFrom } from './tree';

const ASKS = 'Does the log of now continue the one seen before?';

/** Asks the service for the hashes that lead from one size of the log to another, in hexadecimal. */
export type Prove = (from: number, to: number) => Promise<string[]>;

/** Compares the checkpoint of now with the one seen before; none was seen at first sight. */
export async function growthStep(before: Checkpoint | undefined, now: Checkpoint, prove: Prove): Promise<Step> {
  if (!before) {
    return {
      asks: ASKS,
      result: 'unknown',
      found: 'This is the first look. This browser keeps this checkpoint and holds the log to it from now on.',
    };
  }
  if (now.size < before.size) return rewritten(`It covers ${count(now.size)} events, and ${count(before.size)} were signed before.`);
  if (now.size === before.size) {
    return sameHead(before, now)
      ? holds(`It is the one seen before, at ${count(before.size)} events.`)
      : rewritten(`At ${count(now.size)} events its root was ${rootName(before)} and is ${rootName(now)}.`);
  }
  const hashes = (await prove(before.size, now.size)).map(fromHex);
  const sound = hashes.every((hash) => hash?.length === 32) && growsFrom(before, now, hashes as Bytes[]);
  return sound
    ? holds(`All ${count(before.size)} events seen before stand unchanged at its beginning.`)
    : rewritten(`No way leads from the root at ${count(before.size)} events to the root at ${count(now.size)}.`);
}

const holds = (found: string): Step => ({ asks: ASKS, result: 'holds', found: `Yes. ${found}` });

const rewritten = (found: string): Step => ({
  asks: ASKS,
  result: 'fails',
  found: `No: the log was rewritten. ${found}`,
});
