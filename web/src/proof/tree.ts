import { equal, joined, type Bytes } from './bytes';
import { sha256 } from './sha256';

// Places are counted up to 2^53, beyond what the bit operators of the language take.
const odd = (n: number) => n % 2 === 1;
const half = (n: number) => Math.floor(n / 2);

const leaf = (data: Bytes) => sha256(joined(Uint8Array.of(0), data));
const parent = (left: Bytes, right: Bytes) => sha256(joined(Uint8Array.of(1), left, right));

/**
 * The root that an inclusion path leads to, from the event's digest at `index` (from 0) of a tree of `size` leaves
 * (RFC 9162 section 2.1.3.2). Undefined when the path is not one of that place.
 */
export function rootFrom(index: number, size: number, data: Bytes, path: Bytes[]): Bytes | undefined {
  if (index < 0 || index >= size) return undefined;
  let [place, last, node] = [index, size - 1, leaf(data)];
  for (const sibling of path) {
    if (last === 0) return undefined;
    if (odd(place) || place === last) {
      node = parent(sibling, node);
      while (!odd(place) && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      node = parent(node, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 ? node : undefined;
}

/** One size of the log with its root. */
export interface Head {
  size: number;
  root: Bytes;
}

/** Whether `hashes` prove that the log at `to` begins with the log at `from` (RFC 9162 section 2.1.4.2). */
export function growsFrom(from: Head, to: Head, hashes: Bytes[]): boolean {
  if (from.size > to.size) return false;
  if (from.size === to.size) return hashes.length === 0 && equal(from.root, to.root);
  // Every log begins with the empty one.
  if (from.size === 0) return hashes.length === 0;
  const path = Number.isInteger(Math.log2(from.size)) ? [from.root, ...hashes] : hashes;
  const [first, ...rest] = path;
  if (!first) return false;
  let [place, last] = [from.size - 1, to.size - 1];
  while (odd(place)) [place, last] = [half(place), half(last)];
  let [before, after] = [first, first];
  for (const hash of rest) {
    if (last === 0) return false;
    if (odd(place) || place === last) {
      before = parent(hash, before);
      after = parent(hash, after);
      while (!odd(place) && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      after = parent(after, hash);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && equal(before, from.root) && equal(after, to.root);
}
