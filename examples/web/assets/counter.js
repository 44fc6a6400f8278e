// The counter: a teller finds a customer, pays cash in or out, and proposes to freeze an account.

import { Problem, SignedOut, get, post } from '/assets/api.js';
import { parseAmount } from '/assets/amount.js';
import { busy, byId, clearErrors, el, empty, failed, fill, idText, refuse, showErrors, toast } from '/assets/dom.js';
import { has, isolated, sentence, t } from '/assets/i18n.js';
import { format, money, read } from '/assets/money.js';
import { once } from '/assets/once.js';
import { wordsOf } from '/assets/problems.js';
import { openSheet } from '/assets/sheets.js';
import { accountLabel, shortId } from '/assets/state.js';

const search = byId('customer-form');
const form = byId('counter-form');
const dialog = byId('counter-dialog');
let task = null;

async function find() {
  const query = search.elements.query.value.trim();
  clearErrors(search);
  if (!query) return showErrors(search, { errors: [{ field: 'query', message: t('counter.query_missing') }] });
  const name = query.startsWith('acc_') ? 'account' : 'username';
  try {
    const { items } = await get(`/v1/staff/customers?${new URLSearchParams({ [name]: query })}`);
    fill(byId('customers'), items.length ? items.map(card) : [empty('person', t('counter.none'), t('counter.none_text'))]);
  } catch (error) {
    if (error instanceof Problem && [404, 422].includes(error.status))
      return fill(byId('customers'), [empty('person', t('counter.none'), t('counter.none_text'))]);
    failed(byId('customers'), error, find);
  }
}

function card(customer) {
  return el(
    'li',
    { class: 'customer', dataset: { customer: customer.id } },
    el('h2', {}, isolated(customer.name || customer.username), ' ', el('span', { class: 'muted' }, isolated(customer.username))),
    el('ul', {}, (customer.accounts ?? []).map((account) => accountRow(customer, account))),
  );
}

function accountRow(customer, account) {
  const frozen = account.status === 'frozen';
  const action = (name) =>
    el('button', { class: 'button small', type: 'button', onclick: () => open(name, customer, account) }, t(`counter.${name}`));
  return el(
    'li',
    { class: 'row', dataset: { account: account.id } },
    el('span', { class: 'medal currency', 'aria-hidden': 'true' }, account.currency),
    el(
      'span',
      { class: 'grow' },
      el('span', { class: 'row-title' }, isolated(accountLabel(account)), account.balance ? [' · ', money(account.balance)] : null),
      el('span', { class: 'row-note mono' }, shortId(account.id)),
      has(`account.${account.status}`) ? el('span', { class: 'tag', dataset: { status: account.status } }, t(`account.${account.status}`)) : null,
    ),
    account.status === 'closed'
      ? null
      : el('span', { class: 'actions' }, ['deposit', 'withdraw', frozen ? 'unfreeze' : 'freeze'].map(action)),
  );
}

function open(name, customer, account) {
  task = { name, account };
  form.reset();
  clearErrors(form);
  const moves = ['deposit', 'withdraw'].includes(name);
  byId('counter-dialog-title').textContent = t(`counter.${name}`);
  byId('counter-about').replaceChildren(
    isolated(customer.name || customer.username),
    ' · ',
    isolated(accountLabel(account)),
    ' · ',
    idText(account.id),
  );
  byId('counter-amount-field').hidden = !moves;
  byId('counter-reference-field').hidden = !moves;
  byId('counter-reason-field').hidden = moves;
  byId('counter-note').hidden = moves;
  byId('counter-currency').textContent = account.currency;
  byId('counter-submit').textContent = t(moves ? `counter.${name}` : 'counter.propose');
  openSheet(dialog);
  byId(moves ? 'counter-amount' : 'counter-reason').focus();
}

const decimals = (account) =>
  read(account.balance?.amount)?.decimals ??
  new Intl.NumberFormat('en', { style: 'currency', currency: account.currency }).resolvedOptions().maximumFractionDigits;

async function cash({ name, account }) {
  const parsed = parseAmount(form.elements.amount.value, decimals(account), account.currency);
  if (parsed.error) return showErrors(form, { errors: [{ field: 'amount', message: parsed.error }] });
  const amount = { amount: parsed.amount, currency: account.currency };
  const reference = form.elements.reference.value.trim();
  const body = { account: account.id, amount, ...(reference ? { reference } : {}) };
  await once(name, name === 'deposit' ? '/v1/deposits' : '/v1/withdrawals', body);
  toast(t(`counter.${name}_done`, { amount: format(amount) }), name === 'deposit' ? 'in' : 'out');
  dialog.close();
}

async function propose({ name, account }) {
  const reason = form.elements.reason.value.trim();
  if (!reason) return showErrors(form, { errors: [{ field: 'reason', message: t('counter.reason_missing') }] });
  await post(`/v1/accounts/${encodeURIComponent(account.id)}/${name}`, { reason });
  toast(sentence('counter.proposed', {}));
  dialog.close();
}

search.addEventListener('submit', (event) => {
  event.preventDefault();
  busy(byId('customer-find'), find);
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  clearErrors(form);
  busy(byId('counter-submit'), async () => {
    try {
      await (form.elements.reason.closest('.field').hidden ? cash(task) : propose(task));
      if (!dialog.open) await find();
    } catch (error) {
      if (error instanceof SignedOut) return;
      if (error instanceof Problem && error.status < 500) refuse(form, error);
      else showErrors(form, { error: new Error(`${wordsOf(error)} ${t('counter.once')}`) });
    }
  });
});
