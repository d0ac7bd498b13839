import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ProgramProcess, startProgram } from '../program/program-process.ts';
import { accessibilityFaults, listenTo, screenshotFolder, startBrowser } from './browser.ts';

/** The console of a sandbox, as an operator has it in front of them: in a real browser, while requests come. */

const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } } as const;
const schemes = ['light', 'dark'] as const;
const views = ['overview', 'denials', 'usage', 'policy', 'health', 'explain', 'simulate'] as const;

let sandbox: ProgramProcess;
let browser: Browser;
let gateway: string;
let url: string;
const over = new AbortController();
let load: Promise<void>;
const tokens = new Map<string, string>();

async function mint(who: string): Promise<string> {
  const response = await fetch(`${gateway}/maas-api/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer sandbox-${who}` },
  });
  return ((await response.json()) as { readonly token: string }).token;
}

async function chat(who: string, model = 'llama'): Promise<number> {
  const response = await fetch(`${gateway}/llm/${model}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.get(who) ?? who}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Some fifteen requests a second: of two tiers, of nobody, and for a model that not everybody may use. */
async function keepAsking(): Promise<void> {
  for (let at = 0; !over.signal.aborted; at += 1) {
    await chat(
      at % 9 === 0 ? 'garbage' : at % 2 === 0 ? 'alice' : 'carol',
      at % 7 === 0 ? 'qwen-large' : 'llama',
    );
    await sleep(60);
  }
}

beforeAll(async () => {
  sandbox = startProgram([
    'sandbox',
    '--no-envoy',
    '--gateway-port',
    '0',
    '--grpc-port',
    '0',
    '--console-port',
    '0',
  ]);
  await sandbox.said('Ctrl-C ends it.');
  const addressOf = (part: string) => new RegExp(`^  ${part} +(\\S+)`, 'm').exec(sandbox.out())?.[1] ?? '';
  gateway = addressOf('gateway');
  url = addressOf('console');
  for (const who of ['alice', 'bob', 'carol']) tokens.set(who, await mint(who));
  browser = await startBrowser();
  load = keepAsking();
});

afterAll(async () => {
  over.abort();
  await load;
  await browser.close();
  sandbox.signal('SIGKILL');
  await sandbox.ended;
});

interface Opened {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly complaints: readonly string[];
}

async function open(
  scheme: (typeof schemes)[number] = 'light',
  size: keyof typeof sizes = 'wide',
): Promise<Opened> {
  const context = await browser.newContext({ viewport: sizes[size], colorScheme: scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = listenTo(page, url);
  await page.goto(url);
  return { context, page, complaints };
}

async function logIn(page: Page): Promise<void> {
  await page.getByLabel('Cluster token').fill('sandbox-admin');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
}

async function goTo(page: Page, view: string): Promise<void> {
  await page.getByRole('link', { name: view, exact: true }).click();
  await page.getByRole('heading', { name: view === 'Policy' ? 'Policy in force' : view, level: 1 }).waitFor();
}

/** Of a tile, the figure. */
function figureOf(page: Page, label: string) {
  return page.locator('.tile', { hasText: label }).locator('.value');
}

async function explainBob(page: Page): Promise<void> {
  await page.getByLabel('User', { exact: true }).fill('bob@example.com');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.stages').waitFor();
}

async function simulateLoad(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Fill in what is in force' }).click();
  await expect.poll(() => page.getByLabel('Policy document to try out').inputValue()).not.toBe('');
  await page.getByLabel('Loads, one a line').fill('tier=free users=30 rate=4/1m for=10m model=llm/llama');
  await page.getByRole('button', { name: 'Simulate' }).click();
  await page.locator('.timeline').waitFor();
}

describe('the console in a browser', () => {
  let opened: Opened;
  let page: Page;

  beforeAll(async () => {
    opened = await open();
    ({ page } = opened);
    await logIn(page);
  });

  afterAll(() => opened.context.close());

  it('shows live counters that move while requests come', async () => {
    const rate = figureOf(page, 'Requests a second');
    await expect.poll(async () => Number(await rate.textContent()), { timeout: 20_000 }).toBeGreaterThan(0);
    const counted = page.locator('.tile', { hasText: 'Allowed' }).locator('.note');
    const seen = new Set<string>();
    for (let at = 0; at < 40 && seen.size < 3; at += 1) {
      seen.add((await counted.textContent()) ?? '');
      await sleep(250);
    }
    expect(seen.size).toBeGreaterThanOrEqual(3);
    expect(await page.locator('.chart rect').count()).toBeGreaterThan(3);
    const tier = page.getByRole('row', { name: /^premium/ });
    expect(await tier.first().textContent()).toContain('20 requests per 2m');
  });

  it('shows a denial within two seconds', async () => {
    await goTo(page, 'Denials');
    await page.getByLabel('Subject, tier, model or request id holds').fill('bob@example.com');
    const bobs = page.getByRole('row', { name: /bob@example\.com/ });
    expect(await bobs.count()).toBe(0);
    for (let at = 0; at < 5; at += 1) expect(await chat('bob')).toBe(200);
    expect(await chat('bob')).toBe(429);
    await bobs.first().waitFor({ timeout: 2_000 });
    expect(await bobs.first().textContent()).toMatch(
      /429 requests exceeded.*bob@example\.com.*free.*llm\/llama/,
    );
  });

  it('gives back what was used, by a reset', async () => {
    await goTo(page, 'Usage');
    await page.getByLabel('What', { exact: true }).selectOption('reset');
    await page.getByLabel('Name').fill('bob@example.com');
    await page.getByLabel('Why, for the audit record').fill('a test');
    await page.getByRole('button', { name: 'Do it' }).click();
    await page.getByText('Done for bob@example.com').waitFor();
    await expect.poll(() => chat('bob'), { timeout: 5_000, interval: 500 }).toBe(200);
  });

  it('explains a request by name: who may not, why, and what would change it', async () => {
    await goTo(page, 'Explain');
    await page.getByLabel('User', { exact: true }).fill('bob@example.com');
    await page.getByLabel('Path').fill('/llm/qwen-large/v1/chat/completions');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('It would be denied: model forbidden').waitFor();
    expect(await page.locator('.stages li').count()).toBe(10);
    expect(await page.locator('.stage.passed').count()).toBeGreaterThan(4);
    await page.getByLabel('Path').fill('/llm/llama/v1/chat/completions');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('It would pass').waitFor();
  });

  it('shows a name as it is written, whatever is in it', async () => {
    const name = '<img src=x onerror=alert(1)>"\'&<script>alert(2)</script>';
    await page.getByLabel('User', { exact: true }).fill(name);
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('.facts', { hasText: name }).waitFor();
    expect(await page.locator('.explanation img, .explanation script').count()).toBe(0);
  });

  it('explains a request by its token', async () => {
    await page.getByLabel('token', { exact: true }).check();
    await page.getByLabel('Access token').fill(tokens.get('alice') ?? '');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('.facts', { hasText: 'alice@example.com' }).waitFor();
    await page.getByLabel('Access token').fill('garbage');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText(/It would be denied: (credential malformed|token rejected)/).waitFor();
  });

  it('simulates a document against a load, and says what is wrong with one', async () => {
    await goTo(page, 'Simulate');
    await page.getByRole('button', { name: 'Fill in what is in force' }).click();
    const policy = page.getByLabel('Policy document to try out');
    await expect.poll(() => policy.inputValue()).toContain('limits: {requests: [{limit: 5, window: 2m}]');
    await page.getByLabel('Loads, one a line').fill('tier=free users=20 rate=5/1m for=10m model=llm/llama');
    await page.getByRole('button', { name: 'Simulate' }).click();
    await page.getByRole('row', { name: /^free/ }).first().waitFor();
    const denied = await figureOf(page, 'Newly denied').textContent();
    expect(Number(denied?.replace(',', ''))).toBeGreaterThan(100);
    await policy.fill('- {name: free, groups: [a], limits: {requests: [{limit: 0, window: 2m}]}}');
    await page.getByRole('button', { name: 'Simulate' }).click();
    await page.getByText('Not simulated: The document is not valid: line 1: ').waitFor();
  });

  it('can be used by the keyboard alone', async () => {
    await page.goto(`${url}#overview`);
    await page.reload();
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await page.getByRole('link', { name: 'Health', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Health', level: 1 }).waitFor();
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
    const chart = page.getByRole('slider');
    await goTo(page, 'Overview');
    await chart.focus();
    await page.keyboard.press('ArrowLeft');
    expect(await chart.getAttribute('aria-valuetext')).toMatch(/^\d\d:\d\d:\d\d: /);
  });

  it('keeps the token nowhere', async () => {
    const kept = await page.evaluate(
      'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
    );
    expect(kept).toBe('[{},{},""]');
    expect(await page.content()).not.toContain('sandbox-admin');
    expect(sandbox.out().slice(sandbox.out().indexOf('Ctrl-C'))).not.toContain('sandbox-admin');
  });

  it('has said nothing in its console and asked nobody else', () => {
    // A browser notes every answer that is an error by itself: that of the document that is not valid.
    const refused = opened.complaints.filter((words) => words.includes('status of 400'));
    expect(refused).toHaveLength(1);
    expect(opened.complaints.filter((words) => !refused.includes(words))).toEqual([]);
  });

  it('asks for a token again after logging out', async () => {
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Cluster token').waitFor();
    await page.reload();
    await page.getByLabel('Cluster token').waitFor();
    expect(opened.complaints).toHaveLength(1);
  });

  it('says in words why a token does not do', async () => {
    await page.getByLabel('Cluster token').fill('sandbox-bob');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('You may not use the console').waitFor();
  });
});

describe.each(Object.keys(sizes) as (keyof typeof sizes)[])('%s', (size) => {
  describe.each(schemes)('%s', (scheme) => {
    it('every view passes axe, fits the window, and is kept as a picture', async () => {
      const { context, page, complaints } = await open(scheme, size);
      const faults: string[] = [];
      const look = async (view: string) => {
        // Contrast is the scheme's, reach and order are the size's: three of the four see both of each.
        const found = size === 'narrow' && scheme === 'dark' ? [] : await accessibilityFaults(page);
        for (const fault of found) faults.push(`${view}: ${fault}`);
        const tooWide = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        if (tooWide > 0) faults.push(`${view}: ${tooWide} px wider than the window`);
        await page.screenshot({
          path: join(screenshotFolder, `${view}-${size}-${scheme}.png`),
          fullPage: true,
        });
      };
      await page.getByLabel('Cluster token').waitFor();
      await look('door');
      await logIn(page);
      await page.locator('.chart rect').first().waitFor();
      const offered = await page.locator('nav a').allTextContents();
      for (const view of views) {
        const title = `${view[0]?.toUpperCase()}${view.slice(1)}`;
        if (!offered.includes(title)) continue;
        await goTo(page, title);
        await sleep(500);
        if (view === 'explain') await explainBob(page);
        if (view === 'simulate') await simulateLoad(page);
        await look(view);
      }
      expect(faults).toEqual([]);
      expect(complaints).toEqual([]);
      await context.close();
    });
  });
});
