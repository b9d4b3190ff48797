/** Steps of run.mjs for the trace, metric and agent pages, over data of their own. */
import { eventually } from './browser.mjs';
import { sendAgent, sendEvidence, sendHistogram, sendLarge } from './samples.mjs';

const base = process.env.TINYOLLY_URL ?? 'http://localhost:5005';
const NAME = `e2e evidence ${Date.now()}`;
const SPANS = 5_000;

function check(isTrue, what) {
  if (!isTrue) throw new Error(what);
}

async function getJson(path) {
  const response = await fetch(base + path);
  check(response.ok, `${path} answered ${response.status}`);
  return response.json();
}

async function openTrace(page, traceId, more = '') {
  await page.goto(`${base}/?tab=traces&traceId=${traceId}${more}`);
  await page.locator('[role=treegrid] [role=row].item').first().waitFor();
}

const rowNamed = (page, name) => page.locator('[role=row].item', { has: page.locator(`.name:text-is("${name}")`) });
const param = (page, name) => new URL(page.url()).searchParams.get(name);

export const traceSteps = {
  async 'the waterfall draws the critical path'({ page, found }) {
    found.evidence = await sendEvidence(NAME);
    found.other = await sendEvidence(NAME, true);
    await eventually('the traces', async () => (await getJson(`/api/traces/${found.other}`)).span_count === 4);
    await openTrace(page, found.evidence);
    check((await page.locator('.critical path').count()) === 3, 'not every span of the path is marked');
    await page.keyboard.press('c');
    await page.locator('.critical').first().waitFor({ state: 'detached' });
    await page.keyboard.press('c');
    await page.locator('.critical').first().waitFor();
  },

  async 'evidence stands on the connector and in words'({ page, found }) {
    await openTrace(page, found.evidence);
    check((await page.locator('.guides g.wire').count()) === 1, 'no mark for tcp_seq');
    check((await page.locator('.guides g.inferred').count()) === 1, 'no mark for sole');
    check((await page.locator('.bar.hollow').count()) === 1, 'the span of the SDK is not told apart');
    await rowNamed(page, 'serve').click();
    await page.locator('aside section', { hasText: 'Read off the wire: tcp_seq' }).waitFor();
    await page.locator('aside section button', { hasText: 'call' }).click();
    await page.locator('aside section', { hasText: 'Inferred: sole' }).waitFor();
  },

  async 'the time axis zooms by key, handle and link'({ page, found }) {
    await openTrace(page, found.evidence);
    await page.keyboard.press('+');
    await page.waitForURL((url) => url.searchParams.has('zoom'));
    const zoom = param(page, 'zoom');
    await openTrace(page, found.evidence, `&zoom=${zoom}`);
    await page.locator('.minimap .zoomed').waitFor();
    await page.locator('[role=slider][aria-label^="End"]').press('ArrowLeft');
    await page.waitForURL((url) => url.searchParams.get('zoom') !== zoom);
    await page.keyboard.press('0');
    await page.waitForURL((url) => !url.searchParams.has('zoom'));
  },

  async 'logs stand beside the trace and lead to their spans'({ page, found }) {
    await openTrace(page, found.evidence, '&pane=logs');
    await page.locator('aside button', { hasText: `log of ${NAME}` }).click();
    await page.locator('[role=row][aria-selected=true] .name:text-is("serve")').waitFor();
    await page.locator('aside li.own').waitFor();
  },

  async 'the flame graph is walked by keys'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.evidence}&pane=flame`);
    await page.locator('[role=application] canvas').waitFor();
    for (const key of ['ArrowDown', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
    await page.locator('aside h2', { hasText: 'call' }).waitFor();
    await page.locator('button', { hasText: 'Like spans merged' }).click();
    await page.locator('button[aria-pressed=true]', { hasText: 'Like spans merged' }).waitFor();
  },

  async 'the map of a trace leads to the spans of a service'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.evidence}&pane=map`);
    await page.locator('main', { hasText: 'e2e-back' }).waitFor();
    const node = (await getJson(`/api/service-map?trace_id=${found.evidence}`)).nodes.find((each) => each.label === 'e2e-back');
    await page.goto(`${base}/?tab=traces&traceId=${found.evidence}&pane=map&node=${encodeURIComponent(node.id)}`);
    await page.locator('button', { hasText: 'Show its spans' }).click();
    await page.locator('.item.dimmed').first().waitFor();
    check(param(page, 'q') === 'e2e-back', 'the waterfall does not search for the service');
  },

  async 'two traces are compared'({ page, found }) {
    await page.goto(`${base}/?tab=traces&traceId=${found.evidence}&pane=compare`);
    await page.locator('[role=grid][aria-label="Traces to compare with"] [role=row].item').first().click();
    await page.locator('[role=treegrid] [role=row].item', { hasText: 'second call' }).locator('.tag', { hasText: 'added' }).waitFor();
    check(param(page, 'compare') === found.other, 'the URL does not name the other trace');
    await page.locator('button', { hasText: 'Swap' }).click();
    await page.locator('[role=row].item', { hasText: 'second call' }).locator('.tag', { hasText: 'removed' }).waitFor();
  },

  async 'a trace is taken away as OTLP JSON'({ page, found }) {
    await openTrace(page, found.evidence);
    const download = page.waitForEvent('download');
    await page.locator('a[download]').click();
    check((await download).suggestedFilename().endsWith('.json'), 'the file has no name');
    check('resourceSpans' in (await getJson(`/api/traces/${found.evidence}/otlp`)), 'not OTLP JSON');
  },

  async 'a trace of 5,000 spans scrolls and zooms smoothly'({ page }) {
    const traceId = await sendLarge(SPANS);
    await eventually('the large trace', async () => (await getJson(`/api/traces/${traceId}`)).span_count === SPANS);
    await openTrace(page, traceId);
    check((await page.locator('[role=row].item').count()) < 120, 'rows out of sight are drawn');
    const frames = await page.evaluate(async () => {
      const list = document.querySelector('[role=treegrid]');
      const times = [];
      let last = performance.now();
      for (let frame = 0; frame < 60; frame += 1) {
        list.scrollTop += 400;
        await new Promise((done) => requestAnimationFrame(done));
        const at = performance.now();
        times.push(at - last);
        last = at;
      }
      return times.sort((a, b) => a - b);
    });
    const median = Math.round(frames[30]);
    console.log(`      scrolling ${SPANS} spans: ${median} ms a frame, ${Math.round(frames[57])} ms at worst but two`);
    // Far above what it takes, as the machine may be busy.
    check(median < 500, `a frame takes ${median} ms`);
    const began = Date.now();
    for (let press = 0; press < 5; press += 1) await page.keyboard.press('+');
    await page.waitForURL((url) => url.searchParams.has('zoom'));
    console.log(`      five zooms: ${Date.now() - began} ms`);
  },

  async 'a histogram is drawn as quantiles and as a heat map'({ page, found }) {
    const name = `e2e.duration.${Date.now()}`;
    await sendHistogram(name, found.evidence);
    await eventually('the histogram', async () => (await getJson('/api/metrics')).some((metric) => metric.name === name));
    await page.goto(`${base}/?tab=metrics&metric=${name}&by=http.route`);
    await page.locator('aside td', { hasText: 'http.route=/a p99' }).waitFor();
    await page.locator('aside details', { hasText: 'http.route' }).first().waitFor();
    await page.locator('aside select').first().selectOption('heatmap');
    await page.locator('figcaption', { hasText: 'Heat map' }).waitFor();
    // Of two at one place, the later one lies on top.
    await page.locator(`aside a[href*="${found.evidence}"]`).last().click();
    await page.locator('[role=treegrid] [role=row].item').first().waitFor();
  },

  async 'an agent shows its health'({ page }) {
    const host = `e2e-host-${Date.now()}`;
    await sendAgent(host);
    await eventually('its metrics', async () => (await getJson('/api/metrics')).some((metric) => metric.name === 'ebpf.agent.spans.seen'));
    await page.goto(`${base}/?tab=agent&range=15m`);
    const card = page.locator('section.agent', { hasText: host });
    await card.locator('canvas').first().waitFor();
    await card.locator('.tag', { hasText: 'Losing data' }).waitFor();
    await card.locator('td', { hasText: 'the export queue was full' }).waitFor();
    await card.locator('tr', { hasText: 'tcp_sendmsg' }).locator('td', { hasText: '1.00 µs' }).waitFor();
  },
};
