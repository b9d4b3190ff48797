/** Steps of run.mjs for the overview, the services and the map, over data of their own. */
import { eventually } from './browser.mjs';
import { sendTrace } from './otlp.mjs';

const base = process.env.TINYOLLY_URL ?? 'http://localhost:5005';
const SERVICE = `e2e shop ${Date.now()}`;
const HOSTILE = `<img src=x onerror="window.owned=1"> ${SERVICE}`;

function check(isTrue, what) {
  if (!isTrue) throw new Error(what);
}

const param = (page, name) => new URL(page.url()).searchParams.get(name);

async function inCatalog(service) {
  const response = await fetch(`${base}/api/service-catalog`);
  check(response.ok, `the catalog answered ${response.status}`);
  return (await response.json()).some((each) => each.name === service);
}

export const serviceSteps = {
  async 'the page opens on the overview'({ page }) {
    await sendTrace({ service: SERVICE, name: 'GET /e2e' });
    await sendTrace({ service: HOSTILE, name: 'GET /hostile' });
    await eventually('the services', async () => (await inCatalog(SERVICE)) && (await inCatalog(HOSTILE)));
    await page.goto(base);
    await page.locator('nav [aria-current=page]', { hasText: 'Overview' }).waitFor();
    await page.locator('section[aria-label=Services] tbody tr').first().waitFor();
    await page.locator('[aria-label=Stored] li', { hasText: 'Spans' }).first().waitFor();
  },

  async 'a service opens with its operations, which lead to traces'({ page }) {
    await page.goto(`${base}/?tab=services&q=${encodeURIComponent(SERVICE)}`);
    const rows = page.locator('[role=grid][aria-label=Services] [role=row].item');
    await rows.nth(1).waitFor();
    check((await rows.first().innerText()).length > 0 && (await page.locator('img').count()) === 0, 'markup became an element');
    await page.locator('[role=columnheader] button', { hasText: 'p95' }).click();
    check(param(page, 'sort') === 'p95', 'the URL does not name the column');
    await rows.filter({ hasText: /^\s*e2e/ }).click();
    check(param(page, 'service') === SERVICE, `the URL names ${param(page, 'service')}`);
    await page.locator('aside table a', { hasText: 'GET /e2e' }).click();
    await page.locator('[role=grid][aria-label^="Traces"] [role=row].item').first().waitFor();
    check(param(page, 'name') === 'GET /e2e', 'the traces are not those of the operation');
    await page.goBack();
    await page.locator('aside').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('aside').waitFor({ state: 'detached' });
  },

  async 'the map shows a service, by pointer, by key and as a list'({ page }) {
    await page.goto(`${base}/?tab=map`);
    const node = page.locator(`[data-node="service:${SERVICE}"]`);
    await node.waitFor();
    await node.focus();
    const before = await node.getAttribute('transform');
    await page.keyboard.press('Enter');
    await page.locator('aside', { hasText: SERVICE }).waitFor();
    check(param(page, 'node') === `service:${SERVICE}`, 'the URL does not name the node');
    check((await node.getAttribute('transform')) === before, 'the node moved when it was selected');
    check((await page.locator('img').count()) === 0, 'an element was made of telemetry');
    await page.keyboard.press('Escape');
    await page.locator('aside').waitFor({ state: 'detached' });
    await page.locator('button', { hasText: /^List$/ }).click();
    await page.locator('tbody button', { hasText: SERVICE }).first().click();
    await page.locator('aside').waitFor();
    await page.locator('aside a', { hasText: /^Traces$/ }).click();
    await page.locator('[role=grid][aria-label^="Traces"] [role=row].item').first().waitFor();
  },

  async 'a range of time is chosen, kept on the way to another tab, and left'({ page }) {
    await page.goto(`${base}/?tab=services`);
    await page.locator('button[title="Time range"]').click();
    await page.locator('[role=dialog] button', { hasText: 'Last 15 minutes' }).click();
    check(param(page, 'range') === '15m', 'the URL does not name the range');
    await page.locator('nav a', { hasText: 'Map' }).click();
    await page.locator('[data-node]').first().waitFor();
    check(param(page, 'range') === '15m', 'the range was lost');
    await page.goto(`${base}/?tab=services&from=1&to=2`);
    await page.locator('button', { hasText: 'Show all stored data' }).click();
    await page.locator('[role=grid] [role=row].item').first().waitFor();
  },
};
