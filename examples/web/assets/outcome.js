// The card that says what became of the payment just sent.

import { byId, el, icon, problemNodes, showErrors } from '/assets/dom.js';
import { has, sentence, t } from '/assets/i18n.js';
import { money } from '/assets/money.js';
import { fieldWords, reasonText, wordsOf } from '/assets/problems.js';
import { shortId } from '/assets/state.js';
import { stored } from '/assets/transfer.js';

/** What a test, a style and a reader see: completed, pending, rejected or failed. */
const kinds = {
  sending: 'pending',
  unknown: 'pending',
  pending: 'pending',
  scheduled: 'pending',
  completed: 'completed',
  rejected: 'rejected',
  refused: 'failed',
};
const settled = new Set(['completed', 'rejected', 'refused', 'scheduled']);
// Good news needs no answer.
const GOOD_NEWS = 10_000;

let last = '';
let current = null;
let timer = null;

/** Whether the card says what this notification says. */
export function isShown({ kind, transfer, amount }) {
  if (!current || !/_(sent|rejected)$/.test(kind)) return false;
  if (current.id) return current.id === transfer;
  return current.entry.request.amount.amount === amount?.amount;
}

/** What there is to say about fields that the problem itself does not say. */
const fieldNotes = (error) =>
  [...new Set((error?.errors ?? []).map(({ field }) => fieldWords(field, error)))].filter((words) => words !== wordsOf(error));

export function showOutcome(outcome) {
  const { entry, status, transfer, id, error } = outcome;
  const card = byId('send-status');
  const kind = kinds[status] ?? 'pending';
  const values = { amount: money(entry.request.amount), name: entry.details?.name || shortId(entry.request.to) };
  const title = sentence(has(`outcome.${status}`) ? `outcome.${status}` : 'outcome.pending', values);
  current = outcome;

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

  const text = status === 'rejected' ? reasonText(transfer?.code) : t(`outcome.${status}.text`);
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
      ...(status === 'refused' ? problemNodes(error) : [el('p', { class: 'muted' }, text)]),
      ...fieldNotes(error).map((words) => el('p', { class: 'muted' }, words)),
    ),
    settled.has(status)
      ? el(
          'button',
          { class: 'icon-button', type: 'button', 'aria-label': t('dismiss'), onclick: dismiss },
          icon('close'),
        )
      : '',
  );
  card.hidden = false;
  if (first) card.focus();
  clearTimeout(timer);
  if (status === 'completed') timer = setTimeout(dismiss, GOOD_NEWS);
}

/** While one outcome is unknown no other payment starts: that is how people pay twice. */
export function lockSending() {
  const entry = stored();
  const locked = Boolean(entry && !entry.id);
  byId('send-confirm').disabled = locked;
  byId('send-continue').disabled = locked;
  if (locked) showErrors(byId('send-form'), { error: new Error(t('outcome.locked')) });
  else byId('send-form').querySelector('.form-error').replaceChildren();
}

export function clearOutcome() {
  const card = byId('send-status');
  clearTimeout(timer);
  card.hidden = true;
  card.replaceChildren();
  delete card.dataset.status;
  last = '';
  current = null;
}

/** Another view: what is settled was said. What is not yet stays in sight. */
export function leaveOutcome() {
  if (current && settled.has(current.status)) clearOutcome();
}

function dismiss() {
  const held = byId('send-status').contains(document.activeElement);
  clearOutcome();
  if (held) byId('main').focus({ preventScroll: true });
}
