// An account's statement for a month: to read, to print, to take away as a table.

import { all, call, get } from '/assets/api.js';
import { busy, byId, complain, el, failed, idText, skeleton } from '/assets/dom.js';
import { isolated, t } from '/assets/i18n.js';
import { isNegative, money, negate } from '/assets/money.js';
import { accountLabel, ownAccount, state } from '/assets/state.js';
import { dateOf, fullTime, monthOf } from '/assets/times.js';

const MONTHS = 36;
const select = byId('statement-month');
let shown = null;

const nameOf = (month) => `${month.getFullYear()}-${String(month.getMonth() + 1).padStart(2, '0')}`;

/** The month in the person's own zone; the one that runs has no end yet. */
function period(name) {
  const [year, month] = name.split('-').map(Number);
  const [from, to] = [new Date(year, month - 1, 1), new Date(year, month, 1)];
  return to > new Date() ? { from: from.toISOString() } : { from: from.toISOString(), to: to.toISOString() };
}

export async function show(id, name) {
  const now = new Date();
  const months = Array.from({ length: MONTHS }, (_, back) => new Date(now.getFullYear(), now.getMonth() - back, 1));
  const chosen = months.map(nameOf).includes(name) ? name : nameOf(months[0]);
  shown = { id, month: chosen };
  select.replaceChildren(
    ...months.map((month) => el('option', { value: nameOf(month), selected: nameOf(month) === chosen }, monthOf(month))),
  );
  byId('statement-back').href = `#account/${id}`;
  byId('statement-next').disabled = select.selectedIndex === 0;
  byId('statement-previous').disabled = select.selectedIndex === MONTHS - 1;
  await load();
}

const path = ({ id }) => `/v1/accounts/${encodeURIComponent(id)}/statement`;

async function load() {
  const mine = shown;
  const rows = byId('statement-rows');
  skeleton(byId('statement-wait'), 4);
  byId('statement-wait').hidden = false;
  byId('statement').hidden = true;
  try {
    const query = period(mine.month);
    const account = ownAccount(mine.id) ?? (await get(`/v1/accounts/${encodeURIComponent(mine.id)}`));
    const head = await get(`${path(mine)}?${new URLSearchParams({ ...query, limit: '1' })}`);
    // The end of what was counted, so that a payment in between does not make the pages differ.
    const entries = await all(path(mine), { from: query.from, to: head.to, limit: 200 });
    if (shown !== mine) return;
    mine.to = head.to;
    byId('statement-head').replaceChildren(
      el('p', { class: 'strong' }, isolated(accountLabel(account))),
      el('p', { class: 'muted' }, isolated(state.customer?.name || state.customer?.username || ''), ' · ', idText(account.id)),
      el('p', { class: 'muted' }, t('statement.period', { from: dateOf(head.from), to: dateOf(lastMoment(head.to)) })),
    );
    const line = (label, amount) =>
      el('tr', { class: 'total' }, el('th', { scope: 'row', colspan: '2' }, label), el('td', { colspan: '3' }, money(amount)));
    rows.replaceChildren(
      line(t('statement.opening'), head.opening),
      ...entries.map(row),
      line(t('statement.closing'), head.closing),
    );
    byId('statement-empty').hidden = entries.length > 0;
    byId('statement-wait').hidden = true;
    byId('statement').hidden = false;
  } catch (error) {
    if (shown === mine) failed(byId('statement-wait'), error, load);
  }
}

// A period ends before its last moment: the statement of November does not name the first of December.
const lastMoment = (to) => new Date(new Date(to).getTime() - 1);

function row(entry) {
  const out = isNegative(entry.amount);
  const name = entry.counterparty?.name;
  const text = [name, entry.reference].filter(Boolean);
  return el(
    'tr',
    {},
    el('td', {}, el('time', { datetime: entry.at, title: fullTime(entry.at) }, dateOf(entry.at))),
    el(
      'td',
      { class: 'words' },
      text.length ? text.flatMap((each, index) => [index ? ' · ' : '', isolated(each)]) : t(out ? 'statement.out' : 'statement.in'),
    ),
    el('td', {}, out ? null : money(entry.amount)),
    el('td', {}, out ? money(negate(entry.amount)) : null),
    el('td', {}, money(entry.balance_after)),
  );
}

async function download() {
  try {
    // What is shown, to the same moment: the month that runs has gone on meanwhile.
    const query = new URLSearchParams({ ...period(shown.month), ...(shown.to ? { to: shown.to } : {}) });
    const { data } = await call('GET', `${path(shown)}?${query}`, { accept: 'text/csv', timeout: 60_000 });
    const url = URL.createObjectURL(new Blob([data], { type: 'text/csv' }));
    el('a', { href: url, download: `${shown.id}-${shown.month}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    complain(error);
  }
}

const go = (month) => (location.hash = `#statement/${shown.id}/${month}`);
const step = (by) => go(select.options[select.selectedIndex + by].value);

select.addEventListener('change', () => go(select.value));
byId('statement-previous').addEventListener('click', () => step(1));
byId('statement-next').addEventListener('click', () => step(-1));
byId('statement-csv').addEventListener('click', (event) => busy(event.currentTarget, download));
byId('statement-print').addEventListener('click', () => print());
