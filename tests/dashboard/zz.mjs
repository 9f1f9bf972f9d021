import { chromium } from 'playwright-core';
const [base, out, w, h, scheme] = process.argv.slice(2);
const b = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox','--disable-gpu'] });
const p = await (await b.newContext({ viewport: { width: +w, height: +h }, colorScheme: scheme })).newPage();
p.on('console', (m) => console.log('console', m.type(), m.text()));
p.on('pageerror', (e) => console.log('error', e.message));
await p.goto(base); await p.waitForTimeout(4000);
await p.screenshot({ path: out, fullPage: true });
await b.close();
