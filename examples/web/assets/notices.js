// The words for a notification, which itself carries data only.

import { has, sentence, t } from '/assets/i18n.js';
import { money } from '/assets/money.js';
import { reasonText } from '/assets/problems.js';
import { accountLabel, ownAccount, shortId } from '/assets/state.js';

/** How it feels: money came, money went, something went wrong, or something is merely so. */
const tones = {
  transfer_received: 'in',
  deposit: 'in',
  reversal_received: 'in',
  capture_received: 'in',
  transfer_sent: 'out',
  withdrawal: 'out',
  reversal_sent: 'out',
  capture_sent: 'out',
  transfer_rejected: 'error',
};

export const toneOf = ({ kind }) => tones[kind] ?? (/reject|refus|fail/.test(kind) ? 'error' : 'info');

function nameOf(notice) {
  const { counterparty } = notice;
  const own = ownAccount(counterparty?.account);
  if (own) return accountLabel(own);
  if (counterparty?.name) return counterparty.name;
  if (counterparty?.account) return shortId(counterparty.account);
  return t(toneOf(notice) === 'in' ? 'notice.from_somebody' : 'notice.to_somebody');
}

export function titleOf(notice) {
  const key = has(`notice.${notice.kind}`) ? `notice.${notice.kind}` : 'notice.other';
  const amount = notice.amount ? money(notice.amount) : '';
  return sentence(key, { amount, name: nameOf(notice) });
}

/** What else there is to say: the reason of a refusal, or what the payer wrote. */
export function noteOf(notice) {
  if (toneOf(notice) === 'error') return [reasonText(notice.code)];
  return notice.reference ? sentence('notice.reference', { reference: notice.reference }) : [];
}
