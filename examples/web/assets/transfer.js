// Sends one transfer so that it happens at most once, whatever happens to the connection or to this page.
//
//   unknown ──201──▶ settled (completed | rejected) or accepted (pending: polled until settled)
//   unknown ──4xx──▶ refused                nothing was done, and the key is forgotten
//   unknown ──no answer, 5xx, 409, 429──▶ unknown, again with the SAME key
//
// The key and the request are stored before the first try. As long as the outcome is unknown they stay stored, so a
// reload goes on asking with the same key instead of paying a second time.

import { Problem, SignedOut, Unreachable, call, get } from '/assets/api.js';
import { emit, state } from '/assets/state.js';
import { tab } from '/assets/store.js';

const STORE = 'bank.transfer';
const open = new Set(['pending', 'scheduled']);
let running = 0;

export function stored() {
  const entry = tab.get(STORE);
  return entry && entry.customer === state.customer?.id ? entry : null;
}

const save = (entry) => tab.set(STORE, entry);
const forget = () => tab.remove(STORE);

/** `details` (the payee's name) is for the page; `request` is sent as it stands at every try. */
export function submit(request, details) {
  const entry = { customer: state.customer.id, key: crypto.randomUUID(), request, details, tries: 0, uncertain: false };
  save(entry);
  return drive(entry);
}

/** After a reload or a new sign-in: goes on where the last page stopped. */
export function resumeStored() {
  const entry = stored();
  if (!entry) return;
  // The page may have gone before the answer came, so even a first try that seems unsent may have been received.
  entry.uncertain = true;
  report(entry, entry.id ? 'pending' : 'unknown', { id: entry.id });
  drive(entry);
}

/** Stops the loops of the session that is over; what is stored stays, for the next. */
export function halt() {
  running += 1;
}

const report = (entry, status, more = {}) => emit('transfer', { entry, status, ...more });

async function drive(entry) {
  const mine = (running += 1);
  const current = () => running === mine;
  try {
    const transfer = entry.id ? { id: entry.id, status: 'pending' } : await send(entry, current);
    if (!transfer || !current()) return;
    await settle(entry, transfer, current);
  } catch (error) {
    if (error instanceof SignedOut || !current()) return;
    forget();
    report(entry, 'refused', { error });
  }
}

async function send(entry, current) {
  while (current()) {
    let pause;
    if (!entry.uncertain) report(entry, 'sending');
    entry.tries += 1;
    save(entry);
    try {
      const { data } = await call('POST', '/v1/transfers', {
        body: entry.request,
        headers: { 'Idempotency-Key': `"${entry.key}"` },
        timeout: 15_000,
      });
      if (!data?.status) throw new Unreachable('the answer does not say what became of it');
      return data;
    } catch (error) {
      if (error instanceof SignedOut) throw error;
      if (error instanceof Problem && decided(error.status, entry.uncertain)) throw error;
      // 429 was turned away at the door; all others may have been received.
      if (error.status !== 429) entry.uncertain = true;
      pause = backoff(entry.tries, error.retryAfter);
      save(entry);
      report(entry, 'unknown', { reason: error, pause });
    }
    await sleep(pause);
  }
  return null;
}

async function settle(entry, transfer, current) {
  let polls = 0;
  while (current()) {
    if (!open.has(transfer.status)) {
      forget();
      report(entry, transfer.status, { transfer, id: transfer.id });
      return;
    }
    if (entry.id !== transfer.id) save(Object.assign(entry, { id: transfer.id }));
    report(entry, transfer.status, { transfer, id: transfer.id });
    await sleep(backoff((polls += 1)));
    if (!current()) return;
    try {
      transfer = await get(`/v1/transfers/${encodeURIComponent(entry.id)}`);
    } catch (error) {
      if (error instanceof SignedOut) throw error; // all else: ask again
    }
  }
}

// Is this answer final? After an uncertain try, "you may not" says nothing about what became of that try.
function decided(status, uncertain) {
  if (status >= 500 || [408, 409, 425, 429].includes(status)) return false;
  return !(uncertain && [401, 403].includes(status));
}

// 1, 2, 4 … 15 seconds, each shortened at random so that many pages do not ask in step.
function backoff(tries, retryAfter) {
  const most = Math.min(15_000, 1000 * 2 ** (tries - 1));
  return Math.max((retryAfter ?? 0) * 1000, most * (0.6 + 0.4 * Math.random()));
}

// Ends early when the connection is back.
function sleep(milliseconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener('online', done);
  });
}
