// Drives the page as a person would, wide and narrow, and fails on a script error, a request to elsewhere, a sideways scroll or a missing part.
// Arguments: the page's address, a folder for the pictures. The driver is found through DWIARAH_PLAYWRIGHT, the browser through DWIARAH_CHROMIUM.
import { createRequire } from 'node:module';
import path from 'node:path';

const { chromium } = createRequire(path.join(process.env.DWIARAH_PLAYWRIGHT, 'package.json'))('playwright-core');
const [base, pictures] = process.argv.slice(2);
const problems = [];
const check = (ok, what) => { if (!ok) problems.push(what); };

const browser = await chromium.launch({
  executablePath: process.env.DWIARAH_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
for (const [name, width] of [['wide', 1280], ['narrow', 390]]) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.setDefaultTimeout(120000); // the engine may be slow to answer on a busy machine
  page.on('pageerror', (e) => problems.push(`${name}: script error: ${e.message}`));
  page.on('console', (m) => { if (m.type() === 'error') problems.push(`${name}: console: ${m.text()}`); });
  page.on('request', (r) => { if (!r.url().startsWith(base) && !r.url().startsWith('data:')) problems.push(`${name}: asks elsewhere: ${r.url()}`); });
  const look = async (what) => {
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(overflow <= 0, `${name}: ${what} scrolls sideways by ${overflow} px`);
    const text = await page.innerText('body');
    check(!/\b(NaN|Infinity|undefined|<nil>|&lt;)\b/.test(text), `${name}: ${what} shows a broken value`);
    await page.screenshot({ path: path.join(pictures, `${what}-${name}.png`), fullPage: true });
  };

  await page.goto(base + '/');
  check((await page.title()).includes('Dwiarah'), `${name}: the title`);
  check(await page.locator('#progress[data-idle=true]').count() === 1, `${name}: the pipeline says that all has landed`);
  check(await page.locator('section.card h3 a').count() >= 2, `${name}: a card for each institution`);
  await look('overview');

  await page.locator('section.card h3 a').first().click();
  await page.waitForURL('**/institutions/**');
  check(await page.locator('.chart svg:visible').count() === 3, `${name}: three charts, of the size that fits`);
  await look('institution');
  await page.locator('nav.periods a', { hasText: '90 days' }).click();
  check(await page.locator('nav.periods a[aria-current]').innerText() === '90 days', `${name}: the period that was chosen`);

  await page.goto(base + '/');
  const report = page.locator('a[href^="/reports/"]').first();
  check(await report.count() === 1, `${name}: a report is linked`);
  if (await report.count()) {
    await report.click();
    await page.waitForURL('**/reports/**');
    await look('report');
  }

  const missing = await context.request.get(base + '/institutions/nobody');
  check(missing.status() === 404, `${name}: an unknown institution is 404, not ${missing.status()}`);
  await context.close();
}
await browser.close();
for (const p of problems) console.log(p);
process.exit(problems.length ? 1 : 0);
