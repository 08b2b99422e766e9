// Labels fifty messages with the keyboard alone, wide, then narrow as a second annotator until one has both their labels. Fails on a script error, a request to elsewhere, a sideways scroll, or a
// label that did not get through. Arguments: the page's address, an institution, a folder for the pictures.
import { createRequire } from 'node:module';
import path from 'node:path';

const { chromium } = createRequire(path.join(process.env.DWIARAH_PLAYWRIGHT, 'package.json'))('playwright-core');
const [base, institution, pictures] = process.argv.slice(2);
const problems = [];
const check = (ok, what) => { if (!ok) problems.push(what); };

const browser = await chromium.launch({
  executablePath: process.env.DWIARAH_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
let labels = 0;
for (const [name, width, alias, count] of [['wide', 1280, 'a1', 50], ['narrow', 390, 'a2', 5]]) {
  const context = await browser.newContext({ viewport: { width, height: 844 }, deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.setDefaultTimeout(120000);
  page.on('pageerror', (e) => problems.push(`${name}: script error: ${e.message}`));
  page.on('console', (m) => { if (m.type() === 'error') problems.push(`${name}: console: ${m.text()}`); });
  page.on('request', (r) => { if (!r.url().startsWith(base) && !r.url().startsWith('data:')) problems.push(`${name}: asks elsewhere: ${r.url()}`); });
  const look = async (what) => {
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(overflow <= 0, `${name}: ${what} scrolls sideways by ${overflow} px`);
    await page.screenshot({ path: path.join(pictures, `label-${what}-${name}.png`), fullPage: true });
  };
  // press waits for the page that answers the key, and tells which message is on it.
  const press = async (key) => {
    await Promise.all([page.waitForEvent('load'), page.keyboard.press(key)]);
    return page.locator('input[name=message_id]').inputValue();
  };

  await page.goto(base + '/label');
  check(await page.locator('input[name=as]').evaluate((e) => e === document.activeElement), `${name}: the alias has the focus`);
  await look('start');
  await page.keyboard.type(alias);
  await page.locator('select[name=institution]').selectOption(institution);
  await Promise.all([page.waitForEvent('load'), page.locator('input[name=as]').press('Enter')]);
  const seen = new Set([await page.locator('input[name=message_id]').inputValue()]);
  await look('first');
  let mine = 0;
  for (let n = 0; n < count; n++) {
    if (n === 2) {
      const here = await page.locator('input[name=message_id]').inputValue();
      await page.keyboard.press('c');
      check(await page.locator('#guide').isVisible(), `${name}: c shows the code book`);
      await look('book');
      const next = await press('s');
      check(next !== here && await page.locator('#guide').isVisible(), `${name}: s skips, and the code book stays`);
      check(await press('u') === here, `${name}: u goes back`);
      await page.keyboard.press('c');
      check(!(await page.locator('#guide').isVisible()), `${name}: c hides the code book`);
    }
    const text = await page.locator('#message .text').innerText();
    const key = /terima kasih|makasih|mantap|thank/i.test(text) ? '3' : /\?|jam|syarat|bagaimana|how/i.test(text) ? '2' : '1';
    seen.add(await press(key));
    mine = Number(await page.locator('#mine').innerText());
    check(mine === n + 1, `${name}: ${mine} labels after ${n + 1} keys`);
  }
  check(seen.size >= count, `${name}: ${seen.size} different messages in ${count} labels`);
  // A quarter of what the second annotator is asked has the first one's label: it counts towards the agreement at once.
  const missing = async () => Number(/^agreement is shown once ([0-9]+) more messages/.exec(await page.locator('#agreement').innerText())?.[1]);
  const total = async () => Number(await page.locator('#total').innerText());
  if (name === 'wide') check(await missing() === 30, `${name}: says how much is missing for an agreement`);
  for (let n = 0; name === 'narrow' && n < 40 && await missing() === 30; n++) await press('2');
  if (name === 'narrow') check(await missing() < 30, `${name}: what two have labelled counts towards the agreement`);
  mine = Number(await page.locator('#mine').innerText());
  labels += mine;
  check(await total() === labels, `${name}: ${await total()} labels in all, of ${labels}`);
  await look('after');
  await page.locator('nav.periods a', { hasText: 'risk_tag' }).click();
  await page.waitForURL('**head=risk_tag**');
  check(await page.locator('.choices button').count() === 14, `${name}: fourteen tags`);
  await page.keyboard.press('c');
  await look('risk');
  await press('0');
  check(await page.locator('#mine').innerText() === '1', `${name}: 0 is none`);
  await context.close();
}
await browser.close();
for (const p of problems) console.log(p);
process.exit(problems.length ? 1 : 0);
