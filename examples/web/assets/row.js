// One movement or reservation of money as a row: who, what, when, how much, and how far it is.

import { el, icon } from '/assets/dom.js';
import { has, isolated, t } from '/assets/i18n.js';
import { directed, money } from '/assets/money.js';
import { accountLabel, ownAccount, shortId, state } from '/assets/state.js';
import { dateOf, timeOf } from '/assets/times.js';

const ended = new Set(['rejected', 'cancelled', 'voided', 'expired', 'released']);
const waiting = new Set(['pending', 'scheduled', 'open', 'held']);

const isHold = (item) => item.kind === 'hold';
export const isEnded = (item) => ended.has(item.status);
export const isWaiting = (item) => waiting.has(item.status);

const kindText = (item) => {
  const key = [`kind.${item.kind}.${item.direction}`, `kind.${item.kind}`].find(has);
  return key ? t(key) : t(`kind.other.${item.direction}`);
};

/** The name on the other side; what kind it is where there is nobody. */
export function counterparty(item) {
  const { name, account } = item.counterparty ?? {};
  const own = ownAccount(account);
  if (own) return accountLabel(own);
  return name || (account ? shortId(account) : kindText(item));
}

/** How far it is, in words; nothing for what is simply done. */
export function statusText(item) {
  if (isHold(item) && isWaiting(item))
    return item.expires_at ? t('status.held_until', { date: dateOf(item.expires_at) }) : t('status.held');
  if (item.status === 'completed' || item.status === 'captured' || !item.status) return '';
  return has(`status.${item.status}`) ? t(`status.${item.status}`) : item.status;
}

const icons = { deposit: 'cash', withdrawal: 'cash', hold: 'clock', reversal: 'undo' };

export function activityRow(item, { open, withAccount }) {
  const out = item.direction === 'out';
  const status = statusText(item);
  const title = counterparty(item);
  const own = withAccount && state.accounts.length > 1 ? ownAccount(item.account) : null;
  const note = [
    el('time', { datetime: item.at }, timeOf(item.at)),
    title !== kindText(item) && item.kind !== 'transfer' ? kindText(item) : null,
    own ? isolated(accountLabel(own)) : null,
    item.reference ? isolated(item.reference) : null,
  ].filter(Boolean);
  const tone = isEnded(item) ? 'void' : isWaiting(item) ? 'waiting' : out ? '' : 'in';
  return el(
    'li',
    {
      dataset: {
        activity: item.id,
        ...(item.transfer ? { transfer: item.transfer } : {}),
        kind: item.kind,
        direction: item.direction,
        status: item.status,
      },
    },
    el(
      'button',
      { class: `row ${tone}`, type: 'button', 'aria-haspopup': 'dialog', onclick: () => open(item) },
      el('span', { class: `medal ${tone}` }, icon(icons[item.kind] ?? (out ? 'out' : 'in'))),
      el(
        'span',
        { class: 'grow' },
        el('span', { class: 'row-title' }, el('span', { class: 'sr' }, t(out ? 'row.to' : 'row.from'), ' '), isolated(title)),
        el('span', { class: 'row-note' }, note.flatMap((part, index) => (index ? [' · ', part] : [part]))),
      ),
      el(
        'span',
        { class: 'figures' },
        el('span', { class: `figure ${tone}` }, money(directed(item.amount, item.direction), { sign: 'always' })),
        status ? el('span', { class: 'tag', dataset: { status: item.status } }, status) : null,
      ),
    ),
  );
}
