import { equal, fromBase64, type Bytes } from './bytes';
import { isSigned, type VerifierKey } from './key';

/** A signed note (C2SP signed-note): a text, and under it the signatures over it. */
export interface Note {
  /** What is signed, with the line feed at its end. */
  text: string;
  signatures: { name: string; id: Bytes; signature: Bytes }[];
}

/** Undefined when it is not a note. */
export function readNote(written: string): Note | undefined {
  const cut = written.lastIndexOf('\n\n');
  if (cut < 0 || !written.endsWith('\n')) return undefined;
  const signatures = [];
  for (const line of written.slice(cut + 2, -1).split('\n')) {
    const [, name, encoded] = /^— ([^+\s]+) (\S+)$/.exec(line) ?? [];
    const bytes = fromBase64(encoded ?? '');
    if (!name || !bytes || bytes.length < 5) return undefined;
    signatures.push({ name, id: bytes.slice(0, 4), signature: bytes.slice(4) });
  }
  return { text: written.slice(0, cut + 1), signatures };
}

/** Whether the key has signed the note; undefined when this browser cannot tell. Signatures of others are passed over. */
export async function isSignedBy(note: Note, key: VerifierKey): Promise<boolean | undefined> {
  const own = note.signatures.filter(({ name, id }) => name === key.name && equal(id, key.id));
  const found = await Promise.all(own.map(({ signature }) => isSigned(key, signature, note.text)));
  if (found.length === 0 || found.includes(false)) return false;
  return found.includes(undefined) ? undefined : true;
}
