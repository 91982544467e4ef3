// The record as somebody who trusts nobody meets it: signed checkpoints, proofs checked in the browser, and forgeries.
//
//   node record.mjs BASE_URL
//
// CHROMIUM names the browser, SCREENSHOTS a folder for pictures; ADMIN_EMAIL and ADMIN_PASSWORD add what an
// administrator sees of the log. Time must go on in the service: predictions get scored.
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { assert, heading, shown, signIn, Walk } from './steps.mjs';

const base = process.argv[2]?.replace(/\/$/, '');
if (!base) {
  console.error('usage: node record.mjs BASE_URL');
  process.exit(2);
}

const SEEN = 'almanac.log-seen';

/** The part of a page with this heading. */
const part = (page, name) => page.locator('section').filter({ has: page.getByRole('heading', { name, exact: true }) });

async function readRecord(walk) {
  await walk.step('the first look at the record keeps what was seen', async (page) => {
    await page.goto(`${base}/log`);
    await shown(heading(page, 'The record'));
    const look = part(page, 'Checked by your browser, just now');
    await shown(look.getByText('This is the first look.'));
    await shown(look.getByText('Yes: the signature is the one of this key.'));
    await page.waitForFunction((seen) => localStorage.getItem(seen), SEEN);
  });
  await walk.look('record first look');
  await walk.step('later the record is held to it', async (page) => {
    const newest = page.getByRole('region', { name: 'the newest checkpoint' });
    const before = await newest.innerText();
    const grown = page.getByText(/All [\d,]+ events seen before stand unchanged at its beginning/);
    // A page that has looked again by itself has seen the next one already: then it is the one after that.
    do {
      await page.waitForFunction(async (text) => {
        const answer = await fetch('/api/v1/log/checkpoint');
        return (await answer.text()).trimEnd() !== text.trimEnd();
      }, await newest.innerText());
      await page.reload();
      await shown(grown.or(page.getByText(/It is the one seen before, at [\d,]+ events/)));
    } while (!(await grown.first().isVisible()));
    await shown(page.getByText('verified', { exact: true }));
    assert((await newest.innerText()) !== before, 'the page shows an old checkpoint');
  });
  await walk.look('record');
}

async function rewrite(walk) {
  await walk.step('a log that is not the one seen before is called rewritten', async (page) => {
    await page.evaluate((place) => {
      const seen = JSON.parse(localStorage.getItem(place));
      const [origin, size, root, ...rest] = seen.checkpoint.split('\n');
      const forged = (root.startsWith('A') ? 'B' : 'A') + root.slice(1);
      localStorage.setItem(place, JSON.stringify({ ...seen, checkpoint: [origin, size, forged, ...rest].join('\n') }));
    }, SEEN);
    await page.reload();
    await shown(page.getByText(/No: the log was rewritten/));
    await shown(page.getByText('refused', { exact: true }));
  });
  await walk.look('record rewritten');
  await walk.step('it stays so until the reader forgets what was seen', async (page) => {
    await page.reload();
    await shown(page.getByText(/No: the log was rewritten/));
    await page.getByRole('button', { name: 'Forget what was seen' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Forget' }).click();
    await shown(page.getByText('This is the first look.'));
  });
}

/** Gives the proof of a scored prediction, as it was downloaded. */
async function prove(walk) {
  let path = '';
  await walk.step('a scored prediction is proven on its page', async (page) => {
    const answer = await page.request.get(`${base}/api/v1/predictions?state=scored&limit=1`);
    const [prediction] = (await answer.json()).items;
    assert(prediction, 'nothing has been scored yet');
    await page.goto(`${base}/predictions/${prediction.id}`);
    const proof = part(page, 'Proof');
    await shown(proof.getByText('verified', { exact: true }));
    await proof.getByText(/^The \d+ steps$/).click();
    await shown(proof.getByText(/PredictionScored, place [\d,]+ in the log: is it in the log/));
    await shown(proof.getByText('Yes: stock, sessions and every number are those of the events.'));
    assert((await proof.getByText('fails', { exact: true }).count()) === 0, 'a step fails');
  });
  await walk.look('proof');
  await walk.step('its proof is downloaded', async (page) => {
    const begun = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download the proof' }).click();
    const download = await begun;
    path = join(tmpdir(), `almanac-${process.pid}-${download.suggestedFilename()}`);
    await download.saveAs(path);
  });
  return path;
}

async function checkFiles(walk, path) {
  const tampered = path.replace('.json', '-tampered.json');
  const proof = JSON.parse(await readFile(path, 'utf8'));
  proof.events[0].payload.PredictionPublished.forecast.expected = '0.05';
  await writeFile(tampered, JSON.stringify(proof));
  const file = (page) => page.getByLabel('A proof you kept, or were given');
  await walk.step('the downloaded proof is accepted', async (page) => {
    await page.goto(`${base}/log`);
    await file(page).setInputFiles(path);
    await shown(part(page, 'Check a proof').getByText('The record says what the file says.'));
  });
  await walk.step('with one number changed it is refused', async (page) => {
    await file(page).setInputFiles(tampered);
    const check = part(page, 'Check a proof');
    await shown(check.getByText('The record does not say what the file says.'));
    await shown(check.getByText('No: something in it was changed after it was written.'));
    await shown(check.getByText('No: its way up the tree does not lead to the signed root.'));
  });
  await walk.look('proof refused');
}

async function compareKept(walk, path) {
  const kept = JSON.parse(await readFile(path, 'utf8')).checkpoint;
  const compare = async (page, text) => {
    await page.getByLabel(/^A checkpoint you kept/).fill(text);
    await page.getByRole('button', { name: 'Compare' }).click();
  };
  await walk.step('the log is held to a checkpoint that somebody kept', async (page) => {
    await page.reload();
    await compare(page, `  ${kept.replaceAll('\n', '\n  ')}`);
    await shown(page.getByText('Nothing has changed since the checkpoint you kept.'));
    await compare(page, kept.replace(/\n\d+\n/, '\n1\n'));
    await shown(page.getByText('The log is not the one of the checkpoint you kept.'));
  });
}

async function administer(walk, who, secret) {
  await walk.step('the administrator sees how far the log is sealed and signed', async (page) => {
    await page.goto(`${base}/sign-in?to=/admin/record`);
    await signIn(page, who, secret);
    await shown(heading(page, 'Record'));
    await shown(page.getByText('the Notary is', { exact: false }));
    await shown(page.getByText('up to date'));
  });
  await walk.look('admin record');
  const row = (page) => page.getByRole('listitem').filter({ has: page.getByText('predictions', { exact: true }) });
  const deed = async (page, verb) => {
    await row(page).getByRole('button', { name: `${verb}: predictions`, exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: verb, exact: true }).click();
  };
  await walk.step('tables are rebuilt beside those in use, compared, and switched', async (page) => {
    await deed(page, 'Rebuild');
    await shown(row(page).getByText('ready', { exact: true }));
    await shown(row(page).getByText(/every table is equal to the one in use/));
  });
  await walk.look('admin rebuilt');
  await walk.step('readers see the new ones, then the old ones again', async (page) => {
    await deed(page, 'Switch');
    await shown(row(page).getByText('the one before', { exact: true }));
    await deed(page, 'Switch back');
    await shown(page.getByText('Readers see the tables of predictions from before.'));
  });
}

const walk = await Walk.begin(base);
try {
  await readRecord(walk);
  await rewrite(walk);
  const path = await prove(walk);
  await checkFiles(walk, path);
  await compareKept(walk, path);
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = process.env;
  if (ADMIN_EMAIL && ADMIN_PASSWORD) await administer(walk, ADMIN_EMAIL, ADMIN_PASSWORD);
  else console.log('skipped the administrator: ADMIN_EMAIL and ADMIN_PASSWORD are not set');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await walk.end();
}
