// What the pages verify, tried on vectors of others: RFC 8785, RFC 6962, the Go package for notes, and FIPS 180-4.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { load } from './load.mjs';

const { sha256 } = await load('sha256');
const { fromHex, hex, utf8, fromBase64 } = await load('bytes');
const { canonical } = await load('canonical');
const { readKey, isSigned } = await load('key');
const { readNote, isSignedBy } = await load('note');
const { rootFrom, growsFrom } = await load('tree');
const { readCheckpoint } = await load('checkpoint');

test('SHA-256 is the one everybody computes, at every length around a block', () => {
  for (let length = 0; length < 200; length++) {
    const message = Uint8Array.from({ length }, (_, place) => (7 * place + length) % 256);
    assert.equal(hex(sha256(message)), createHash('sha256').update(message).digest('hex'));
  }
});

test('the canonical form is the one of RFC 8785', () => {
  const example = {
    numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
  };
  assert.equal(
    canonical(example),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
  const sorted = canonical({ '\u20ac': 1, '\r': 2, '\ufb33': 3, 1: 4, '\u{1f600}': 5, '\u0080': 6, '\u00f6': 7 });
  assert.equal(sorted, '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}');
});

test('bytes are read strictly', () => {
  for (const bad of ['0', '0g', 'ABCD', '0x00']) assert.equal(fromHex(bad), undefined, bad);
  for (const bad of ['A', 'AAA', '====', 'AA=A', 'A-_A']) assert.equal(fromBase64(bad), undefined, bad);
});

// The example of golang.org/x/mod/sumdb/note.
const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const NOTE =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n" +
  '\n' +
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

test('a note of others verifies, and a changed one does not', async () => {
  const key = readKey(PETER);
  assert.equal(await isSignedBy(readNote(NOTE), key), true);
  assert.equal(await isSignedBy(readNote(NOTE.replace('the answer', 'an answer')), key), false);
  assert.equal(await isSignedBy(readNote(NOTE.replace('x08go/ZJkuBS9', 'x08go/ZJkuBT9')), key), false);
  assert.equal(await isSignedBy(readNote(NOTE.replaceAll('PeterNeumann', 'PeterNewmann')), key), false);
});

test('what deviates from the form of a note or a key is not read', () => {
  for (const bad of ['', 'text\n', NOTE.trimEnd(), NOTE.replace('— ', '- '), NOTE.replace('nAM=', 'nAM'), `${NOTE}x`]) {
    assert.equal(readNote(bad), undefined, bad);
  }
  for (const bad of ['', 'a+b', PETER.replace('c74f', 'c74e'), PETER.replace('Peter', 'Pieter'), PETER.slice(0, -4)]) {
    assert.equal(readKey(bad), undefined, bad);
  }
});

test('a browser without Ed25519 says that it cannot tell', async () => {
  const { subtle } = crypto;
  const key = readKey(PETER);
  const refuse = () => Promise.reject(new DOMException('no such thing', 'NotSupportedError'));
  try {
    Object.defineProperty(crypto, 'subtle', { value: { importKey: refuse }, configurable: true });
    assert.equal(await isSigned(key, new Uint8Array(64), ''), undefined);
    Object.defineProperty(crypto, 'subtle', { value: undefined, configurable: true });
    assert.equal(await isSigned(key, new Uint8Array(64), ''), undefined);
  } finally {
    Object.defineProperty(crypto, 'subtle', { value: subtle, configurable: true });
  }
});

test('a checkpoint has an origin, a size and a root', () => {
  const root = 'A'.repeat(43) + '=';
  assert.equal(readCheckpoint(`a\n7\n${root}\n`).size, 7);
  for (const bad of ['', 'a\n7\n', `\n7\n${root}\n`, `a\n07\n${root}\n`, `a\n-7\n${root}\n`, `a\n7\nAAAA\n`]) {
    assert.equal(readCheckpoint(bad), undefined, bad);
  }
});

// The tree of RFC 6962 section 2.1 and its proofs, by their recursive definition.
const digest = (...parts) => new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest());
const split = (leaves) => 2 ** Math.ceil(Math.log2(leaves.length) - 1);
function treeHash(leaves) {
  if (leaves.length === 1) return digest(Uint8Array.of(0), leaves[0]);
  const k = split(leaves);
  return digest(Uint8Array.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)));
}
function path(m, leaves) {
  if (leaves.length === 1) return [];
  const k = split(leaves);
  return m < k
    ? [...path(m, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), treeHash(leaves.slice(0, k))];
}
function growth(m, leaves, whole = true) {
  if (m === leaves.length) return whole ? [] : [treeHash(leaves)];
  const k = split(leaves);
  return m <= k
    ? [...growth(m, leaves.slice(0, k), whole), treeHash(leaves.slice(k))]
    : [...growth(m - k, leaves.slice(k), false), treeHash(leaves.slice(0, k))];
}

const LEAVES = Array.from({ length: 40 }, (_, n) => digest(utf8(String(n))));

test('every place of every small tree is proven, and no other place by the same path', () => {
  for (let size = 1; size <= LEAVES.length; size++) {
    const leaves = LEAVES.slice(0, size);
    const root = hex(treeHash(leaves));
    for (let place = 0; place < size; place++) {
      const proof = path(place, leaves);
      assert.equal(hex(rootFrom(place, size, leaves[place], proof)), root);
      assert.equal(rootFrom(size, size, leaves[place], proof), undefined);
      assert.equal(rootFrom(place, size, leaves[place], [...proof, leaves[0]]), undefined);
      if (proof.length > 0) assert.equal(rootFrom(place, size, leaves[place], proof.slice(1)), undefined);
      const elsewhere = rootFrom(place, size, LEAVES[39 - place] ?? leaves[0], proof);
      if (place !== 39 - place) assert.notEqual(elsewhere && hex(elsewhere), root);
    }
  }
});

test('every small tree is proven to continue every smaller one, and no other one', () => {
  const other = digest(utf8('other'));
  for (let to = 1; to <= LEAVES.length; to++) {
    const now = { size: to, root: treeHash(LEAVES.slice(0, to)) };
    assert.ok(growsFrom({ size: 0, root: digest() }, now, []));
    for (let from = 1; from <= to; from++) {
      const before = { size: from, root: treeHash(LEAVES.slice(0, from)) };
      const proof = growth(from, LEAVES.slice(0, to));
      assert.ok(growsFrom(before, now, proof), `${from} to ${to}`);
      assert.ok(!growsFrom({ ...before, root: other }, now, proof));
      assert.ok(!growsFrom(before, { ...now, root: other }, proof));
      assert.ok(!growsFrom(before, now, [...proof, other]));
      proof.forEach((_, place) => {
        assert.ok(!growsFrom(before, now, proof.with(place, other)), `${from} to ${to}, hash ${place}`);
        assert.ok(!growsFrom(before, now, proof.toSpliced(place, 1)));
      });
      if (from < to) assert.ok(!growsFrom(now, before, proof));
    }
  }
});
