/**
 * Screenshots of a running demo, for the README and to look at: `node e2e/shots.mjs DIRECTORY [TRACES]`, where TRACES
 * is how many there have to be. TINYOLLY_URL names the demo, CHROMIUM_BIN the browser. Waits until there is something to see; fails when a view stays empty or the page
 * reports an error. Ends with "N passed, N failed".
 */
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, openBrowser } from './browser.mjs';

const base = process.env.TINYOLLY_URL ?? 'http://localhost:5005';
const VIEWPORT = { width: 1440, height: 900 };
/** Few colours and much empty room: a larger file would hold something else than the page. */
const MAX_BYTES = 300_000;
const MIN_BYTES = 15_000;

async function getJson(path) {
  const response = await fetch(base + path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** Spans of an order that went all the way: the frontend's own, and both ends of three calls. */
const WHOLE_ORDER = 7;

/** The newest of the orders that went well and are told from the frontend's own request on. */
async function findOrder() {
  return (await getJson('/api/traces?limit=500')).find(
    (trace) =>
      trace.service_name === 'ebpf-frontend' &&
      (trace.root_span_url ?? '').endsWith('/process-order') &&
      trace.root_span_status_code === 200 &&
      trace.span_count >= WHOLE_ORDER,
  );
}

const rows = (page) => page.locator('[role=row].item');

/** Each opens a view and returns when what it is about is on the page. */
const views = {
  async traces(page) {
    await page.goto(`${base}/?tab=traces`);
    await rows(page).nth(5).waitFor();
  },

  async trace(page, order) {
    await page.goto(`${base}/?tab=traces&traceId=${order.trace_id}`);
    const spans = page.locator('[role=treegrid] [role=row].item');
    // The first of the backend's, which hangs at a call of the frontend.
    await spans.filter({ hasText: 'ebpf-backend' }).first().click();
    await page.locator('table[aria-label="Span attributes"] tr', { hasText: 'ebpf.link.source' }).first().waitFor();
  },

  async logs(page) {
    await page.goto(`${base}/?tab=logs`);
    await rows(page).filter({ hasText: 'ebpf-frontend' }).nth(5).waitFor();
  },

  async metrics(page) {
    await page.goto(`${base}/?tab=metrics`);
    await rows(page).filter({ hasText: 'frontend.response.duration' }).first().click();
    await page.locator('aside canvas').first().waitFor();
  },

  async map(page) {
    await page.goto(`${base}/?tab=map`);
    await page.locator('[data-node]').filter({ hasText: 'ebpf-backend' }).first().waitFor();
  },

  async agent(page) {
    await page.goto(`${base}/?tab=agent`);
    await page.locator('canvas').first().waitFor();
  },
};

async function shoot(name, open, directory, colorScheme, order) {
  const browser = await openBrowser({ viewport: VIEWPORT, colorScheme });
  const path = join(directory, `${name}-${colorScheme}.png`);
  try {
    browser.page.setDefaultTimeout(15_000);
    await open(browser.page, order);
    // Fonts and the chart's first frame.
    await browser.page.evaluate(() => document.fonts.ready);
    await browser.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await browser.page.mouse.move(2, 2);
    await browser.page.screenshot({ path, animations: 'disabled' });
    const alerts = await browser.page.locator('[role=alert]').allInnerTexts();
    if (alerts.length > 0) throw new Error(`the page says: ${alerts.join(' / ')}`);
    if (browser.problems.length > 0) throw new Error(browser.problems.join('\n'));
  } finally {
    await browser.close();
  }
  const { size } = await stat(path);
  if (size < MIN_BYTES || size > MAX_BYTES) throw new Error(`${path} has ${size} bytes`);
}

async function main() {
  const [directory, minTraces = '10'] = process.argv.slice(2);
  if (!directory || !/^\d+$/.test(minTraces)) {
    console.error('usage: node e2e/shots.mjs DIRECTORY [TRACES]');
    process.exit(2);
  }
  await mkdir(directory, { recursive: true });
  const enough = async () => (await getJson(`/api/traces?limit=${minTraces}`)).length === Number(minTraces);
  await eventually(`${minTraces} traces`, enough, 180_000);
  const order = await eventually('a whole order', findOrder, 120_000);
  let passed = 0;
  let failed = 0;
  for (const [name, open] of Object.entries(views)) {
    for (const colorScheme of ['light', 'dark']) {
      try {
        await shoot(name, open, directory, colorScheme, order);
        passed += 1;
        console.log(`ok    ${name}, ${colorScheme}`);
      } catch (error) {
        failed += 1;
        console.log(`FAIL  ${name}, ${colorScheme}\n      ${error.message.replaceAll('\n', '\n      ')}`);
      }
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
