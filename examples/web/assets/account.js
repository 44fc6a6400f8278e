// One account: its balance, its number to give to others, its entries.

import { SignedOut, get, page } from '/assets/api.js';
import { busy, byId, copyable, el, empty, failed, fill, icon, skeleton, toast } from '/assets/dom.js';
import { exceeds, format, isNegative } from '/assets/money.js';
import { accountLabel, moneyOf, on, ownAccount } from '/assets/state.js';
import { byDay, fullTime, timeOf } from '/assets/times.js';

let shown = { id: null, items: [], next: null };

export async function showAccount(id) {
  shown = { id, items: [], next: null };
  byId('account-balance').textContent = '';
  byId('account-available').textContent = '';
  byId('account-title').textContent = 'Account';
  byId('account-id').replaceChildren(copyable(id, 'Account number'));
  byId('entries-more').hidden = true;
  skeleton(byId('entries'), 4);
  head();
  await refreshEntries();
}

function head() {
  const account = ownAccount(shown.id);
  if (!account) return;
  byId('account-title').textContent = accountLabel(account);
  byId('account-balance').textContent = format(account.balance);
  const held = exceeds(account.balance.amount, account.available.amount);
  byId('account-available').textContent = held ? `${format(account.available)} available, the rest is held` : '';
}

/** The newest entries again, for the account that is open; none is open: nothing. */
export async function refreshEntries() {
  const { id } = shown;
  if (!id) return;
  try {
    if (!ownAccount(id))
      byId('account-balance').textContent = format(
        moneyOf((await get(`/v1/accounts/${encodeURIComponent(id)}`)).balance),
      );
    const first = await page(path(id));
    if (shown.id !== id) return;
    // What was loaded further down stays, below the fresh first page.
    const fresh = new Set(first.items.map((entry) => entry.id));
    const older = shown.items.length > first.items.length ? shown.items.filter((entry) => !fresh.has(entry.id)) : [];
    shown = { id, items: first.items.concat(older), next: older.length ? shown.next : first.next };
    head();
    renderEntries();
  } catch (error) {
    if (shown.id === id) failed(byId('entries'), error, () => showAccount(id));
  }
}

export function leaveAccount() {
  shown = { id: null, items: [], next: null };
}

const path = (id) => `/v1/accounts/${encodeURIComponent(id)}/entries`;

function renderEntries() {
  const { items, next } = shown;
  fill(
    byId('entries'),
    items.length
      ? byDay(items, (entry) => entry.at).map(([label, entries]) =>
          el('li', { class: 'day' }, el('h3', {}, label), el('ul', {}, entries.map(entryRow))),
        )
      : [empty('list', 'Nothing here yet', 'Each movement of this account will be listed.')],
  );
  byId('entries-more').hidden = !next;
}

function entryRow(entry) {
  const currency = ownAccount(shown.id)?.currency;
  const amount = moneyOf(entry.amount, currency);
  const out = isNegative(amount);
  return el(
    'li',
    { class: 'row', dataset: { entry: entry.id } },
    el('span', { class: `medal ${out ? '' : 'in'}` }, icon(out ? 'out' : 'in')),
    el(
      'span',
      { class: 'grow' },
      el('span', { class: 'row-title' }, entry.reference || (out ? 'Paid out' : 'Paid in')),
      el('time', { class: 'row-note', datetime: entry.at, title: fullTime(entry.at) }, timeOf(entry.at)),
    ),
    el(
      'span',
      { class: 'figures' },
      el('span', { class: `figure ${out ? '' : 'in'}` }, format(amount, { sign: 'always' })),
      entry.balance_after
        ? el(
            'span',
            { class: 'row-note' },
            el('span', { class: 'sr' }, 'Balance after: '),
            format(moneyOf(entry.balance_after, currency)),
          )
        : null,
    ),
  );
}

export function wireAccount() {
  on('accounts', head);
  byId('entries-more').addEventListener('click', () =>
    busy(byId('entries-more'), async () => {
      const { id, next } = shown;
      try {
        const more = await page(path(id), next);
        if (shown.id !== id) return;
        shown = { id, items: shown.items.concat(more.items), next: more.next };
        renderEntries();
      } catch (error) {
        if (!(error instanceof SignedOut)) toast(error.message, 'error');
      }
    }),
  );
}
