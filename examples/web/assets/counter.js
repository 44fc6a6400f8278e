// The counter: a teller finds a customer, pays cash in or out, and proposes to freeze an account.

import { Problem, SignedOut, get } from '/assets/api.js';
import { parseAmount } from '/assets/amount.js';
import { busy, byId, clearErrors, el, empty, failed, fill, idText, problemNodes, refuse, showErrors, toast } from '/assets/dom.js';
import { has, isolated, sentence, t } from '/assets/i18n.js';
import { format, money, read } from '/assets/money.js';
import { discard, once, unanswered } from '/assets/once.js';
import { openSheet } from '/assets/sheets.js';
import { accountLabel, shortId } from '/assets/state.js';

const search = byId('customer-form');
const form = byId('counter-form');
const dialog = byId('counter-dialog');
const open = byId('counter-open');
const isCash = (name) => ['deposit', 'withdraw'].includes(name);
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
    el('button', { class: 'button small', type: 'button', onclick: () => begin(name, customer, account) }, t(`counter.${name}`));
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

function begin(name, customer, account) {
  task = { name, account };
  form.reset();
  clearErrors(form);
  const moves = isCash(name);
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
  const last = unanswered(name);
  if (last) askAbout(last);
  else showForm();
  openSheet(dialog);
  focusFirst();
}

function showForm() {
  open.hidden = true;
  byId('counter-about').hidden = false;
  form.hidden = false;
}

/** What was not answered comes first: nobody books it a second time, or never, because it was forgotten. */
function askAbout({ path, body }, error = null) {
  byId('counter-about').hidden = true;
  form.hidden = true;
  open.hidden = false;
  const about = isCash(task.name)
    ? { amount: money(body.amount), account: el('code', {}, body.account) }
    : { account: el('code', {}, path.split('/').at(-2)) };
  byId('counter-open-text').replaceChildren(...sentence(`counter.open.${task.name}`, about));
  byId('counter-open-error').replaceChildren(...(error ? problemNodes(error) : []));
}

function focusFirst() {
  const first = open.hidden ? (isCash(task.name) ? 'counter-amount' : 'counter-reason') : 'counter-again';
  byId(first).focus();
}

const decimals = (account) =>
  read(account.balance?.amount)?.decimals ??
  new Intl.NumberFormat('en', { style: 'currency', currency: account.currency }).resolvedOptions().maximumFractionDigits;

/** { path, body } of what the form asks for; nothing where something is missing in it. */
function written({ name, account }) {
  if (!isCash(name)) {
    const reason = form.elements.reason.value.trim();
    if (reason) return { path: `/v1/accounts/${encodeURIComponent(account.id)}/${name}`, body: { reason } };
    return showErrors(form, { errors: [{ field: 'reason', message: t('counter.reason_missing') }] });
  }
  const parsed = parseAmount(form.elements.amount.value, decimals(account), account.currency);
  if (parsed.error) return showErrors(form, { errors: [{ field: 'amount', message: parsed.error }] });
  const amount = { amount: parsed.amount, currency: account.currency };
  const reference = form.elements.reference.value.trim();
  const body = { account: account.id, amount, ...(reference ? { reference } : {}) };
  return { path: name === 'deposit' ? '/v1/deposits' : '/v1/withdrawals', body };
}

async function send(name, { path, body }) {
  try {
    const { replayed } = await once(name, path, body);
    const amount = isCash(name) ? format(body.amount) : '';
    const done = isCash(name) ? `counter.${name}_done` : 'counter.proposed';
    toast(t(replayed ? `${done}_before` : done, { amount }), name === 'deposit' ? 'in' : name === 'withdraw' ? 'out' : 'info');
    dialog.close();
    await find();
  } catch (error) {
    if (error instanceof SignedOut) return;
    const last = unanswered(name);
    if (last) askAbout(last, error);
    else {
      showForm();
      refuse(form, error);
    }
  }
}

search.addEventListener('submit', (event) => {
  event.preventDefault();
  busy(byId('customer-find'), find);
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  clearErrors(form);
  busy(byId('counter-submit'), async () => {
    const command = written(task);
    if (!command) return;
    await send(task.name, command);
    if (dialog.open) focusFirst();
  });
});
byId('counter-again').addEventListener('click', (event) =>
  busy(event.currentTarget, () => send(task.name, unanswered(task.name))),
);
byId('counter-discard').addEventListener('click', () => {
  discard(task.name);
  showForm();
  focusFirst();
});
