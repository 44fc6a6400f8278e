// The customer's transfers, newest first, and the details of one.

import { SignedOut, get, page } from '/assets/api.js';
import { busy, byId, copyable, el, empty, failed, fill, icon, skeleton, toast } from '/assets/dom.js';
import { format, negate } from '/assets/money.js';
import { reasonText } from '/assets/outcome.js';
import { learnNames, nameOf } from '/assets/payees.js';
import { accountLabel, ownAccount, shortId } from '/assets/state.js';
import { byDay, fullTime, timeOf } from '/assets/times.js';

const tags = { pending: 'On its way', scheduled: 'Scheduled', rejected: 'Not sent', cancelled: 'Cancelled' };
let items = [];
let next = null;

export async function loadActivity({ quiet = false } = {}) {
  const list = byId('activity');
  if (!quiet) {
    items = [];
    skeleton(list, 4);
  }
  try {
    const first = await page('/v1/transfers');
    // What was loaded further down stays, below the fresh first page.
    const fresh = new Set(first.items.map((transfer) => transfer.id));
    const older = items.length > first.items.length ? items.filter((transfer) => !fresh.has(transfer.id)) : [];
    if (!older.length) next = first.next;
    items = first.items.concat(older);
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (!quiet) failed(list, error, () => loadActivity().catch(() => {}));
    return;
  }
  render();
  const unknown = items
    .slice(0, 10)
    .map(other)
    .filter((account) => !ownAccount(account));
  if (await learnNames(unknown)) render();
}

export const resetActivity = () => {
  items = [];
  next = null;
};

/** Money that leaves one of the customer's accounts is out; between two of their own it is out as well. */
const direction = (transfer) => (ownAccount(transfer.from) ? 'out' : 'in');
const other = (transfer) => (direction(transfer) === 'out' ? transfer.to : transfer.from);

function otherName(transfer) {
  const account = other(transfer);
  const own = ownAccount(account);
  if (own) return accountLabel(own);
  return (direction(transfer) === 'out' ? transfer.to_name : transfer.from_name) || nameOf(account) || shortId(account);
}

/** A refresh must not take the focus from the row it is on. */
function render() {
  const list = byId('activity');
  const focused = document.activeElement?.closest?.('#activity [data-transfer]')?.dataset.transfer;
  fill(
    list,
    items.length
      ? byDay(items, (transfer) => transfer.created_at).map(([label, transfers]) =>
          el('li', { class: 'day' }, el('h3', {}, label), el('ul', {}, transfers.map(row))),
        )
      : [empty('list', 'No payments yet', 'What you send and receive will be listed here, as it happens.')],
  );
  byId('activity-more').hidden = !next;
  if (focused) list.querySelector(`[data-transfer="${CSS.escape(focused)}"] button`)?.focus();
}

function row(transfer) {
  const way = direction(transfer);
  const out = way === 'out';
  const amount = out ? negate(transfer.amount) : transfer.amount;
  const tag = tags[transfer.status];
  return el(
    'li',
    { dataset: { transfer: transfer.id, direction: way, status: transfer.status } },
    el(
      'button',
      { class: 'row', type: 'button', onclick: () => showTransfer(transfer.id, transfer) },
      el('span', { class: `medal ${out ? '' : 'in'}` }, icon(way)),
      el(
        'span',
        { class: 'grow' },
        el('span', { class: 'row-title' }, el('span', { class: 'sr' }, out ? 'To ' : 'From '), otherName(transfer)),
        el(
          'span',
          { class: 'row-note' },
          el('time', { datetime: transfer.created_at }, timeOf(transfer.created_at)),
          transfer.reference ? ` · ${transfer.reference}` : '',
        ),
      ),
      el(
        'span',
        { class: 'figures' },
        el(
          'span',
          { class: `figure ${out ? '' : 'in'} ${transfer.status === 'rejected' ? 'void' : ''}` },
          format(amount, { sign: 'always' }),
        ),
        tag ? el('span', { class: 'tag', dataset: { status: transfer.status } }, tag) : null,
      ),
    ),
  );
}

/** Opens the details; `known` is shown at once where the list has it. */
export async function showTransfer(id, known = items.find((transfer) => transfer.id === id)) {
  try {
    const transfer = known ?? (await get(`/v1/transfers/${encodeURIComponent(id)}`));
    const out = direction(transfer) === 'out';
    const fact = (name, ...value) => el('div', {}, el('dt', {}, name), el('dd', {}, ...value));
    const end = (account) => {
      const name = ownAccount(account)
        ? accountLabel(ownAccount(account))
        : account === other(transfer)
          ? otherName(transfer)
          : '';
      return [
        name && name !== shortId(account) ? el('span', { class: 'block' }, name) : null,
        copyable(account, 'Account number'),
      ].filter(Boolean);
    };
    byId('transfer-title').textContent = out ? `To ${otherName(transfer)}` : `From ${otherName(transfer)}`;
    byId('transfer-detail').replaceChildren(
      el(
        'p',
        { class: `review-amount ${transfer.status === 'rejected' ? 'void' : ''}` },
        format(out ? negate(transfer.amount) : transfer.amount, { sign: 'always' }),
      ),
      el(
        'dl',
        { class: 'facts' },
        fact('Status', transfer.status === 'completed' ? 'Complete' : (tags[transfer.status] ?? transfer.status)),
        transfer.status === 'rejected' ? fact('Why', reasonText(transfer.code)) : '',
        transfer.reference ? fact('Reference', transfer.reference) : '',
        fact('Made', fullTime(transfer.created_at)),
        fact('From', ...end(transfer.from)),
        fact('To', ...end(transfer.to)),
        fact('Payment number', copyable(transfer.id, 'Payment number')),
      ),
    );
    if (!byId('transfer-dialog').open) byId('transfer-dialog').showModal();
    byId('transfer-title').focus();
  } catch (error) {
    if (!(error instanceof SignedOut)) toast(error.message, 'error');
  }
}

export function wireActivity() {
  byId('activity-more').addEventListener('click', () =>
    busy(byId('activity-more'), async () => {
      try {
        const more = await page('/v1/transfers', next);
        const known = new Set(items.map((transfer) => transfer.id));
        items = items.concat(more.items.filter((transfer) => !known.has(transfer.id)));
        next = more.next;
        render();
      } catch (error) {
        if (!(error instanceof SignedOut)) toast(error.message, 'error');
      }
    }),
  );
}
