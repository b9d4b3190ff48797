/**
 * The page in a real browser, against a running demo. TINYOLLY_URL and OTLP_HTTP_URL name it, CHROMIUM_BIN the
 * browser, SHOTS_DIR where the screenshots go. Ends with "N passed, N failed".
 */
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findings } from './access.mjs';
import { eventually, openBrowser } from './browser.mjs';
import { sendLogs, sendTrace } from './otlp.mjs';
import { serviceSteps } from './service_steps.mjs';
import { traceSteps } from './trace_steps.mjs';

const base = process.env.TINYOLLY_URL ?? 'http://localhost:5005';
const HOSTILE = '<img src=x onerror="document.title=\'owned\';window.owned=1">';

function check(isTrue, what) {
  if (!isTrue) throw new Error(what);
}

async function getJson(path) {
  const response = await fetch(base + path);
  check(response.ok, `${path} answered ${response.status}`);
  return response.json();
}

/** An order: it begins with the frontend's own traffic, a call of a whole URL, or with a request from elsewhere. */
const isOrder = (trace) =>
  trace.service_name === 'ebpf-frontend' && (trace.root_span_url ?? '').endsWith('/process-order');

const steps = {
  async 'a /process-order trace is listed'({ page, found }) {
    found.order = await eventually(
      'a /process-order trace',
      async () => (await getJson('/api/traces?limit=500')).find(isOrder),
      60_000,
    );
    await page.goto(`${base}/?tab=traces&search=process-order`);
    await page.locator('[role=row].item', { hasText: 'process-order' }).first().waitFor();
    await page.locator('header .live', { hasText: 'Live' }).waitFor();
  },

  async 'a row of the list opens its waterfall'({ page }) {
    await page.locator('[role=row].item', { hasText: 'process-order' }).first().click();
    await page.locator('[role=treegrid] [role=row].item').first().waitFor();
    check(new URL(page.url()).searchParams.has('traceId'), 'the URL does not name the trace');
    await page.keyboard.press('Escape');
    await page.locator('[role=grid][aria-label^="Traces"]').waitFor();
  },

  async 'the span table of the order has url.path'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.order.trace_id}`);
    const rows = page.locator('[role=treegrid] [role=row].item');
    await rows.first().waitFor();
    // The server's side is below the client's, where there is one.
    await rows.filter({ hasText: '/process-order' }).last().click();
    const row = page.locator('table[aria-label="Span attributes"] tr', { hasText: 'url.path' }).first();
    await row.waitFor();
    check((await row.innerText()).includes('/process-order'), `url.path: ${await row.innerText()}`);
  },

  async 'a link to a span opens it'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.order.trace_id}&spanId=${found.order.root_span_id}`);
    await page.locator('aside', { hasText: found.order.root_span_id }).waitFor();
    check((await page.locator('[role=row][aria-selected=true]').count()) === 1, 'the span is not selected');
  },

  async 'the waterfall nests the spans'({ page, found }) {
    found.nested = await sendTrace({ service: 'e2e', name: 'parent', childName: 'child' });
    await eventually('the sent trace', async () => getJson(`/api/traces/${found.nested}`));
    await page.goto(`${base}/?tab=traces&traceId=${found.nested}`);
    const rows = page.locator('[role=treegrid] [role=row].item');
    await rows.nth(1).waitFor();
    const levels = await rows.evaluateAll((all) => all.map((row) => Number(row.getAttribute('aria-level'))));
    check(levels.join(' ') === '1 2', `levels of the rows: ${levels.join(' ')}`);
  },

  async 'search in a trace dims what does not fit'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.nested}`);
    await page.locator('[role=treegrid] [role=row].item').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('child');
    await page.locator('.item.dimmed').first().waitFor();
    check((await page.locator('.item:not(.dimmed)').count()) > 0, 'every span is dimmed');
  },

  async 'a log of ebpf-frontend stands without a trace id'({ page }) {
    await eventually('a log of ebpf-frontend', async () =>
      (await getJson('/api/logs?limit=500&service=ebpf-frontend')).some((log) => log.trace_id === ''),
    );
    await page.goto(`${base}/?tab=logs&service=ebpf-frontend`);
    const row = page.locator('[role=row].item', { hasText: 'ebpf-frontend' }).first();
    await row.waitFor();
    const mark = row.locator('[title="the SDK exported no trace context"]');
    check((await mark.innerText()).trim() === '—', 'the row has no mark for the missing trace');
    check((await row.locator('a').count()) === 0, 'the row links to a trace');
    await row.click();
    await page.locator('aside', { hasText: 'Belongs to no trace' }).waitFor();
  },

  async 'a metric is listed and drawn'({ page }) {
    await eventually('a metric', async () => (await getJson('/api/metrics')).length > 0, 60_000);
    await page.goto(`${base}/?tab=metrics`);
    await page.locator('[role=row].item').first().click();
    await page.locator('aside canvas').first().waitFor();
  },

  async 'markup in a span name is shown as text'({ page }) {
    const traceId = await sendTrace({ service: HOSTILE, name: HOSTILE, attributes: { [HOSTILE]: HOSTILE } });
    await eventually('the sent trace', async () => getJson(`/api/traces/${traceId}`));
    await page.goto(`${base}/?tab=traces&search=onerror`);
    const row = page.locator('[role=row].item', { hasText: 'onerror' }).first();
    await row.waitFor();
    check((await row.innerText()).includes(HOSTILE), 'the list does not show the name as sent');
    await row.hover();
    await page.goto(`${base}/?tab=traces&traceId=${traceId}`);
    await page.locator('[role=treegrid] [role=row].item').first().click();
    const detail = page.locator('aside');
    await detail.waitFor();
    check((await detail.innerText()).includes(HOSTILE), 'the detail does not show the name as sent');
    check((await page.locator('img').count()) === 0, 'an element was made of telemetry');
    check(await page.evaluate(() => window.owned === undefined), 'a script of telemetry ran');
  },

  async 'a new trace arrives by itself, and waits while the list is read'({ page }) {
    const name = `e2e live ${Date.now()}`;
    await page.goto(`${base}/?tab=traces&search=${encodeURIComponent('e2e live')}`);
    await page.locator('header .live', { hasText: 'Live' }).waitFor();
    await page.mouse.move(2, 2);
    await sendTrace({ service: 'e2e', name });
    const first = page.locator('[role=row].item', { hasText: name });
    await first.waitFor();
    await first.hover();
    await sendTrace({ service: 'e2e', name: `${name} second` });
    await page.locator('button', { hasText: '1 new trace' }).click();
    await page.locator('[role=row].item', { hasText: `${name} second` }).waitFor();
  },

  async 'keys move, open and go back'({ page }) {
    await page.goto(`${base}/?tab=traces`);
    await page.locator('[role=row].item').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.locator('[role=row].item.cursor').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('[role=treegrid]').waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.locator('aside').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('aside').waitFor({ state: 'detached' });
    await page.keyboard.press('Escape');
    await page.locator('[role=grid][aria-label^="Traces"]').waitFor();
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
  },

  async 'typed filters become chips, and the server obeys them'({ page }) {
    const name = `e2e filter ${Date.now()}`;
    await sendTrace({ service: 'e2e', name, attributes: { 'e2e.case': 'filter bar' } });
    await eventually('the sent trace', async () => (await getJson(`/api/traces?q=${encodeURIComponent(name)}`)).length === 1);
    await page.goto(`${base}/?tab=traces`);
    await page.locator('[role=row].item').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(`service=e2e e2e.case="filter bar" ${name}`);
    await page.keyboard.press('Enter');
    await page.locator('[role=row].item', { hasText: name }).waitFor();
    await eventually('one row', async () => (await page.locator('[role=row].item').count()) === 1);
    const query = new URL(page.url()).searchParams;
    check(query.get('service') === 'e2e', `service in the URL: ${query.get('service')}`);
    check(query.get('attr') === 'e2e.case=filter bar', `attr in the URL: ${query.get('attr')}`);
    check(query.get('q') === name, `q in the URL: ${query.get('q')}`);
    await page.keyboard.type(' duration>1h');
    await page.keyboard.press('Enter');
    await page.locator('.message', { hasText: 'No trace fits the filters' }).waitFor();
    await page.locator('[aria-label="Remove the filter duration>=3600s"]').click();
    await page.locator('[role=row].item', { hasText: name }).waitFor();
    await page.keyboard.type('kind=nonsense ');
    await page.locator('.problem', { hasText: 'kind is one of' }).waitFor();
  },

  async 'the filter bar completes keys and values'({ page }) {
    await page.goto(`${base}/?tab=spans`);
    await page.locator('[role=row].item').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('serv');
    await page.locator('[role=option]', { hasText: 'service' }).first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.keyboard.type('e2');
    await page.locator('[role=option]', { hasText: 'e2e' }).first().click();
    await eventually('the service in the URL', () => new URL(page.url()).searchParams.get('service') === 'e2e');
  },

  async 'a drag over the histogram narrows the time, and Back widens it'({ page }) {
    await page.goto(`${base}/?tab=traces`);
    await page.locator('.plot .bar').first().waitFor();
    const box = await page.locator('.plot').boundingBox();
    await page.mouse.move(box.x + box.width * 0.2, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.9, box.y + 20, { steps: 4 });
    await page.mouse.up();
    const range = () => new URL(page.url()).searchParams;
    await eventually('a range in the URL', () => BigInt(range().get('from') ?? 0) < BigInt(range().get('to') ?? 0));
    await page.goBack();
    await eventually('no range in the URL', () => !range().has('from'));
  },

  async 'a facet narrows the list'({ page }) {
    await page.goto(`${base}/?tab=spans`);
    await page.locator('section[aria-label=Facets] label', { hasText: 'e2e' }).first().click();
    await eventually('the service in the URL', () => new URL(page.url()).searchParams.get('service') === 'e2e');
    await page.locator('[aria-label="Remove the filter service=e2e"]').waitFor();
  },

  async 'a row of the span list opens the span in its trace'({ page, found }) {
    await page.goto(`${base}/?tab=spans&service=e2e&name=child`);
    await page.locator('[role=row].item', { hasText: 'child' }).first().click();
    await page.locator('[role=treegrid] [role=row][aria-selected=true]', { hasText: 'child' }).waitFor();
    check(new URL(page.url()).searchParams.get('traceId') === found.nested, 'the URL names another trace');
  },

  async 'a link of the original searches the logs, and a record shows the lines around it'({ page }) {
    await sendLogs({ service: 'e2e', lines: ['before it', 'needle in the logs', 'after it'] });
    await eventually('the logs', async () => (await getJson('/api/logs?service=e2e&q=after it')).length > 0);
    await page.goto(`${base}/?tab=logs&search=needle`);
    await page.locator('[role=row].item', { hasText: 'needle in the logs' }).first().click();
    await eventually('every row fits', async () =>
      (await page.locator('[role=row].item').allInnerTexts()).every((text) => text.includes('needle')),
    );
    await page.locator('aside a', { hasText: 'Lines around' }).click();
    for (const text of ['before it', 'after it']) await page.locator('[role=row].item', { hasText: text }).first().waitFor();
    await page.locator('button', { hasText: 'Results' }).click();
    await page.locator('[data-search]').waitFor();
  },

  async 'a new log arrives by itself'({ page }) {
    const line = `e2e tail ${Date.now()}`;
    await page.goto(`${base}/?tab=logs&q=${encodeURIComponent('e2e tail')}`);
    await page.locator('header .live', { hasText: 'Live' }).waitFor();
    await page.mouse.move(2, 2);
    await sendLogs({ service: 'e2e', lines: [line] });
    await page.locator('[role=row].item', { hasText: line }).waitFor();
    await page.locator('[role=row].item', { hasText: line }).hover();
    await sendLogs({ service: 'e2e', lines: [`${line} second`] });
    await page.locator('button', { hasText: '1 new log' }).click();
    await page.locator('[role=row].item', { hasText: `${line} second` }).waitFor();
  },

  ...traceSteps,
  ...serviceSteps,

  async 'nothing is loaded from elsewhere'({ page, origins }) {
    await page.goto(base);
    await page.locator('header .live', { hasText: 'Live' }).waitFor();
    check(origins.size === 1, `requests went to ${[...origins].join(' ')}`);
  },
};

/**
 * Every view in both sizes and themes, each a picture without serious findings of axe-core; data that the demo has made
 * decides what is on them.
 */
async function shoot(directory, found) {
  const views = {
    traces: '/?tab=traces',
    spans: '/?tab=spans',
    trace: `/?tab=traces&traceId=${found.order.trace_id}&spanId=${found.order.root_span_id}`,
    logs: '/?tab=logs',
    metrics: '/?tab=metrics',
    services: '/?tab=services',
    overview: '/?tab=overview',
    map: '/?tab=map',
    agent: '/?tab=agent',
  };
  const serious = new Set();
  for (const [width, height] of [
    [1440, 900],
    [800, 1000],
  ]) {
    for (const colorScheme of ['light', 'dark']) {
      const browser = await openBrowser({ viewport: { width, height }, colorScheme });
      try {
        for (const [name, path] of Object.entries(views)) {
          await browser.page.goto(base + path);
          await browser.page.locator('[role=row].item, [data-node], tbody tr').first().waitFor();
          await browser.page.screenshot({ path: join(directory, `${name}-${width}x${height}-${colorScheme}.png`) });
          for (const finding of await findings(browser.page)) serious.add(`${name}, ${colorScheme}: ${finding}`);
        }
        check(browser.problems.length === 0, browser.problems.join('\n'));
      } finally {
        await browser.close();
      }
    }
  }
  check(serious.size === 0, [...serious].join('\n'));
}

async function main() {
  let passed = 0;
  let failed = 0;
  const run = async (name, step) => {
    try {
      await step();
      passed += 1;
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n      ${error.message.replaceAll('\n', '\n      ')}`);
    }
  };

  const browser = await openBrowser({ viewport: { width: 1440, height: 900 }, colorScheme: 'light' });
  browser.page.setDefaultTimeout(15_000);
  const found = {};
  const origins = new Set();
  browser.page.on('request', (request) => origins.add(new URL(request.url()).origin));
  try {
    for (const [name, step] of Object.entries(steps)) {
      await run(name, () => step({ page: browser.page, found, origins }));
    }
    await run('no console error and no policy violation', () => {
      check(browser.problems.length === 0, browser.problems.join('\n'));
    });
  } finally {
    await browser.close();
  }
  if (found.order) {
    const directory = process.env.SHOTS_DIR ?? (await mkdtemp(join(tmpdir(), 'tinyolly-shots-')));
    await mkdir(directory, { recursive: true });
    await run(`screenshots in ${directory}`, () => shoot(directory, found));
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
