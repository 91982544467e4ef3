import { equal } from './bytes';
import { readCheckpoint, type Checkpoint } from './checkpoint';
import { readKey } from './key';
import { readNote } from './note';

const PLACE = 'almanac.log-seen';

/** What this browser has seen of the log: the key it trusted at first sight, and the newest checkpoint it checked. */
export interface Seen {
  verifier_key: string;
  /** A signed note. */
  checkpoint: string;
  /** When, by this browser's clock. */
  at: string;
}

/** What was seen last; undefined at first sight. */
export function recall(storage: Storage): Seen | undefined {
  try {
    const seen = JSON.parse(storage.getItem(PLACE) ?? 'null') as Seen | null;
    return seen && readKey(seen.verifier_key) && checkpointOf(seen) ? seen : undefined;
  } catch {
    return undefined;
  }
}

/** The key to check with: the one trusted at first sight; where there is none, the one the service names. */
export const trustedKey = (seen: Seen | undefined, named: string): string => seen?.verifier_key ?? named;

export function remember(storage: Storage, seen: Seen) {
  storage.setItem(PLACE, JSON.stringify(seen));
}

export function forget(storage: Storage) {
  storage.removeItem(PLACE);
}

export function checkpointOf({ checkpoint }: { checkpoint: string }): Checkpoint | undefined {
  const note = readNote(checkpoint);
  return note && readCheckpoint(note.text);
}

/** Whether two checkpoints of the same size have the same root: a log that has two is two logs. */
export const sameHead = (one: Checkpoint, other: Checkpoint) =>
  one.size === other.size && equal(one.root, other.root);
