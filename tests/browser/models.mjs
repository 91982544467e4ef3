// Why a number is what it is, how a version was calibrated, and trials beside the champion.
//
//   node models.mjs BASE_URL
//
// CHROMIUM names the browser, SCREENSHOTS a folder for pictures; ADMIN_EMAIL and ADMIN_PASSWORD add what only an
// administrator does. There must be two versions, and something predicted.
import { fileURLToPath } from 'node:url';

import { assert, heading, shown, signIn, Walk } from './steps.mjs';

const base = process.argv[2]?.replace(/\/$/, '');
if (!base) {
  console.error('usage: node models.mjs BASE_URL');
  process.exit(2);
}

async function readWhy(walk) {
  let expected = '';
  await walk.step('a prediction says what it is made of, and that it was made again', async (page) => {
    const answer = await page.request.get(`${base}/api/v1/predictions/latest`);
    const prediction = (await answer.json()).items.find(({ forecast }) => forecast);
    assert(prediction, 'nothing has been predicted yet');
    await page.goto(`${base}/predictions/${prediction.id}`);
    await shown(page.getByRole('heading', { name: 'Why this number' }));
    await shown(page.getByText('made again: equal', { exact: true }));
    await shown(page.getByRole('heading', { name: 'What each feature added' }));
    await shown(page.getByText('Starting point'));
    expected = (await page.locator('.sum .num').innerText()).replace(/\s/g, '');
  });
  await walk.step('the parts on the page sum up to the expected move', async (page) => {
    await page.getByRole('button', { name: /Show all \d+ features/ }).click();
    const rows = await page.locator('ul.parts li:not(.sum) .num').allInnerTexts();
    const value = (text) => Number(text.replace('−', '-').replace(/[^-\d.]/g, ''));
    const sum = rows.map(value).reduce((all, one) => all + one, 0);
    assert(rows.length > 15, `only ${rows.length} parts are shown`);
    // Each is rounded, and percents do not quite add as log returns do.
    assert(Math.abs(sum - value(expected)) < 0.02, `${sum} is not ${expected}`);
  });
  await walk.step('similar days before are shown with how they ended', async (page) => {
    await shown(page.getByRole('heading', { name: /The \d+ most similar days before/ }));
    await shown(page.getByRole('img', { name: /Outcomes after similar days/ }));
    await page.getByText(/^The 12 nearest$/).click();
    assert((await page.locator('ul.nearest li').count()) === 12, 'twelve are not listed');
    await shown(page.getByRole('heading', { name: 'What changed since the session before' }));
  });
  await walk.look('why');
}

async function readCalibration(walk) {
  await walk.step("a version's calibration is drawn when somebody opens it", async (page) => {
    await page.goto(`${base}/models`);
    await page.getByText('Calibration and placebo').first().click();
    await shown(page.getByRole('heading', { name: 'Share inside the intervals' }));
    await shown(page.getByRole('img', { name: /Shares by tenth/ }));
    await page.getByRole('radio', { name: '5 sessions' }).first().check({ force: true });
    await shown(page.getByRole('heading', { name: 'Where outcomes came to lie' }));
  });
  await walk.step('two versions stand side by side', async (page) => {
    await shown(page.getByRole('heading', { name: 'Two versions side by side' }));
    await page.getByLabel('One').selectOption({ index: 1 });
    await shown(page.getByRole('region', { name: /^v\d+ beside v\d+$/ }));
  });
  await walk.look('calibration');
  await walk.step('the report of a version is downloaded', async (page) => {
    const begun = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download the report' }).first().click();
    const download = await begun;
    assert(/^us-daily-v\d+-report\.html$/.test(download.suggestedFilename()), download.suggestedFilename());
  });
  await walk.step('and opens as a page with pictures', async (page) => {
    const address = await page.getByRole('link', { name: /^Report of v/ }).first().getAttribute('href');
    await page.goto(base + address);
    await shown(heading(page, /^us-daily v\d+$/));
    await shown(page.getByRole('img', { name: /^Nominal against empirical quantiles/ }));
    await shown(page.getByRole('heading', { name: 'Leak sentinel' }));
  });
  await walk.look('report');
}

async function tryVersion(walk, who, secret) {
  const trials = (page) => page.getByRole('region', { name: /^Trials of / });
  await walk.step('the administrator finds the trials, each with its rule in words', async (page) => {
    await page.goto(`${base}/sign-in?to=/admin`);
    await signIn(page, who, secret);
    await shown(heading(page, 'Models and replay'));
    await shown(trials(page).getByRole('heading', { name: 'Trials' }));
  });
  const offer = walk.page.getByRole('button', { name: 'Open a trial' });
  const open = walk.page.getByRole('button', { name: 'Close the trial' });
  await offer.or(open).first().waitFor({ state: 'visible' });
  if (await offer.isVisible()) {
    await walk.step('a dry run is opened with a reason', async (page) => {
      await offer.click();
      // Fewer than four of the longest horizon are refused, where they were asked for.
      await page.getByLabel('Decide after so many sessions').fill('30');
      await page.getByLabel('Reason').fill('walked through in a browser');
      assert(await page.getByRole('checkbox', { name: /Dry run/ }).isChecked(), 'a dry run is not what comes first');
      await walk.expecting(422, async () => {
        await page.getByRole('button', { name: 'Open the trial' }).click();
        await shown(page.getByText('it is 80 to 10000 sessions for these horizons'));
      });
      await page.getByLabel('Decide after so many sessions').fill('');
      await page.getByRole('button', { name: 'Open the trial' }).click();
      await shown(trials(page).getByText('on trial', { exact: true }));
      await shown(trials(page).getByText('dry run', { exact: true }));
    });
  }
  await walk.step('an open trial says how far it is and by which rule it is decided', async (page) => {
    await shown(trials(page).getByRole('progressbar', { name: 'Sessions compared' }));
    await shown(trials(page).getByText(/are compared by .* once, on exactly \d+ sessions/));
  });
  await walk.look('trial open');
  await walk.step('it is closed with a reason, and the record says so', async (page) => {
    await open.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill('seen enough');
    await dialog.getByRole('button', { name: 'Close', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    await shown(trials(page).getByText('the champion stays', { exact: true }));
    await shown(page.getByText('its trial ended'));
  });
  await walk.look('trial closed');
}

/** Signed in already. */
async function bringIn(walk) {
  const fixture = (name) => fileURLToPath(new URL(`../../ml/tests/fixtures/onnx/${name}`, import.meta.url));
  const choose = async (page, ...files) => {
    await page.getByRole('button', { name: 'Import a model' }).click();
    await page.getByLabel('ONNX files, one for each horizon').setInputFiles(files);
  };
  const rows = (page) => page.getByRole('listitem').filter({ hasText: 'Brings in' });
  await walk.step('files of one horizon are refused where the second one stands', async (page) => {
    await page.goto(`${base}/admin/training`);
    await choose(page, fixture('ridge.onnx'), fixture('forest.onnx'));
    await page.getByLabel('Horizon of forest.onnx, in sessions').fill('1');
    await walk.expecting(422, async () => {
      await page.getByRole('button', { name: 'Import', exact: true }).click();
      await shown(page.getByText('another file has this horizon: one file for each'));
    });
  });
  await walk.look('import');
  await walk.step('a model trained elsewhere becomes a version', async (page) => {
    await page.getByLabel('Horizon of forest.onnx, in sessions').fill('5');
    await page.getByRole('button', { name: 'Import', exact: true }).click();
    await shown(rows(page).first().getByText('completed', { exact: true }));
    await shown(rows(page).first().getByText(/v\d+$/));
  });
  await walk.step('a file that is no model fails with its reason', async (page) => {
    await choose(page, fixture('refused_custom_operator.onnx'));
    await page.getByRole('button', { name: 'Import', exact: true }).click();
    await shown(rows(page).first().getByText(/^file_refused: horizon 1: .*com\.example\.Forecast/));
  });
  await walk.look('imported');
}

const walk = await Walk.begin(base);
try {
  await readWhy(walk);
  await readCalibration(walk);
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = process.env;
  if (ADMIN_EMAIL && ADMIN_PASSWORD) {
    await tryVersion(walk, ADMIN_EMAIL, ADMIN_PASSWORD);
    await bringIn(walk);
  } else console.log('skipped the administrator: ADMIN_EMAIL and ADMIN_PASSWORD are not set');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await walk.end();
}
