// The details of one movement, in a sheet.

import { get } from '/assets/api.js';
import { byId, complain, copyable, el, fact } from '/assets/dom.js';
import { isolated, sentence, t } from '/assets/i18n.js';
import { directed, money } from '/assets/money.js';
import { reasonText } from '/assets/problems.js';
import { counterparty, isEnded, isWaiting, statusText } from '/assets/row.js';
import { openSheet } from '/assets/sheets.js';
import { accountLabel, emit, ownAccount } from '/assets/state.js';
import { fullTime } from '/assets/times.js';

/** A transfer of the bank in the form of a row, for where only its id is known. */
async function fromTransfer(id) {
  const transfer = await get(`/v1/transfers/${encodeURIComponent(id)}`);
  const out = transfer.direction === 'out';
  return {
    ...transfer,
    kind: 'transfer',
    transfer: transfer.id,
    account: out ? transfer.from : transfer.to,
    counterparty: { account: out ? transfer.to : transfer.from },
    at: transfer.created_at,
  };
}

export async function openTransfer(id, known = {}) {
  try {
    const item = await fromTransfer(id);
    item.counterparty.name = known.counterparty?.name;
    openDetails(item);
  } catch (error) {
    complain(error);
  }
}

export function openDetails(item) {
  const dialog = byId('detail-dialog');
  const out = item.direction === 'out';
  const name = counterparty(item);
  byId('detail-title').replaceChildren(...sentence(out ? 'detail.to' : 'detail.from', { name }));
  const own = ownAccount(item.account);
  const other = item.counterparty ?? {};
  const why = el('dd', {});
  byId('detail').replaceChildren(
    el(
      'p',
      { class: `review-amount ${isEnded(item) ? 'void' : isWaiting(item) ? 'waiting' : ''}` },
      money(directed(item.amount, item.direction), { sign: 'always' }),
    ),
    el(
      'dl',
      { class: 'facts' },
      fact(t('detail.status'), statusText(item) || t('status.completed')),
      item.status === 'rejected' ? el('div', {}, el('dt', {}, t('detail.why')), why) : '',
      item.reference ? fact(t('detail.reference'), isolated(item.reference)) : '',
      fact(t('detail.when'), fullTime(item.at)),
      item.expires_at && isWaiting(item) ? fact(t('detail.until'), fullTime(item.expires_at)) : '',
      own ? fact(t('detail.own'), isolated(accountLabel(own))) : '',
      other.account || other.name
        ? fact(
            t(out ? 'row.to' : 'row.from'),
            ...(name ? [el('span', { class: 'block' }, isolated(name))] : []),
            ...(other.account ? [copyable(other.account, t('account.number'))] : []),
          )
        : '',
      item.balance_after ? fact(t('detail.balance_after'), money(item.balance_after)) : '',
      fact(t('detail.id'), copyable(item.transfer ?? item.id, t('detail.id'))),
    ),
    out && item.kind === 'transfer' && other.account
      ? el(
          'button',
          {
            class: 'button block',
            type: 'button',
            onclick: () => {
              dialog.close();
              emit('send-again', item);
            },
          },
          t('detail.again'),
        )
      : '',
  );
  explain(item, why);
  openSheet(dialog);
  byId('detail-title').focus();
}

/** A list does not say why a payment was refused; the payment does. */
async function explain(item, node) {
  if (item.status !== 'rejected') return;
  if (item.code || !item.transfer) return node.replaceChildren(reasonText(item.code));
  node.textContent = '…';
  const transfer = await get(`/v1/transfers/${encodeURIComponent(item.transfer)}`).catch(() => ({}));
  node.textContent = reasonText(transfer.code);
}
