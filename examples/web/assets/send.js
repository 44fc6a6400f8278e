// Send money: find the payee, say how much, look at it once more, send.

import { SignedOut } from '/assets/api.js';
import { busy, byId, clearErrors, el, showErrors } from '/assets/dom.js';
import { exceeds, format, parseInput, read } from '/assets/money.js';
import { findPayees } from '/assets/payees.js';
import { accountLabel, on, ownAccount, shortId, state } from '/assets/state.js';
import { lockSending } from '/assets/outcome.js';
import { submit } from '/assets/transfer.js';

let payees = [];
let searched = '';
let review = null;

const form = byId('send-form');
const fromAccount = () => ownAccount(byId('send-from').value);
const payee = () => payees.find((each) => each.account === chosen());
const chosen = () => form.querySelector('input[name="payee"]:checked')?.value;

function openDialog() {
  step('form');
  clearErrors(form);
  fillFrom();
  lockSending();
  byId('send-dialog').showModal();
  byId(payee() ? 'amount' : 'payee-query').focus();
}

function fillFrom() {
  const select = byId('send-from');
  const kept = select.value;
  select.replaceChildren(
    ...state.accounts.map((account) =>
      el('option', { value: account.id }, `${accountLabel(account)}: ${format(account.available)}`),
    ),
  );
  if (ownAccount(kept)) select.value = kept;
  showCurrency();
}

function showCurrency() {
  byId('amount-currency').textContent = fromAccount()?.currency ?? '';
}

async function find() {
  const query = byId('payee-query').value.trim();
  clearErrors(form);
  setPayees([], '');
  if (!query) return showErrors(form, { errors: [{ field: 'to', message: 'Enter a username or an account number.' }] });
  await busy(byId('payee-find'), async () => {
    try {
      const found = await findPayees(query);
      if (byId('payee-query').value.trim() !== query) return; // typed on meanwhile
      setPayees(found, query);
      if (!found.length) {
        showErrors(form, {
          errors: [
            {
              field: 'to',
              message: query.startsWith('acc_')
                ? 'No open account has this number.'
                : `No one here is called “${query}”.`,
            },
          ],
        });
      } else {
        (form.querySelector('input[name="payee"]:checked') ?? form.querySelector('input[name="payee"]')).focus();
      }
    } catch (error) {
      if (!(error instanceof SignedOut))
        showErrors(form, {
          errors: error.errors?.length
            ? [{ field: 'to', message: error.errors[0].message }]
            : [{ field: 'to', message: error.message }],
        });
    }
  });
}

function setPayees(found, query) {
  payees = found;
  searched = query;
  const box = byId('payee-results');
  box.querySelectorAll('label').forEach((node) => node.remove());
  box.hidden = !found.length;
  for (const each of found) {
    box.append(
      el(
        'label',
        { class: 'choice' },
        el('input', {
          type: 'radio',
          name: 'payee',
          value: each.account,
          dataset: { account: each.account },
          onchange: () => matchCurrency(each),
          checked: found.length === 1,
        }),
        el(
          'span',
          { class: 'grow' },
          el('span', { class: 'row-title' }, each.name || 'Account'),
          el('span', { class: 'row-note mono' }, shortId(each.account)),
        ),
        el('span', { class: 'tag' }, each.currency),
      ),
    );
  }
  if (found.length === 1) matchCurrency(found[0]);
}

/** Pays from an account in the payee's currency where there is one. */
function matchCurrency({ account, currency }) {
  if (fromAccount()?.currency === currency && fromAccount().id !== account) return;
  const fitting = state.accounts.find((own) => own.currency === currency && own.id !== account);
  if (fitting) byId('send-from').value = fitting.id;
  showCurrency();
}

async function toReview() {
  clearErrors(form);
  const query = byId('payee-query').value.trim();
  if (!payee() || searched !== query) {
    await find();
    // One match is shown and chosen, but not passed over: the name is there to be looked at.
    return;
  }
  const errors = [];
  const from = fromAccount();
  const to = payee();
  if (to.account === from.id) errors.push({ field: 'to', message: 'This is the account the money would come from.' });
  else if (to.currency && to.currency !== from.currency)
    errors.push({
      field: 'from',
      message: `The payee's account is in ${to.currency}. Choose one of yours in ${to.currency}.`,
    });
  const parsed = parseInput(byId('amount').value, read(from.balance.amount)?.decimals ?? 2);
  if (parsed.error) errors.push({ field: 'amount', message: parsed.error });
  if (errors.length) return showErrors(form, { errors });

  const reference = byId('reference').value.trim();
  review = {
    request: {
      from: from.id,
      to: to.account,
      amount: { amount: parsed.amount, currency: from.currency },
      ...(reference ? { reference } : {}),
    },
    details: { name: to.name },
  };
  const fact = (name, ...value) => el('div', {}, el('dt', {}, name), el('dd', {}, ...value));
  byId('review-amount').textContent = format(review.request.amount);
  byId('review-payee').replaceChildren('to ', el('strong', {}, to.name || 'account'));
  byId('review-facts').replaceChildren(
    fact('To account', el('code', {}, to.account)),
    fact('From', accountLabel(from)),
    fact('Reference', reference || '\u2014'),
  );
  const warning = byId('review-warning');
  warning.hidden = !exceeds(parsed.amount, from.available.amount);
  warning.textContent = `This is more than the ${format(from.available)} you have there. The bank will most likely not send it.`;
  step('review');
  byId('send-title').focus();
}

function step(name) {
  form.hidden = name !== 'form';
  byId('send-review').hidden = name !== 'review';
  byId('send-title').textContent = name === 'form' ? 'Send money' : 'Check and send';
}

export function resetSend() {
  form.reset();
  setPayees([], '');
  review = null;
  if (byId('send-dialog').open) byId('send-dialog').close();
}

export function wireSend() {
  byId('send-open').addEventListener('click', openDialog);
  byId('payee-find').addEventListener('click', find);
  byId('payee-query').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault(); // Enter in the search field searches
    find();
  });
  byId('send-from').addEventListener('change', showCurrency);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    toReview();
  });
  byId('send-back').addEventListener('click', () => {
    step('form');
    byId('amount').focus();
  });
  byId('send-confirm').addEventListener('click', () => {
    if (!review) return;
    const { request, details } = review;
    resetSend(); // the next one starts afresh, and a second click finds nothing to send
    submit(request, details);
  });
  on('accounts', () => {
    if (byId('send-dialog').open) fillFrom();
  });
}
