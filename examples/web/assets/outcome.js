// The card that says what became of the payment just sent.

import { byId, el, icon, problemNodes, showErrors } from '/assets/dom.js';
import { format } from '/assets/money.js';
import { stored } from '/assets/transfer.js';

const reasons = {
  insufficient_funds: 'There is not enough money in the account.',
  unknown_account: 'The account to be paid does not exist, or is closed.',
  currency_mismatch: 'The two accounts are in different currencies.',
};

export const reasonText = (code) =>
  reasons[code] ?? (code ? `The bank's reason: ${code.replaceAll('_', ' ')}.` : 'The bank gave no reason.');

/** What a test, a style and a reader see: completed, pending, rejected or failed. */
const shown = {
  sending: 'pending',
  unknown: 'pending',
  pending: 'pending',
  scheduled: 'pending',
  completed: 'completed',
  rejected: 'rejected',
  refused: 'failed',
};

let last = '';

export function showOutcome({ entry, status, transfer, id, error }) {
  const card = byId('send-status');
  const kind = shown[status] ?? 'pending';
  const amount = format(entry.request.amount);
  const to = entry.details?.name || entry.request.to;
  const texts = {
    sending: [`Sending ${amount} to ${to}`, 'This takes a moment.'],
    unknown: [
      `Checking: ${amount} to ${to}`,
      'We do not know the outcome yet, checking… We ask with the same key each time, so it cannot be paid twice.',
    ],
    pending: [`On its way: ${amount} to ${to}`, 'The bank has the payment and is working on it.'],
    scheduled: [`Scheduled: ${amount} to ${to}`, 'The bank has the payment and will make it when it is due.'],
    completed: [`Sent: ${amount} to ${to}`, 'The payment is complete.'],
    rejected: [`Not sent: ${amount} to ${to}`, reasonText(transfer?.code)],
    refused: [`Not sent: ${amount} to ${to}`, null],
  };
  const [title, text] = texts[status] ?? [`${status}: ${amount} to ${to}`, ''];

  card.dataset.status = kind;
  card.dataset.phase = status;
  if (id) card.dataset.transferId = id;
  else delete card.dataset.transferId;
  lockSending();

  // The retries repeat themselves; a screen reader hears each state once.
  const signature = `${entry.key} ${status} ${id ?? ''}`;
  if (signature === last && !card.hidden) return;
  const first = card.hidden || !last.startsWith(entry.key);
  last = signature;

  card.replaceChildren(
    el(
      'span',
      { class: 'medal' },
      kind === 'pending'
        ? el('span', { class: 'spinner', 'aria-hidden': 'true' })
        : icon(kind === 'completed' ? 'check' : 'alert'),
    ),
    el(
      'div',
      { class: 'grow' },
      el('p', { class: 'strong' }, title),
      ...(text ? [el('p', { class: 'muted' }, text)] : problemNodes(error)),
      ...(error?.errors ?? []).map((each) => el('p', { class: 'muted' }, `${each.field}: ${each.message}`)),
    ),
    kind === 'pending' && status !== 'scheduled'
      ? ''
      : el(
          'button',
          { class: 'icon-button', type: 'button', 'aria-label': 'Dismiss', onclick: dismiss },
          icon('close'),
        ),
  );
  card.hidden = false;
  if (first) card.focus();
}

/** While one outcome is unknown no other payment starts: that is how people pay twice. */
export function lockSending() {
  const entry = stored();
  const locked = Boolean(entry && !entry.id);
  const button = byId('send-confirm');
  button.disabled = locked;
  if (locked)
    showErrors(byId('send-form'), {
      error: new Error('Your last payment is still being checked. The next one can go out once its outcome is known.'),
    });
  else byId('send-form').querySelector('.form-error').replaceChildren();
  byId('send-continue').disabled = locked;
}

export function clearOutcome() {
  const card = byId('send-status');
  card.hidden = true;
  card.replaceChildren();
  delete card.dataset.status;
  last = '';
}

function dismiss() {
  clearOutcome();
  byId('main').focus();
}
