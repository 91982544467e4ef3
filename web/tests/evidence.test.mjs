// What the service gives out, as the pages check it. `vectors.json` is from a demo on the simulated market.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { load } from './load.mjs';

const { check, readEvidence } = await load('evidence');
const { awaitsOutcome, saidSteps } = await load('said');
const { verdict } = await load('step');
const { look, kept } = await load('look');
const { recall, remember, checkpointOf, trustedKey } = await load('seen');
const { compare, unwrapped } = await load('compare');

const vectors = () => JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'));
const { verifier_key: KEY, prediction: PREDICTION, earlier: EARLIER, later: LATER, consistency: HASHES } = vectors();

const failed = (steps) => steps.filter(({ result }) => result === 'fails').map(({ asks }) => asks);

test('the proof of a scored prediction holds, step by step', async () => {
  const evidence = readEvidence(JSON.stringify(vectors().evidence));
  const steps = [...(await check(evidence, KEY)), ...saidSteps(evidence.events, PREDICTION)];
  assert.deepEqual(failed(steps), []);
  assert.equal(verdict(steps), 'holds');
  assert.equal(steps.length, 9);
});

test('whatever is changed in a proof, a step says so', async () => {
  const changes = {
    'a number of the forecast': (e) => (e.events[0].payload.PredictionPublished.forecast.expected = '0.1'),
    'the outcome': (e) => (e.events[1].payload.PredictionScored.realised = '0.1'),
    'a member that is added': (e) => (e.events[0].payload.more = null),
    'the time': (e) => (e.events[0].recorded_at = '2020-01-01T00:00:00.000000Z'),
    'who did it': (e) => (e.events[0].metadata.account = 'somebody'),
    'the place': (e) => e.events[0].ordinal--,
    'the version of the event': (e) => (e.events[0].event_version = '1.1'),
    'a digest': (e) => (e.events[0].hash = '00'.repeat(32)),
    'a hash on the way': (e) => (e.events[0].inclusion[1] = '00'.repeat(32)),
    'a hash less on the way': (e) => e.events[0].inclusion.pop(),
    'a hash more on the way': (e) => e.events[0].inclusion.push('00'.repeat(32)),
    'no hash on the way': (e) => (e.events[0].inclusion = []),
    'what is no hash': (e) => (e.events[0].inclusion[0] = 7),
    'the publication left out': (e) => e.events.shift(),
    'the order': (e) => e.events.reverse(),
    'an event twice': (e) => e.events.push(e.events[1]),
    'the size that was signed': (e) => (e.checkpoint = e.checkpoint.replace(/\n\d+\n/, '\n1000\n')),
    'the checkpoint': (e) => (e.checkpoint = 'nothing'),
    'the key': (e) => (e.verifier_key = e.verifier_key.replace('example.org', 'example.com')),
  };
  for (const [what, change] of Object.entries(changes)) {
    const { evidence } = vectors();
    change(evidence);
    assert.equal(verdict(await check(evidence, KEY)), 'fails', what);
  }
});

test('a changed event with a digest made anew does not lead to the signed root', async () => {
  const { digest } = await load('event');
  const { hex } = await load('bytes');
  const { evidence } = vectors();
  evidence.events[0].payload.PredictionPublished.forecast.expected = '0.1';
  evidence.events[0].hash = hex(digest(evidence.events[0]));
  const [wrong, ...others] = failed(await check(evidence, KEY));
  assert.match(wrong, /is it in the log/);
  assert.deepEqual(others, []);
});

test('a proof of something else does not prove what a page shows', () => {
  const { evidence } = vectors();
  for (const change of [{ id: 'x' }, { horizon: 9 }, { realised: '1' }, { forecast: { ...PREDICTION.forecast, close: '1' } }]) {
    assert.equal(verdict(saidSteps(evidence.events, { ...PREDICTION, ...change })), 'fails');
  }
  const late = { ...PREDICTION, target_closes_at: '2000-01-01T00:00:00Z' };
  assert.equal(failed(saidSteps(evidence.events, late)).length, 1);
  const [published] = evidence.events;
  assert.equal(verdict(saidSteps([published], PREDICTION, true)), 'unknown', 'the score is not covered yet');
});

test('state, model, version and mode are compared with the events too', () => {
  const { events } = vectors().evidence;
  const others = { state: 'voided', model: 'x', version: 4, mode: 'live', dataset: 'x', round: 'x', target_close: '1' };
  for (const [name, value] of Object.entries(others)) {
    assert.equal(failed(saidSteps(events, { ...PREDICTION, [name]: value }, true)).length, 1, name);
  }
  const open = { ...PREDICTION, state: 'open', realised: null, target_close: null, score: null };
  assert.equal(verdict(saidSteps([events[0]], open, false)), 'holds');
  assert.equal(verdict(saidSteps(events, open, true)), 'fails', 'the outcome is kept back');
  const early = { ...PREDICTION, state: 'open' };
  assert.equal(verdict(saidSteps([events[0]], early, true)), 'fails', 'a score without the state');
  const voided = { ...events[1], event_type: 'PredictionVoided', payload: { PredictionVoided: {} } };
  assert.equal(verdict(saidSteps([events[0], voided], { ...open, state: 'voided' }, false)), 'holds');
  assert.equal(verdict(saidSteps([events[0], voided], PREDICTION, true)), 'fails', 'a score of what was voided');
});

test('an abstention is compared with its event', () => {
  const [published] = vectors().evidence.events;
  const { slot } = published.payload.PredictionPublished;
  const payload = { PredictionAbstained: { slot, reason: 'stale_data' } };
  const event = { ...published, event_type: 'PredictionAbstained', payload };
  const nothing = { forecast: null, realised: null, target_close: null, score: null };
  const shown = { ...PREDICTION, ...nothing, state: 'abstained', abstention: 'stale_data' };
  assert.equal(verdict(saidSteps([event], shown, false)), 'holds');
  for (const change of [{ abstention: 'out_of_range' }, { state: 'open' }, { state: 'scored' }]) {
    assert.equal(verdict(saidSteps([event], { ...shown, ...change }, true)), 'fails');
  }
});

test('an outcome is awaited only where it can be newer than the checkpoint', () => {
  const { events } = vectors().evidence;
  const later = saidSteps([events[0]], PREDICTION, true);
  assert.equal(awaitsOutcome(later), true);
  const missing = saidSteps([events[0]], PREDICTION, false);
  assert.equal(verdict(missing), 'fails');
  assert.equal(awaitsOutcome(missing), false);
  assert.equal(awaitsOutcome(saidSteps(events, PREDICTION, true)), false);
});

test('it is written before the close that its own event names', () => {
  const { events } = vectors().evidence;
  const target_closes_at = '2022-03-14T20:00:00Z';
  events[0].payload.PredictionPublished.slot.target_closes_at = target_closes_at;
  const late = failed(saidSteps(events, { ...PREDICTION, target_closes_at }, false));
  assert.deepEqual(late, ['Was it written before the outcome was known?']);
});

test('a key that is seen for the first time is not called the one of the log', async () => {
  const { evidence } = vectors();
  const steps = await check(evidence, KEY, true);
  assert.equal(verdict(steps), 'unknown');
  assert.deepEqual(steps.filter(({ result }) => result !== 'holds'), [steps[0]]);
  assert.match(steps[0].found, /sees this key for the first time/);
  const other = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
  assert.equal(verdict(await check(evidence, other, true)), 'fails');
});

test('the key of the first look stays the one to check with', () => {
  assert.equal(trustedKey(undefined, 'now'), 'now');
  assert.equal(trustedKey({ verifier_key: KEY, checkpoint: EARLIER, at: '' }, 'now'), KEY);
});

test('a file that is no proof is not read', () => {
  const whole = JSON.stringify(vectors().evidence);
  for (const bad of [
    '',
    'null',
    '[]',
    '{}',
    whole.slice(0, -1),
    whole.replace('"version":1', '"version":2'),
    whole.replace(/"events":.*$/, '"events":[]}'),
    whole.replace('"horizon":1', '"horizon":1.5'),
    whole.replace('"horizon":1', '"horizon":1e400'),
    whole.replace(/"ordinal":\d+/, '"ordinal":9007199254740993'),
  ]) {
    assert.equal(readEvidence(bad), undefined, bad.slice(0, 60));
  }
});

const never = () => assert.fail('nothing has to be proven');

test('the first look keeps the checkpoint, the next holds the log to it', async () => {
  const place = new Map();
  const storage = { getItem: (name) => place.get(name) ?? null, setItem: (name, text) => place.set(name, text) };
  const shown = { verifier_key: KEY, checkpoint: EARLIER };
  const first = await look(shown, recall(storage), never);
  assert.equal(verdict(first), 'unknown');
  remember(storage, kept(shown, first, new Date(0)));

  assert.equal(verdict(await look(shown, recall(storage), never)), 'holds');
  const asked = [];
  const prove = (from, to) => (asked.push([from, to]), Promise.resolve(HASHES));
  const next = await look({ ...shown, checkpoint: LATER }, recall(storage), prove);
  assert.equal(verdict(next), 'holds');
  const sizes = [EARLIER, LATER].map((checkpoint) => checkpointOf({ checkpoint }).size);
  assert.deepEqual(asked, [sizes]);
});

test('a log that was rewritten, cut or signed by somebody else is called so, and not kept', async () => {
  const before = { verifier_key: KEY, checkpoint: EARLIER, at: '' };
  const shown = { verifier_key: KEY, checkpoint: LATER };
  const found = async (now, seen, hashes) => {
    const steps = await look(now, seen, () => Promise.resolve(hashes));
    assert.equal(kept(now, steps, new Date(0)), undefined);
    return failed(steps).length === 1 && steps.find(({ result }) => result === 'fails').found;
  };
  assert.match(await found(shown, before, HASHES.slice(1)), /the log was rewritten/);
  assert.match(await found(shown, before, HASHES.with(0, '00'.repeat(32))), /the log was rewritten/);
  const cut = { ...before, checkpoint: LATER };
  assert.match(await found({ ...shown, checkpoint: EARLIER }, cut, []), /were signed before/);
  const forked = EARLIER.replace(/^(.*\n.*\n)(.)/, (_, head, root) => head + (root === 'A' ? 'B' : 'A'));
  const steps = await look({ ...shown, checkpoint: forked }, before, never);
  assert.equal(failed(steps).length, 2, 'neither signed nor the same');
  const other = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
  assert.match(await found({ ...shown, verifier_key: other }, before, HASHES), /before it was/);
});

test('the log is held to a checkpoint out of a mail', async () => {
  const shown = { verifier_key: KEY, checkpoint: LATER };
  const prove = () => Promise.resolve(HASHES);
  const indented = `\r\n  ${EARLIER.replaceAll('\n', '\r\n  ')}`;
  assert.equal(unwrapped(indented), EARLIER);
  assert.equal(verdict(await compare(unwrapped(indented), shown, prove)), 'holds');
  const forged = await compare(EARLIER.replace(/\n\d+\n/, '\n1\n'), shown, never);
  assert.equal(verdict(forged), 'fails');
  for (const none of ['', 'text', EARLIER.split('\n\n')[0]]) {
    assert.equal(verdict(await compare(unwrapped(none), shown, never)), 'fails', none);
  }
  const other = await compare(EARLIER, shown, () => Promise.resolve(HASHES.slice(1)));
  assert.match(other[1].found, /the log was rewritten/);
});
