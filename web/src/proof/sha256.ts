import type { Bytes } from './bytes';

/** The first 32 bits of the fractional parts of a root of each of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
function roots(count: number, power: number): Uint32Array {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) prime = false;
    if (prime) found.push((n ** power % 1) * 2 ** 32);
  }
  return Uint32Array.from(found);
}

const CONSTANTS = roots(64, 1 / 3);
const START = roots(8, 1 / 2);

const turned = (word: number, by: number) => (word >>> by) | (word << (32 - by));

/**
 * SHA-256 (FIPS 180-4).
 *
 * Browsers have their own on https and localhost only, and a proof must be checkable on a plain address too.
 */
export function sha256(message: Bytes): Bytes {
  const padded = new Uint8Array((((message.length + 8) >> 6) + 1) << 6);
  padded.set(message);
  padded[message.length] = 0x80;
  const words = new DataView(padded.buffer);
  words.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);

  const state = START.slice();
  const schedule = new Uint32Array(64);
  for (let block = 0; block < padded.length; block += 64) mix(state, schedule, words, block);

  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, place) => digest.setUint32(4 * place, word));
  return new Uint8Array(digest.buffer);
}

/** Takes one block of 64 bytes into the state (FIPS 180-4, 6.2.2). */
function mix(state: Uint32Array, schedule: Uint32Array, words: DataView, block: number) {
  const w = (t: number) => schedule[t] ?? 0;
  for (let t = 0; t < 64; t++) {
    if (t < 16) schedule[t] = words.getUint32(block + 4 * t);
    else {
      const [early, late] = [w(t - 15), w(t - 2)];
      const small = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
      const large = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
      schedule[t] = w(t - 16) + small + w(t - 7) + large;
    }
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let t = 0; t < 64; t++) {
    const chosen = (e & f) ^ (~e & g);
    const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + chosen + (CONSTANTS[t] ?? 0) + w(t)) | 0;
    const most = (a & b) ^ (a & c) ^ (b & c);
    const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + most) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, place) => (state[place] = (state[place] ?? 0) + word));
}
