// Live updates. The page is complete without this: it only puts the API's newest numbers where the
// server put the first ones, by the path each element names in `data-api`.

const STALE_MS = 12_000; // two heartbeats and a little
const NONE = '–';
// Only for fragments of this very server, which escapes every name in them.
const policy = window.trustedTypes?.createPolicy('eddy', { createHTML: (html) => html })
  ?? { createHTML: (html) => html };

const $ = (id) => document.getElementById(id);
const state = { source: null, heard: Date.now(), paused: false, missed: 0, held: false, shape: '', known: null, unsaid: 0, saidAt: 0, status: null };

// ---- numbers, as format.rs writes them

function significant(x) {
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size < 1e-6 || size >= 1e9) return x.toExponential(2).replace('e+', 'e').replaceAll('-', '−');
  const decimals = Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(size))));
  let text = x.toFixed(decimals);
  if (text.includes('.')) text = text.replace(/\.?0+$/, '');
  return text === '-0' ? '0' : text.replace('-', '−');
}

function count(x) {
  const size = Math.abs(x);
  if (size < 999.5) return significant(x);
  if (size < 999.5e3) return `${significant(x / 1e3)}k`;
  if (size < 999.5e6) return `${significant(x / 1e6)}M`;
  return `${significant(x / 1e9)}G`;
}

const UNITS = [[999.5, 1, 'ns'], [999.5e3, 1e3, 'µs'], [999.5e6, 1e6, 'ms'], [120e9, 1e9, 's'],
  [7200e9, 60e9, 'min'], [172800e9, 3600e9, 'h'], [Infinity, 86400e9, 'd']];

function duration(ns) {
  const [, scale, unit] = UNITS.find(([below]) => Math.abs(ns) < below);
  return `${significant(ns / scale)} ${unit}`;
}

function odds(p) {
  if (p < 1e-9) return '< 1 in 1G';
  const step = 10 ** Math.max(-1, Math.floor(Math.log10(1 / p)) - 1);
  const rounded = Math.round(1 / p / step) * step;
  if (rounded >= 1e6) return `1 in ${significant(rounded / 1e6)}M`;
  if (rounded >= 10) return `1 in ${Math.round(rounded).toLocaleString('en-US')}`;
  return `1 in ${significant(rounded)}`;
}

const FORMATS = { count, value: significant, duration, odds, percent: (x) => `${significant(100 * x)} %`, milli: (x) => `${significant(x / 10)} %` };

// ---- times, in the zone of the box

function boxTime(ns) {
  const offset = state.status?.utc_offset_s ?? 0;
  return new Date(ns / 1e6 + offset * 1000).toISOString();
}

function clock(ns) {
  const offset = Math.round((state.status?.utc_offset_s ?? 0) / 60);
  const two = (n) => String(n).padStart(2, '0');
  const size = Math.abs(offset);
  return `${boxTime(ns).slice(11, 19)}${offset < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

function time(ns) {
  const at = boxTime(ns);
  const sameDay = at.slice(0, 10) === boxTime(state.status?.time_ns ?? ns).slice(0, 10);
  return sameDay ? at.slice(11, 19) : at.slice(0, 19).replace('T', ' ');
}

// ---- one document of the API onto the page

function find(document, path) {
  const parts = path.match(/[^.[\]]+/g) ?? [];
  return parts.reduce((value, part) => value?.[part], document);
}

function show(element, value) {
  const format = element.dataset.fmt;
  if (format === 'text') return setSentence(element, value ?? '');
  if (format === 'time' || format === 'clock') {
    if (value == null) { element.removeAttribute('datetime'); return setText(element, ''); }
    element.dateTime = new Date(value / 1e6).toISOString();
    return setText(element, format === 'time' ? time(value) : clock(value));
  }
  const known = typeof value === 'number' && Number.isFinite(value);
  if (known) element.title = String(value); else element.removeAttribute('title');
  setText(element, known ? FORMATS[format](value) : NONE);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setSentence(element, text) {
  if (element.textContent === text) return;
  element.textContent = text;
  keepFigures(element);
}

const SENTENCES = '[data-fmt=text]';
const FIGURE = /((?<![^ ])(?:1 in \d[^ ]*|\d[^ ]* (?:ns|µs|ms|s|min|h|d|%)[.,;:)]*(?![^ ])))/;

/** In a sentence, too, a number and its unit, or odds, stay on one line. */
function keepFigures(element) {
  const parts = element.textContent.split(FIGURE);
  if (parts.length === 1 || element.firstElementChild) return;
  element.replaceChildren(...parts.map((part, i) => {
    if (i % 2 === 0) return part;
    const figure = document.createElement('span');
    figure.className = 'figure';
    figure.textContent = part;
    return figure;
  }));
}

function apply(root, document_, under = '') {
  const prefix = `${root}.${under}`;
  for (const element of document.querySelectorAll(`[data-api^="${prefix}"]`)) {
    show(element, find(document_, element.dataset.api.slice(root.length + 1)));
  }
  for (const element of document.querySelectorAll(`[data-state-api^="${prefix}"]`)) {
    element.dataset.state = find(document_, element.dataset.stateApi.slice(root.length + 1));
  }
}

// ---- parts the server renders again

/** The node that can become `child`: the next one that is no blank text, if it is of the same kind. */
function alike(place, child) {
  while (child.nodeType === Node.ELEMENT_NODE && place?.nodeType === Node.TEXT_NODE) place = place.nextSibling;
  return place?.nodeName === child.nodeName && !place.id ? place : null;
}

/** Makes `old` equal to `fresh`, keeping every node that can stay: focus, typed text, open details. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) { old.replaceWith(fresh); return; }
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== 'open' && old.getAttribute(name) !== value) old.setAttribute(name, value);
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const known = child.id ? named.get(child.id) : alike(place, child);
    if (!known) { old.insertBefore(child, place); continue; }
    if (child.id && known !== place) old.insertBefore(known, place);
    while (place && place !== known && !child.id) { const next = place.nextSibling; place.remove(); place = next; }
    place = known.nextSibling;
    morph(known, child);
  }
  while (place) { const next = place.nextSibling; place.remove(); place = next; }
}

/** Takes the part `id` anew: from its fragment, or else from this very page asked for again. */
async function refresh(id) {
  const old = $(id);
  const from = old.dataset.fragment ?? old.querySelector('[data-fragment]')?.dataset.fragment ?? location.pathname + location.search;
  const response = await fetch(from);
  const text = await response.text();
  if (!response.ok || state.paused) return;
  const html = document.createElement('template');
  html.innerHTML = policy.createHTML(text);
  let fresh = html.content.getElementById(id);
  if (!fresh) { fresh = old.cloneNode(false); fresh.append(html.content); }
  fresh.querySelectorAll(SENTENCES).forEach(keepFigures);
  morph(old, fresh);
  if (state.status) apply('status', state.status);
}

/** Asks again at most once at a time; a wish in between is granted after. */
function gate(id) {
  let busy = false;
  let again = false;
  return async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      do { again = false; await refresh(id); } while (again);
    } catch { /* the stale banner speaks for a lost connection */ } finally { busy = false; }
  };
}

// What of this page is rendered again, and upon which news.
const parts = [...document.querySelectorAll('[data-on]')].map((part) => ({ part, on: part.dataset.on, again: gate(part.id), held: false }));

/** Rows of alerts never move under the pointer. */
function renew(news) {
  for (const one of parts.filter(({ on }) => on === news)) {
    one.held = news === 'alerts' && one.part.matches(':hover');
    if (!one.held) one.again();
  }
}
for (const one of parts) one.part.addEventListener('pointerleave', () => { if (one.held) { one.held = false; one.again(); } });

// ---- what a person changes

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-to]');
  if (!button) return;
  const { method, to, id, revision, receiver, verdict } = button.dataset;
  button.disabled = true;
  const one = id ? { id, revision: Number(revision), receiver } : verdict ? { verdict } : receiver ? { receiver } : {};
  const body = method === 'POST' ? JSON.stringify(one) : undefined;
  try {
    const response = await fetch(to, { method, body, headers: { 'content-type': 'application/json' } });
    const said = await response.json();
    $('say').textContent = response.ok ? done(said) : `${said.detail}: ${said.remedy}`;
    if (response.ok && said.waiting !== undefined) button.after(` ${done(said)}`);
    if (!response.ok) { button.textContent = said.detail; button.dataset.said = 'yes'; return; }
  } catch { button.textContent = 'No answer'; } finally { button.disabled = false; }
  // The next snapshot shows it, under the pointer or not: it is what was asked for.
  setTimeout(() => parts.filter(({ on }) => on === 'alerts' || on === 'shape').forEach((one) => one.again()), 1_200);
});

function done({ replayed, superseded, waiting, why }) {
  if (waiting !== undefined) return waiting ? `Asked. Waiting: ${waiting}.` : 'Nothing waits for it.';
  if (replayed !== undefined) return `Tried again: ${replayed}. Superseded by later ones that were delivered: ${superseded}.`;
  return why ? `Kept, and changes nothing: ${why}` : 'Done.';
}

// ---- live events

/** What the server's templates branch on: when it changes, they must be rendered again. */
function shape(s) {
  return JSON.stringify([s.state, s.problems, s.notes, Object.keys(s.dead_letters), s.sources.map((x) => x.connected),
    s.sources.map((x) => x.last_arrival_ns === null), s.sinks.map((x) => [x.state, x.last_success_ns === null, x.rate, x.last_error === null, x.circuit_open, x.waiting?.trying, x.waiting?.next_attempt_at_ns === null]), s.telemetry?.failing.map((x) => x.signal),
    s.streams.map((x) => [x.keys > 0, x.warm_milli, x.warm_eta_ns === null, x.model_windows === null, x.alerts_open > 0]), s.tiles.first_onset_ns === null]);
}

function onHealth(status) {
  state.status = status;
  document.body.dataset.url = `/api/v1/status?seq=${status.seq}`;
  apply('status', status);
  const now = shape(status);
  if (now !== state.shape) { state.shape = now; renew('shape'); }
  renew('health');
  say(status.totals.alerts_open);
}

/** Spoken for those who do not look: alerts that are new, at most every ten seconds, and nothing else. */
function onAlerts({ open, ids }) {
  renew('alerts');
  const fresh = state.known ? ids.slice(0, open).filter((id) => !state.known.has(id)) : [];
  state.known = new Set([...(state.known ?? []), ...ids]);
  state.unsaid += fresh.length;
  say(open);
}

function say(open) {
  if (state.unsaid === 0 || Date.now() - state.saidAt < 10_000) return;
  const { level, headline } = state.status?.tiles.first ?? {};
  $('say').textContent = `${state.unsaid} new ${state.unsaid === 1 ? 'alert' : 'alerts'}, ${open} firing${level === 'firing' ? `, first ${headline}` : ''}.`;
  state.unsaid = 0;
  state.saidAt = Date.now();
}

function onValue({ latest, to }) {
  const part = document.querySelector('[data-root=series]');
  if (!part) return;
  apply('series', { latest }, 'latest');
  // `to` is a text: nanoseconds since 1970 are beyond what a number holds here.
  part.dataset.url = part.dataset.url.replace(/to=-?\d+/, `to=${to}`);
}

function listen() {
  if (state.source || document.hidden) return;
  const topics = ['health', 'alerts'];
  const key = document.querySelector('[data-topic]')?.dataset.topic;
  if (key) topics.push(key);
  const source = new EventSource(`/api/v1/live?${new URLSearchParams({ topics: topics.join(',') })}`);
  state.source = source;
  const on = (name, act) => source.addEventListener(name, (event) => {
    heard();
    if (state.paused) { if (name !== 'health' && name !== 'beat') state.missed += 1; word(); return; }
    act(JSON.parse(event.data));
  });
  on('health', onHealth);
  on('alerts', onAlerts);
  on('value', onValue);
  on('tick', () => renew('tick'));
  on('beat', () => {});
  on('bye', ({ retry_ms }) => { hangUp(); setTimeout(listen, retry_ms); });
  source.addEventListener('error', () => {
    // The browser tries again by itself unless the server refused: then read now and then.
    if (source.readyState === EventSource.CLOSED) { hangUp(); setTimeout(poll, 5_000); }
  });
}

function hangUp() { state.source?.close(); state.source = null; }

async function poll() {
  if (document.hidden || state.source) return;
  try {
    const response = await fetch('/api/v1/status');
    if (response.ok) {
      heard();
      if (!state.paused) { onHealth(await response.json()); renew('alerts'); renew('tick'); }
    }
  } catch { /* tried again below; the stale banner speaks */ }
  listen();
}

function heard() {
  state.heard = Date.now();
  if (!document.body.dataset.stale) return;
  delete document.body.dataset.stale;
  $('stale').hidden = true;
  word();
}

function word() {
  const live = $('live');
  live.hidden = false;
  live.dataset.state = state.paused ? 'paused' : 'live';
  setText(live, state.paused ? `Paused, ${state.missed} new` : document.body.dataset.stale ? 'Stale' : 'Live');
}

setInterval(() => {
  if (document.hidden || Date.now() - state.heard < STALE_MS || document.body.dataset.stale) return;
  document.body.dataset.stale = 'yes';
  const since = document.querySelector('[data-fmt=clock]').textContent; // the box's own clock, as last heard
  $('stale').textContent = `No news from Eddy since ${since}. Everything below is old. Check that Eddy runs; this page reconnects by itself.`;
  $('stale').hidden = false;
  word();
}, 1_000);

function pause(on) {
  state.paused = on;
  state.missed = 0;
  const button = $('pause');
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? 'Resume' : 'Pause';
  if (!on) { state.shape = ''; hangUp(); listen(); renew('alerts'); renew('tick'); }
  word();
}

// ---- lists by keys

const ROWS = '.alert-rows tbody th a, .deliveries tbody th a, details.alert > summary, .names a, #given-up a';

/** To the next row of the page's lists, or the one before; Enter opens it, as it does any link. */
function step(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.checkVisibility());
  const at = rows.indexOf(document.activeElement);
  const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[to]?.focus();
}

// A panel on a wall: what is to be seen, and nothing to be pressed.
if (new URLSearchParams(location.search).get('kiosk') === '1') document.body.dataset.kiosk = 'yes';

$('pause').hidden = false;
document.body.dataset.script = 'yes'; // buttons that need it are shown
$('pause').addEventListener('click', () => pause(!state.paused));
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape' && document.activeElement?.matches('input[type=search]')) {
    // Empties first, as browsers do; then leaves.
    if (event.target.value) event.target.value = ''; else event.target.blur();
    event.preventDefault();
    return;
  }
  if (event.target.closest('input, select, textarea, [contenteditable]')) return;
  if (event.key === 'j' || event.key === 'k') step(event.key === 'j' ? 1 : -1);
  if (event.target.closest('button, summary, a')) return;
  if (event.key === ' ') { event.preventDefault(); pause(!state.paused); }
  if (event.key === '/') { event.preventDefault(); $('search').focus(); }
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) { hangUp(); return; }
  state.heard = Date.now();
  listen();
  if (!state.paused) { renew('alerts'); renew('tick'); }
});

document.querySelectorAll(SENTENCES).forEach(keepFigures);
word();
listen();
