// Every number of a page beside the API's.

/** Reads every element that names its place in the API, with the address of that document. */
function numbersOf(page) {
  return page.evaluate(() => [...document.querySelectorAll('[data-api]')].map((element) => {
    const [root] = element.dataset.api.split(/[.[]/);
    const holder = element.closest(`[data-root="${root}"]`);
    return {
      root, path: element.dataset.api.slice(root.length + 1), format: element.dataset.fmt, text: element.textContent,
      title: element.getAttribute('title'), datetime: element.getAttribute('datetime'), url: holder?.dataset.url,
    };
  }));
}

function find(document, path) {
  return (path.match(/[^.[\]]+/g) ?? []).reduce((value, part) => value?.[part], document);
}

const SCALE = { k: 1e3, M: 1e6, G: 1e9, ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9, min: 60e9, h: 3600e9, d: 86400e9 };

/** Written independently of the page's formatter: what the text says, as a number. */
function said(text, format) {
  const plain = text.replace('−', '-').replaceAll(',', '');
  const match = plain.match(/^(1 in )?(-?[\d.]+(?:e[-−]?\d+)?)\s*(%|[a-zµ]*)$/i);
  if (!match) return undefined;
  const x = Number(match[2].replace('−', '-')) * (SCALE[match[3]] ?? 1);
  if (format === 'odds') return match[1] ? 1 / x : undefined;
  if (format === 'percent') return x / 100;
  if (format === 'milli') return x * 10;
  return x;
}

function compare(number, raw, offsetS) {
  const { format, text, title, datetime } = number;
  if (raw === undefined) return false; // a place that is not in the API at all
  if (format === 'text') return text === (raw ?? '');
  if (raw === null) return text === (['time', 'clock'].includes(format) ? '' : '–');
  if (format === 'time' || format === 'clock') {
    const shown = new Date(raw / 1e6 + offsetS * 1000).toISOString().slice(11, 19);
    return Math.abs(Date.parse(datetime) - raw / 1e6) <= 1 && text.includes(shown);
  }
  if (Number(title) !== raw) return false;
  if (format === 'odds' && text === '< 1 in 1G') return raw < 1e-9;
  const tolerance = format === 'odds' ? 0.051 : 0.0051; // two and three significant digits
  const shown = said(text, format);
  return shown !== undefined && Math.abs(shown - raw) <= tolerance * Math.abs(raw) + 1e-12;
}

/** How many numbers and texts of a page that stands still equal the API's, and what is wrong. */
export async function beside(page, base) {
  const numbers = await numbersOf(page);
  const wrong = [];
  const documents = new Map();
  for (const { url } of numbers) {
    if (!url || documents.has(url)) continue;
    const response = await fetch(base + url);
    if (!response.ok) wrong.push(`${url} answers ${response.status}`);
    documents.set(url, await response.json());
  }
  const offsetS = [...documents.values()].find((d) => d.utc_offset_s !== undefined)?.utc_offset_s ?? 0;
  let equal = 0;
  for (const number of numbers) {
    const raw = find(documents.get(number.url), number.path);
    if (compare(number, raw, offsetS)) equal += 1;
    else wrong.push(`${number.root}.${number.path} shows "${number.text}" (title ${number.title}), the API says ${JSON.stringify(raw)}`);
  }
  return { equal, wrong };
}

/** Times of frames over some seconds, and of tasks longer than 50 ms, which browsers call long. */
export async function frames(page, seconds) {
  const { deltas, long } = await page.evaluate((ms) => new Promise((done) => {
    const long = [];
    const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map((entry) => entry.duration)));
    observer.observe({ type: 'longtask' });
    const deltas = [];
    let last = performance.now();
    const end = last + ms;
    const step = (now) => {
      deltas.push(now - last);
      last = now;
      if (now < end) { requestAnimationFrame(step); return; }
      observer.disconnect();
      done({ deltas, long });
    };
    requestAnimationFrame(step);
  }), 1000 * seconds);
  deltas.sort((a, b) => a - b);
  const at = (share) => Number(deltas[Math.min(deltas.length - 1, Math.floor(share * deltas.length))].toFixed(1));
  return {
    frames: deltas.length, frame_ms_p50: at(0.5), frame_ms_p95: at(0.95), frame_ms_p99: at(0.99), frame_ms_max: at(1),
    long_tasks: long.length, long_task_ms_max: Number(Math.max(0, ...long).toFixed(1)),
  };
}
