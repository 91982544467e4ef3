// One walk in one browser: each step prints a line, and anything that a reader would call broken ends the walk.
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import AxeBuilder from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const TIMEOUT_MS = 20_000;

export class Walk {
  #context;
  #folder;
  #complaints = [];
  #count = 0;
  page;
  base;

  static async begin(base) {
    const walk = new Walk();
    walk.base = base;
    walk.#folder = await mkdtemp(join(tmpdir(), 'almanac-browser-'));
    walk.#context = await chromium.launchPersistentContext(walk.#folder, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: FLAGS,
      chromiumSandbox: false,
      colorScheme: 'light',
      viewport: { width: 1280, height: 900 },
    });
    walk.page = walk.#context.pages()[0] ?? (await walk.#context.newPage());
    walk.page.setDefaultTimeout(TIMEOUT_MS);
    walk.page.on('console', (message) => {
      if (message.type() === 'error') walk.#complaints.push(`console: ${message.text()} (${message.location().url})`);
    });
    walk.page.on('pageerror', (error) => walk.#complaints.push(`error in the page: ${error.message}`));
    walk.page.on('request', (request) => {
      if (!request.url().startsWith(base) && /^https?:/.test(request.url())) {
        walk.#complaints.push(`asked somebody else: ${request.url()}`);
      }
    });
    return walk;
  }

  /** Does something and says so; whatever the page complained about meanwhile counts against it. */
  async step(name, deed) {
    const began = performance.now();
    try {
      await deed(this.page);
      const [first] = this.#complaints;
      if (first) throw new Error(first);
    } catch (error) {
      console.log(`FAILED  ${name}`);
      await this.#photograph(`failed-${slug(name)}`);
      throw error;
    }
    console.log(`ok      ${name} (${Math.round(performance.now() - began)} ms)`);
  }

  /** Forgives what the browser itself writes to the console when the service rightly answers with this status. */
  async expecting(status, deed) {
    await deed();
    this.#complaints = this.#complaints.filter((complaint) => !complaint.includes(`status of ${status}`));
  }

  /** Looks at the page in light and dark: no serious fault of accessibility, nothing wider than the window. */
  async look(name) {
    await this.step(`${name} is accessible in light and dark`, async (page) => {
      for (const scheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme: scheme });
        await this.#still();
        await this.#photograph(`${String(++this.#count).padStart(2, '0')}-${slug(name)}-${scheme}`);
        const { violations } = await new AxeBuilder({ page }).exclude('iframe').analyze();
        const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        if (grave.length > 0) throw new Error(`${scheme}: ${grave.map(described).join('; ')}`);
      }
      await page.setViewportSize({ width: 390, height: 844 });
      await this.#still();
      await this.#photograph(`${String(this.#count).padStart(2, '0')}-${slug(name)}-phone`);
      const excess = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.emulateMedia({ colorScheme: 'light' });
      await this.#still();
      if (excess > 0) throw new Error(`the page is ${excess} pixels wider than a phone`);
    });
  }

  async end() {
    await this.#context.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Waits until nothing moves: transitions of colours would be measured half-way. */
  async #still() {
    await this.page.evaluate(async () => {
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      // What is hidden may never get on with its animation.
      const enough = new Promise((passed) => setTimeout(passed, 1000));
      await Promise.race([enough, Promise.allSettled(document.getAnimations().map((animation) => animation.finished))]);
    });
  }

  async #photograph(name) {
    const folder = process.env.SCREENSHOTS;
    if (!folder) return;
    await mkdir(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }
}

const slug = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');

const described = ({ id, help, nodes }) =>
  `${id} (${help}) at ${nodes.map(({ target }) => target.join(' ')).join(', ')}`;

/** Ends the walk with `complaint` unless what it says holds. */
export function assert(holds, complaint) {
  if (!holds) throw new Error(complaint);
}

export const heading = (page, name) => page.getByRole('heading', { level: 1, name });

export const shown = (locator) => locator.first().waitFor({ state: 'visible' });

/** Fills in the form for signing in and sends it. */
export async function signIn(page, who, secret) {
  await page.getByLabel('E-mail').fill(who);
  await page.getByLabel('Password').fill(secret);
  await page.locator('form').getByRole('button', { name: 'Sign in' }).click();
}
