// Looks at the page of a running Eddy. Usage: node engine.mjs load|asks|acts URL CHROMIUM [SECONDS FILE]
// Prints a line a check; any line starting with FAULT makes it exit with 1.

import { writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { beside, frames } from './numbers.mjs';

const [, , what, base, executablePath, seconds, file] = process.argv;
const VIEWPORT = { width: 1440, height: 900 };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

// A machine that is busy with other things, and how long it may take to start a browser.
const STEP_MS = 60_000;
const START_MS = 180_000;

let faults = 0;
function check(holds, text) { if (!holds) { faults += 1; console.log(`FAULT ${text}`); } }

async function opened(browser, path) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  context.setDefaultTimeout(STEP_MS);
  const page = await context.newPage();
  page.on('console', (message) => check(!['error', 'warning'].includes(message.type()), `${path}: console: ${message.text()}`));
  page.on('pageerror', (error) => check(false, `${path}: script: ${error.message}`));
  await page.goto(base + path);
  await page.waitForSelector('#live:not([hidden])');
  return { context, page };
}

/** How long frames take while the engine works, and whether what they show is what the API says. */
async function load(browser) {
  const figures = {};
  for (const path of ['/', '/alerts']) {
    const { context, page } = await opened(browser, path);
    await page.waitForTimeout(2_000);
    const before = await page.evaluate(() => document.body.dataset.url);
    const figure = await frames(page, Number(seconds));
    check(await page.evaluate(() => document.body.dataset.url) !== before, `${path}: the page stood still`);
    const elements = await page.evaluate(() => document.querySelectorAll('*').length);
    figures[path] = { ...figure, elements };
    // What lists show is not kept: an alert between the page's look and this one makes a round void.
    let clean = 0;
    for (let round = 0; round < 8 && clean < 3; round += 1) {
      await page.click('#pause');
      await page.waitForTimeout(500);
      const { equal, wrong } = await beside(page, base);
      const moved = wrong.filter((one) => one.startsWith('alerts.') && path === '/alerts');
      wrong.filter((one) => !moved.includes(one)).forEach((one) => check(false, `${path}: ${one}`));
      check(equal >= 80, `${path}: only ${equal} numbers`);
      if (moved.length === 0) clean += 1;
      console.log(`${moved.length === 0 ? 'ok' : 'void'} ${path}: ${equal} numbers and texts equal the API's under load${moved.length ? `, ${moved[0]}` : ''}`);
      await page.click('#pause');
      await page.waitForTimeout(1_500);
    }
    check(clean === 3, `${path}: equal in ${clean} rounds only`);
    await context.close();
  }
  writeFileSync(file, `${JSON.stringify(figures, null, 2)}\n`);
  console.log(`ok frames: ${JSON.stringify(figures)}`);
}

/** A delivery that was given up is told again by a click, and the page shows it. */
async function tryAgain(browser) {
  const { context, page } = await opened(browser, '/receivers');
  const button = page.locator('#given-up button').first();
  await button.waitFor();
  const { id, revision, receiver } = await button.evaluate((e) => ({ ...e.dataset }));
  const given = await page.locator('#given-up button').count();
  await button.click();
  await page.waitForFunction(() => document.querySelector('#say').textContent.startsWith('Tried again: 1.'))
    .catch(async () => check(false, `try again: said "${await page.locator('#say').textContent()}"`));
  const gone = ([i, r]) => !document.querySelector(`#given-up button[data-id="${i}"][data-revision="${r}"]`);
  await page.waitForFunction(gone, [id, revision]).catch(() => check(false, 'try again: it is still given up'));
  const left = await page.locator('#given-up button').count();
  check(left === given - 1, `try again: ${given} were given up, then ${left}`);
  console.log(`replayed ${id}_${revision} ${receiver}`);
  await context.close();
}

/** A receiver for which something waits is asked at once by a click, and the page shows that nothing waits any more. */
async function tryNow(browser) {
  const { context, page } = await opened(browser, '/receivers');
  const button = page.locator('#receivers button', { hasText: 'Try now' });
  await button.waitFor({ timeout: 30_000 });
  const line = await page.locator('#receivers p').textContent();
  check(/waiting \d+, the oldest since .+, attempts 1, tried next at \d.+: answered 503/.test(line), `try now: the line is "${line}"`);
  const { equal, wrong } = await beside(page, base);
  wrong.forEach((one) => check(false, `try now: ${one}`));
  check(equal > 0, 'try now: no number');
  await button.click();
  await page.waitForFunction(() => document.querySelector('#say').textContent.startsWith('Asked. Waiting: '), null, { timeout: 10_000 })
    .catch(async () => check(false, `try now: said "${await page.locator('#say').textContent()}"`));
  await page.waitForFunction(() => !document.querySelector('#receivers button'), null, { timeout: 20_000 })
    .catch(() => check(false, 'try now: something still waits'));
  console.log('ok try now');
  await context.close();
}

async function keys(browser) {
  const { context, page } = await opened(browser, '/alerts');
  await page.click('#pause');
  const rows = await page.locator('.alert-rows tbody th a').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
  check(rows.length >= 3, `keys: only ${rows.length} rows`);
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('href'));
  await page.evaluate(() => document.activeElement.blur());
  for (const [key, row] of [['k', rows.length - 1], ['j', rows.length - 1], ['k', rows.length - 2]]) {
    await page.keyboard.press(key);
    check(await focused() === rows[row], `keys: ${key} goes to ${await focused()}, not to ${rows[row]}`);
  }
  await page.evaluate(() => document.activeElement.blur());
  for (const [key, row] of [['j', 0], ['j', 1], ['j', 2], ['k', 1]]) {
    await page.keyboard.press(key);
    check(await focused() === rows[row], `keys: ${key} goes to ${await focused()}, not to ${rows[row]}`);
  }
  await page.keyboard.press('/');
  check(await focused() === rows[1], 'keys: / on a link is the browser\'s own');
  await page.focus('#search');
  await page.keyboard.type('jk');
  check(await page.inputValue('#search') === 'jk', 'keys: letters do not reach the search');
  await page.locator('.alert-rows tbody th a').nth(1).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(`**${rows[1]}`);
  console.log(`ok keys: j, k and Enter over ${rows.length} rows`);
  await context.close();
}

async function kiosk(browser) {
  const shown = 'header nav, .search, #pause, footer, button[data-to]';
  const { context, page } = await opened(browser, '/alerts');
  check(await page.locator(shown).evaluateAll((all) => all.filter((e) => e.checkVisibility()).length) > 3, 'kiosk: what it hides is not there');
  await page.goto(`${base}/alerts?kiosk=1`);
  await page.waitForFunction(() => document.body.dataset.kiosk === 'yes');
  const left = await page.locator(shown).evaluateAll((all) => all.filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 80)));
  check(left.length === 0, `kiosk: ${left.length} still shown: ${left[0]}`);
  check(await page.locator('.tiles').isVisible() && await page.locator('#live').isVisible(), 'kiosk: the tiles are hidden');
  check(await page.locator('.alert-rows tbody tr').count() > 0, 'kiosk: no list');
  console.log('ok kiosk: nothing to be pressed');
  await context.close();
}

const browser = await chromium.launch({ executablePath, args: FLAGS, headless: true, timeout: START_MS });
try {
  if (what === 'load') await load(browser);
  else if (what === 'asks') await tryNow(browser);
  else for (const look of [keys, kiosk, tryAgain]) await look(browser);
} finally {
  await browser.close();
}
console.log(faults === 0 ? 'no faults' : `${faults} faults`);
process.exit(faults === 0 ? 0 : 1);
