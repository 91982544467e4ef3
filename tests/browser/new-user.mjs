// The path of a new user, and of an administrator, through the pages in a real browser.
//
//   node new-user.mjs BASE_URL
//
// CHROMIUM names the browser, SCREENSHOTS a folder for pictures; ADMIN_EMAIL and ADMIN_PASSWORD add the
// administrator's path. The service must have published predictions; for promoting it needs two versions in service.
import { assert, heading, shown, signIn, Walk } from './steps.mjs';

const base = process.argv[2]?.replace(/\/$/, '');
if (!base) {
  console.error('usage: node new-user.mjs BASE_URL');
  process.exit(2);
}

const email = `walker-${Date.now()}@example.com`;
const password = 'a long enough password';

async function readWithoutSignIn(walk) {
  await walk.step('the first page says what it is, how it has done, and what is predicted', async (page) => {
    await page.goto(base);
    await shown(heading(page, /honest record/));
    await shown(page.getByRole('region', { name: 'Mode and time of the service' }));
    await shown(page.getByRole('heading', { name: /Latest predictions/ }));
    await shown(page.getByText(/1 session · /));
  });
  await walk.look('first page');
  await walk.step('chosen colours outlast a reload', async (page) => {
    const toggle = page.getByRole('button', { name: /^Colours/ });
    await toggle.click();
    await toggle.click();
    await page.reload();
    await shown(page.getByRole('button', { name: 'Colours: dark. Change' }));
    const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    assert(ground === 'rgb(18, 20, 23)', `the page is not dark but ${ground}`);
    await toggle.click();
    await shown(page.getByRole('button', { name: 'Colours: as the system. Change' }));
  });
  await walk.step('a page for those who are signed in asks for the sign-in', async (page) => {
    await page.goto(`${base}/watchlists`);
    await shown(heading(page, 'Sign in'));
  });
  await walk.step('a wrong password is refused in words', async (page) => {
    await walk.expecting(401, async () => {
      await signIn(page, email, 'not the password');
      await shown(page.getByRole('alert'));
    });
  });
  await walk.look('sign-in');
  await walk.step('an address without a page says so', async (page) => {
    await page.goto(`${base}/nowhere`);
    await shown(heading(page, /no such page/));
  });
}

async function register(walk) {
  await walk.step('a new user registers and has an empty watchlist', async (page) => {
    await page.goto(`${base}/register`);
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill(password);
    await page.locator('form').getByRole('button', { name: 'Register' }).click();
    await shown(heading(page, 'My watchlist'));
    await shown(page.getByText('Nothing on this list yet.'));
  });
}

/** Gives the symbol of a stock that has a prediction. */
async function predictedSymbol(walk) {
  let symbol = '';
  await walk.step('a stock with a prediction is found', async (page) => {
    const answer = await page.request.get(`${base}/api/v1/predictions/latest`);
    const { items } = await answer.json();
    symbol = items.find((prediction) => prediction.forecast)?.instrument.symbol;
    assert(symbol, 'nothing has been predicted yet');
  });
  return symbol;
}

async function watch(walk, symbol) {
  await walk.step(`searching by keyboard adds ${symbol} to the watchlist`, async (page) => {
    const box = page.getByRole('combobox', { name: /Add a stock/ });
    await box.fill(symbol);
    await shown(page.getByRole('option', { name: new RegExp(`^${symbol} `) }));
    const places = await page.getByRole('option').allInnerTexts();
    const place = places.findIndex((text) => text.trim().split(/\s/)[0] === symbol);
    for (let step = 0; step < place; step++) await box.press('ArrowDown');
    await box.press('Enter');
    await shown(page.getByRole('link', { name: symbol, exact: true }));
  });
  await walk.step('its prediction stands beside it: expected move, interval, probability of a rise', async (page) => {
    const row = page.getByRole('listitem').filter({ has: page.getByRole('link', { name: symbol, exact: true }) });
    await shown(row.getByRole('img', { name: /80% interval from/ }));
    await shown(row.getByText(/rise \d+/));
  });
  await walk.step('a second list is created and deleted again', async (page) => {
    await page.getByRole('button', { name: 'New list' }).click();
    await page.getByLabel('Name of the list').fill('Second thoughts');
    await page.getByRole('button', { name: 'Create' }).click();
    await shown(heading(page, 'Second thoughts'));
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await shown(heading(page, 'My watchlist'));
  });
  await walk.look('watchlist');
}

async function readStock(walk, symbol) {
  await walk.step('the stock page shows candles, the forecast and the past', async (page) => {
    await page.getByRole('link', { name: symbol, exact: true }).click();
    await shown(heading(page, new RegExp(`^${symbol}`)));
    const chart = page.getByRole('img', { name: /daily candles and volume.*forecast until/ });
    await shown(chart);
    const painted = await chart
      .locator('canvas')
      .evaluateAll((canvases) =>
        canvases.some((canvas) =>
          canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean),
        ),
      );
    assert(painted, 'the chart is empty');
    await shown(page.getByRole('heading', { name: 'What was predicted, and what happened' }));
    await shown(page.getByRole('button', { name: 'My watchlist', pressed: true }));
  });
  await walk.look('stock');
  await walk.step('a prediction shows everything that was published', async (page) => {
    await page.getByRole('link', { name: 'Details' }).first().click();
    await shown(page.getByRole('heading', { name: 'What was published' }));
    await shown(page.getByText('standard deviation of the move'));
    const fifths = page.getByRole('figure').filter({ hasText: 'Chance of each fifth' });
    const chances = await fifths.getByText(/^[0-9.]+\s%$/).allTextContents();
    assert(chances.length === 5, `not five chances: ${chances}`);
    const sum = chances.reduce((sum, chance) => sum + parseFloat(chance), 0);
    assert(Math.abs(sum - 100) < 0.5, `the chances add up to ${sum}`);
    await shown(page.getByRole('heading', { name: 'How it came about' }));
    await shown(page.getByText('Place in the log'));
  });
  await walk.look('prediction');
}

async function readPublicPages(walk) {
  await walk.step('the track record names its rivals', async (page) => {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Track record' }).click();
    await shown(heading(page, 'Track record'));
    await shown(page.getByText(/Skill against drift|No prediction has been scored yet/));
  });
  await walk.look('track record');
  await walk.step('the models show their champion', async (page) => {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Models' }).click();
    await shown(heading(page, 'Models'));
    await shown(page.getByText('champion', { exact: true }));
  });
  await walk.look('models');
  await walk.step('all stocks are listed', async (page) => {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Stocks' }).click();
    await shown(heading(page, 'Stocks'));
    await shown(page.getByRole('rowheader'));
  });
  await walk.look('stocks');
}

async function useAccount(walk) {
  await walk.step('the session mail is turned off and on', async (page) => {
    await page.goto(`${base}/account`);
    const box = page.getByRole('checkbox');
    await box.uncheck();
    await shown(page.getByText('No more session mails.'));
    await box.check();
    await shown(page.getByText('You will get a mail after each session.'));
  });
  await walk.look('account');
  await walk.step('a webhook is registered, its secret shown once', async (page) => {
    await page.goto(`${base}/webhooks`);
    await page.getByRole('button', { name: 'Register an address' }).click();
    await page.getByLabel('Address').fill('https://hooks.example.com/almanac');
    await page.getByRole('button', { name: 'Register', exact: true }).click();
    await shown(page.getByText(/^whsec_/));
    await page.getByRole('button', { name: 'I have kept it' }).click();
    await page.getByRole('link', { name: 'https://hooks.example.com/almanac' }).click();
    await shown(page.getByRole('heading', { name: 'Deliveries' }));
  });
  await walk.look('webhook');
}

async function leaveAndReturn(walk, symbol) {
  await walk.step('signing out and in again finds the watchlist as it was', async (page) => {
    await page.getByRole('button', { name: /Your account/ }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await shown(page.getByRole('link', { name: 'Sign in' }));
    await page.getByRole('link', { name: 'Sign in' }).first().click();
    await signIn(page, email, password);
    await shown(heading(page, 'My watchlist'));
    await shown(page.getByRole('link', { name: symbol, exact: true }));
  });
  await walk.step('the account is erased', async (page) => {
    await page.goto(`${base}/account`);
    await page.getByRole('button', { name: /Erase the account/ }).click();
    await page.getByLabel(/Your password/).fill(password);
    await page.getByRole('button', { name: 'Erase for good' }).click();
    await shown(page.getByRole('link', { name: 'Register' }));
  });
}

/** The champion's number, read off its card. */
async function championShown(page) {
  const card = page.getByRole('article').filter({ has: page.getByText('champion', { exact: true }) });
  return (await card.first().getByRole('heading').innerText()).split(/\s/)[0];
}

async function decide(page, verb, reason) {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name: verb }).click();
  await dialog.waitFor({ state: 'detached' });
}

async function administer(walk, who, secret) {
  let before = '';
  await walk.step('the administrator signs in and sees the models', async (page) => {
    await page.goto(`${base}/sign-in?to=/admin`);
    await signIn(page, who, secret);
    await shown(heading(page, 'Models and replay'));
    await shown(page.getByText('champion', { exact: true }));
    before = await championShown(page);
  });
  await walk.look('admin');

  const promote = walk.page.getByRole('button', { name: /^Promote v/ }).first();
  if (await promote.isVisible()) {
    await walk.step('a version is promoted with a reason, and the timeline says so', async (page) => {
      const wanted = (await promote.getAttribute('aria-label')).split(' ')[1];
      await promote.click();
      await decide(page, 'Promote', 'walked through in a browser');
      await page.waitForFunction(
        (version) => document.querySelector('article h3')?.textContent.trim().startsWith(`${version} `),
        wanted,
      );
      assert((await championShown(page)) === wanted, `${wanted} is not the champion`);
      await shown(page.getByText('“walked through in a browser”'));
    });
    await walk.step('rolling back makes the champion before champion again', async (page) => {
      await page.getByRole('button', { name: 'Roll back' }).click();
      await decide(page, 'Roll back', 'and back again');
      await page.waitForFunction(
        (version) => document.querySelector('article h3')?.textContent.trim().startsWith(`${version} `),
        before,
      );
      await shown(page.getByText('“and back again”'));
    });
  } else {
    console.log('skipped promoting and rolling back: there is no second version in service');
  }

  await walk.step('the replay slider shows the past, says so, and offers no deed there', async (page) => {
    const slider = page.getByRole('slider', { name: 'Place in the log' });
    await slider.focus();
    await slider.press('Home');
    await shown(page.getByText('You are looking at the past.'));
    await shown(page.getByText(/No model was known then|No version was known then/));
    await page.getByRole('button', { name: 'Later decision' }).click();
    await shown(page.getByRole('heading', { name: /^v1 / }));
    assert(
      (await page.getByRole('button', { name: /^(Promote|Retire|Roll back)/ }).count()) === 0,
      'the past can be changed',
    );
  });
  await walk.look('replay');
  await walk.step('and leads back to now', async (page) => {
    await page.getByRole('button', { name: 'Back to now' }).click();
    await shown(page.getByText('Move the slider to see what was known before.'));
  });

  for (const name of ['Training', 'Ingestions', 'Actors', 'Record', 'Log']) {
    await walk.step(`the administrator reads ${name.toLowerCase()}`, async (page) => {
      await page.getByRole('navigation', { name: 'Admin' }).getByRole('link', { name }).click();
      await shown(heading(page, name));
      await shown(page.locator('main .card'));
    });
    await walk.look(`admin ${name}`);
  }

  await walk.step('the administrator reads how a prediction came about', async (page) => {
    await page.goto(`${base}/admin/events?type=PredictionPublished`);
    await page.locator('summary').last().click();
    await page.getByRole('link', { name: 'What led to it' }).click();
    await shown(page.locator('[aria-current=true]').getByText('PredictionPublished'));
    for (const type of ['BarsIngested', 'RoundOpened', 'RoundCompleted']) {
      await shown(page.getByRole('link', { name: type, exact: true }).first());
    }
  });
  await walk.look('story');
}

const walk = await Walk.begin(base);
try {
  await readWithoutSignIn(walk);
  await register(walk);
  const symbol = await predictedSymbol(walk);
  await watch(walk, symbol);
  await readStock(walk, symbol);
  await readPublicPages(walk);
  await useAccount(walk);
  await leaveAndReturn(walk, symbol);
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = process.env;
  if (ADMIN_EMAIL && ADMIN_PASSWORD) await administer(walk, ADMIN_EMAIL, ADMIN_PASSWORD);
  else console.log('skipped the administrator: ADMIN_EMAIL and ADMIN_PASSWORD are not set');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await walk.end();
}
