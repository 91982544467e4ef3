import { equal, fromBase64, fromHex, joined, utf8, type Bytes } from './bytes';
import { sha256 } from './sha256';

/** The C2SP signature type of Ed25519. */
const ED25519 = 1;

/** A public key with the name of the log it signs for. */
export interface VerifierKey {
  name: string;
  /** Four bytes that name the key in a signature. */
  id: Bytes;
  key: Bytes;
}

/** Reads `<name>+<8 hex digits>+<base64>` (C2SP signed-note). Undefined when it is not an Ed25519 key. */
export function readKey(text: string): VerifierKey | undefined {
  const [, name, digits, encoded] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text) ?? [];
  const [id, typed] = [fromHex(digits ?? ''), fromBase64(encoded ?? '')];
  if (!name || !id || typed?.length !== 33 || typed[0] !== ED25519) return undefined;
  const named = sha256(joined(utf8(`${name}\n`), typed)).slice(0, 4);
  return equal(named, id) ? { name, id, key: typed.slice(1) } : undefined;
}

/**
 * Whether the signature over `text` is the key's own. Undefined when this browser cannot tell: it has no Ed25519, or
 * keeps its cryptography for https and localhost.
 */
export async function isSigned(key: VerifierKey, signature: Bytes, text: string): Promise<boolean | undefined> {
  if (!globalThis.crypto?.subtle) return undefined;
  try {
    const given = await crypto.subtle.importKey('raw', key.key, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', given, signature, utf8(text));
  } catch (thrown) {
    return thrown instanceof DOMException && thrown.name === 'NotSupportedError' ? undefined : false;
  }
}
