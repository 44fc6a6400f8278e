// Balances, the account list, and opening another account.

import { SignedOut, page, post } from '/assets/api.js';
import { busy, byId, clearErrors, el, empty, failed, fill, icon, showErrors, skeleton, toast } from '/assets/dom.js';
import { format, totals } from '/assets/money.js';
import { accountLabel, emit, moneyOf, shortId, state } from '/assets/state.js';

const currencies = ['EUR', 'USD', 'GBP', 'CHF', 'JPY', 'SEK', 'NOK', 'DKK', 'PLN', 'CZK', 'CAD', 'AUD'];

export async function loadAccounts({ quiet = false } = {}) {
  const list = byId('accounts');
  if (!quiet) skeleton(list, 2);
  try {
    // Everything, since the totals and the direction of a transfer depend on all of them.
    let accounts = [];
    let after = null;
    do {
      const { items, next } = await page('/v1/accounts', after, 200);
      accounts = accounts.concat(items);
      after = next;
    } while (after);
    state.accounts = accounts.map((account) => ({
      ...account,
      balance: moneyOf(account.balance, account.currency),
      available: moneyOf(account.available ?? account.balance, account.currency),
    }));
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
  total.replaceChildren(main ? format(main) : '\u2014');
  byId('balance-others').replaceChildren(...others.map((sum) => el('li', {}, format(sum))));
  byId('send-open').disabled = state.accounts.length === 0;

  const open = () => byId('account-open').click();
  fill(
    byId('accounts'),
    state.accounts.length
      ? state.accounts.map(card)
      : [
          empty(
            'wallet',
            'No account yet',
            'Open one to hold money and be paid.',
            el('button', { class: 'button primary', type: 'button', onclick: open }, 'Open an account'),
          ),
        ],
  );
}

function card(account) {
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
        el('span', { class: 'row-title' }, accountLabel(account)),
        el('span', { class: 'row-note mono' }, shortId(account.id)),
        account.status && account.status !== 'open' && account.status !== 'active'
          ? el('span', { class: 'tag' }, account.status)
          : null,
      ),
      el(
        'span',
        { class: 'figure', dataset: { balance: account.balance.amount, currency: account.currency } },
        format(account.balance),
      ),
      icon('next'),
    ),
  );
}

export function wireAccounts() {
  const dialog = byId('account-dialog');
  const form = byId('account-form');
  const names = new Intl.DisplayNames(undefined, { type: 'currency' });
  byId('account-currency').replaceChildren(
    ...currencies.map((code) => el('option', { value: code }, `${code}: ${names.of(code)}`)),
  );

  byId('account-open').addEventListener('click', () => {
    form.reset();
    clearErrors(form);
    dialog.showModal();
    byId('account-currency').focus();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    clearErrors(form);
    const currency = form.elements.currency.value;
    const name = form.elements.name.value.trim();
    busy(byId('account-create'), async () => {
      try {
        await post('/v1/accounts', name ? { currency, name } : { currency });
        dialog.close();
        toast(`Your ${currency} account is open`);
        await loadAccounts({ quiet: true });
        byId('send-open').focus();
      } catch (error) {
        if (!(error instanceof SignedOut)) showErrors(form, { errors: error.errors, error });
      }
    });
  });
}
