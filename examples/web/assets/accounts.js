// Balances, the account list, and opening another account.

import { Problem, SignedOut, all } from '/assets/api.js';
import { busy, byId, clearErrors, el, empty, failed, fill, icon, refuse, showErrors, skeleton, toast } from '/assets/dom.js';
import { has, isolated, language, t } from '/assets/i18n.js';
import { fit, format, money, totals } from '/assets/money.js';
import { once, unanswered } from '/assets/once.js';
import { openSheet } from '/assets/sheets.js';
import { accountLabel, emit, shortId, state } from '/assets/state.js';

const currencies = ['EUR', 'USD', 'GBP', 'CHF', 'JPY', 'SEK', 'NOK', 'DKK', 'PLN', 'CZK', 'CAD', 'AUD'];

export async function loadAccounts({ quiet = false } = {}) {
  const list = byId('accounts');
  if (!quiet) skeleton(list, 2);
  try {
    state.accounts = await all('/v1/accounts', { limit: 200 }); // the totals depend on all of them
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (!quiet) {
      byId('balance-total').replaceChildren('\u2014');
      failed(list, error, () => loadAccounts().catch(() => {}));
    }
    return;
  }
  render();
  emit('accounts');
}

function render() {
  const total = byId('balance-total');
  const [main, ...others] = totals(state.accounts.map((account) => account.balance));
  total.removeAttribute('aria-busy');
  if (main) fit(total, main);
  else total.replaceChildren('\u2014');
  byId('balance-others').replaceChildren(...others.map((sum) => el('li', {}, money(sum))));
  byId('send-open').hidden = state.accounts.length === 0;
  byId('hero-open').hidden = state.accounts.length > 0;
  byId('send-open').disabled = state.accounts.length === 0;

  fill(
    byId('accounts'),
    state.accounts.length
      ? state.accounts.map(card)
      : [empty('wallet', t('accounts.none'), t('accounts.none_text'))],
  );
}

const statusOf = ({ status }) => (has(`account.${status}`) ? t(`account.${status}`) : '');

function card(account) {
  const status = statusOf(account);
  return el(
    'li',
    {},
    el(
      'a',
      { class: 'row', href: `#account/${account.id}`, dataset: { account: account.id } },
      el('span', { class: 'medal currency', 'aria-hidden': 'true' }, account.currency),
      el(
        'span',
        { class: 'grow' },
        el('span', { class: 'row-title' }, isolated(accountLabel(account))),
        el('span', { class: 'row-note mono' }, shortId(account.id)),
        status ? el('span', { class: 'tag', dataset: { status: account.status } }, status) : null,
      ),
      el(
        'span',
        { class: 'figures beside' },
        el(
          'span',
          { class: 'figure', dataset: { balance: account.balance.amount, currency: account.currency } },
          money(account.balance),
        ),
        icon('next'),
      ),
    ),
  );
}

export function wireAccounts() {
  const dialog = byId('account-dialog');
  const form = byId('account-form');
  const names = new Intl.DisplayNames([language], { type: 'currency' });
  byId('account-currency').replaceChildren(
    ...currencies.map((code) => el('option', { value: code }, `${code}: ${names.of(code)}`)),
  );

  function open() {
    form.reset();
    clearErrors(form);
    const last = unanswered('account');
    if (last) {
      form.elements.currency.value = last.body.currency;
      form.elements.name.value = last.body.name ?? '';
      showErrors(form, { error: new Error(t('accounts.unanswered')) });
    }
    openSheet(dialog);
    byId('account-currency').focus();
  }
  for (const id of ['account-open', 'hero-open']) byId(id).addEventListener('click', open);

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    clearErrors(form);
    const currency = form.elements.currency.value;
    const name = form.elements.name.value.trim();
    busy(byId('account-create'), async () => {
      try {
        await once('account', '/v1/accounts', name ? { currency, name } : { currency });
        dialog.close();
        toast(t('accounts.opened', { currency }));
        await loadAccounts({ quiet: true });
        byId('send-open').focus();
      } catch (error) {
        if (error instanceof SignedOut) return;
        const known = error instanceof Problem && error.status < 500;
        if (known) refuse(form, error);
        else showErrors(form, { error: new Error(t('accounts.unanswered')) });
      }
    });
  });
}

/** What may be spent, where it is less than the balance. */
export const heldText = (account) =>
  account.available && account.available.amount !== account.balance.amount
    ? t('account.available', { amount: format(account.available) })
    : '';
