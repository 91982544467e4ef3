import { fromBase64, hex } from './bytes';
import type { Head } from './tree';

/** What a checkpoint says (C2SP tlog-checkpoint): whose log, how long it is, and the root of the tree over it. */
export interface Checkpoint extends Head {
  origin: string;
}

/** Reads the text of a signed note. Undefined when it is not a checkpoint. */
export function readCheckpoint(text: string): Checkpoint | undefined {
  const [origin, digits, encoded] = text.split('\n');
  const root = fromBase64(encoded ?? '');
  const size = Number(digits);
  if (!origin || !/^(0|[1-9]\d*)$/.test(digits ?? '') || !Number.isSafeInteger(size) || root?.length !== 32) {
    return undefined;
  }
  return { origin, size, root };
}

export const rootName = (head: Head): string => hex(head.root);
