// Send money: choose the payee, say how much, look at it once more, send.

import { Problem, SignedOut } from '/assets/api.js';
import { parseAmount } from '/assets/amount.js';
import { choices, groups } from '/assets/choices.js';
import { busy, byId, clearErrors, el, fact, idText, showErrors } from '/assets/dom.js';
import { draft, dropDraft, saveDraft } from '/assets/draft.js';
import { isolated, sentence, t } from '/assets/i18n.js';
import { exceeds, format, isNegative, money, read, subtract } from '/assets/money.js';
import { lockSending } from '/assets/outcome.js';
import { findPayees, ownPayees, recentPayees } from '/assets/payees.js';
import { wordsOf } from '/assets/problems.js';
import { openSheet } from '/assets/sheets.js';
import { accountLabel, on, ownAccount, shortId, state } from '/assets/state.js';
import { submit } from '/assets/transfer.js';

let payees = [];
let searched = '';
let review = null;
// The account to pay from, which may be asked for before the accounts are there.
let preferred = null;

const form = byId('send-form');
const dialog = byId('send-dialog');
const fromAccount = () => ownAccount(byId('send-from').value);
const chosen = () => form.querySelector('input[name="payee"]:checked')?.value;
const payee = () => payees.find((each) => each.account === chosen());

/** `wish` fills in what is known already: { payee, from, amount, reference }. */
function openDialog(wish = null) {
  step('form');
  clearErrors(form);
  fillFrom();
  const kept = wish ?? draft();
  if (kept) take(kept);
  lockSending();
  suggest();
  openSheet(dialog);
  byId(payee() ? 'amount' : 'payee-query').focus();
}

function take({ payee: to, query = '', from, amount = '', reference = '' }) {
  byId('payee-query').value = query;
  byId('amount').value = amount;
  byId('reference').value = reference;
  setPayees(to ? [to] : [], query, to?.account);
  preferred = from ?? null;
  if (ownAccount(from)) byId('send-from').value = from;
  showCurrency();
}

function keep() {
  saveDraft({
    payee: payee() ?? null,
    query: byId('payee-query').value,
    from: byId('send-from').value,
    amount: byId('amount').value,
    reference: byId('reference').value,
    open: dialog.open,
  });
}

/** Those paid lately and one's own accounts, to choose from without a search. */
async function suggest() {
  const own = ownPayees();
  groups(byId('payee-suggestions'), { own }, pick);
  try {
    groups(byId('payee-suggestions'), { recent: await recentPayees(), own }, pick);
  } catch {
    // Nothing is missing that a search would not find.
  }
}

function pick(each) {
  byId('payee-query').value = '';
  clearErrors(form);
  setPayees([each], '', each.account);
  keep();
  byId('amount').focus();
}

function fillFrom() {
  const select = byId('send-from');
  const kept = preferred ?? select.value;
  select.replaceChildren(
    ...state.accounts
      .filter((account) => account.status === 'open')
      .map((account) =>
        el(
          'option',
          { value: account.id },
          // An option takes no elements, so the name is isolated by characters.
          `\u2068${accountLabel(account)}\u2069 (${account.id.slice(-4)}): ${format(account.available)}`,
        ),
      ),
  );
  if (ownAccount(kept)) select.value = kept;
  showCurrency();
}

function showCurrency() {
  byId('amount-currency').textContent = fromAccount()?.currency ?? '';
  showRest();
}

const decimals = (account) => read(account.balance.amount)?.decimals ?? 2;

/** What would be left, while one types. */
function showRest() {
  const from = fromAccount();
  const typed = byId('amount').value;
  const { amount } = from && typed ? parseAmount(typed, decimals(from), from.currency) : {};
  const rest = amount ? subtract(from.available, amount) : null;
  byId('amount-rest').replaceChildren(...(rest && !isNegative(rest) ? sentence('send.rest', { amount: money(rest) }) : []));
}

async function find() {
  const query = byId('payee-query').value.trim();
  clearErrors(form);
  setPayees([], '');
  if (!query) return showErrors(form, { errors: [{ field: 'to', message: t('payee.missing') }] });
  await busy(byId('payee-find'), async () => {
    try {
      const found = await findPayees(query);
      if (byId('payee-query').value.trim() !== query) return; // typed on meanwhile
      setPayees(found, query, found.length === 1 ? found[0].account : null);
      if (!found.length) {
        const key = query.startsWith('acc_') ? 'payee.no_account' : 'payee.no_user';
        showErrors(form, { errors: [{ field: 'to', message: t(key, { query }) }] });
      } else {
        (form.querySelector('input[name="payee"]:checked') ?? form.querySelector('input[name="payee"]')).focus();
      }
    } catch (error) {
      if (error instanceof SignedOut) return;
      const wrong = error instanceof Problem && [400, 422].includes(error.status);
      showErrors(form, { errors: [{ field: 'to', message: wrong ? t('payee.unreadable') : wordsOf(error) }] });
    }
  });
}

function setPayees(found, query, selected) {
  payees = found;
  searched = query;
  choices(byId('payee-results'), found, selected, (each) => {
    matchCurrency(each);
    keep();
  });
  const only = found.find((each) => each.account === selected);
  if (only) matchCurrency(only);
}

/** Pays from an account in the payee's currency where there is one. */
function matchCurrency({ account, currency }) {
  const from = fromAccount();
  if (!currency || (from?.currency === currency && from.id !== account)) return;
  const fitting = state.accounts.find((own) => own.currency === currency && own.id !== account && own.status === 'open');
  if (fitting) byId('send-from').value = fitting.id;
  showCurrency();
}

async function toReview() {
  clearErrors(form);
  const from = fromAccount();
  if (!from) return showErrors(form, { errors: [{ field: 'from', message: t('send.none_open') }] });
  const query = byId('payee-query').value.trim();
  if (!payee() || searched !== query) {
    await find();
    // One match is shown and chosen, but not passed over: the name is there to be looked at.
    return;
  }
  const errors = [];
  const to = payee();
  if (to.account === from.id) errors.push({ field: 'to', message: t('payee.same') });
  else if (to.currency && to.currency !== from.currency)
    errors.push({ field: 'from', message: t('send.currency', { currency: to.currency }) });
  const parsed = parseAmount(byId('amount').value, decimals(from), from.currency);
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
  byId('review-amount').replaceChildren(money(review.request.amount));
  byId('review-payee').replaceChildren(
    ...sentence('send.to', { name: el('strong', {}, isolated(to.name || shortId(to.account))) }),
  );
  byId('review-facts').replaceChildren(
    fact(t('send.to_account'), idText(to.account)),
    fact(t('send.from'), isolated(accountLabel(from))),
    fact(t('detail.reference'), reference ? isolated(reference) : '\u2014'),
  );
  const warning = byId('review-warning');
  warning.hidden = !exceeds(parsed.amount, from.available.amount);
  warning.replaceChildren(...sentence('send.too_much', { amount: money(from.available) }));
  step('review');
  byId('send-title').focus();
}

function step(name) {
  form.hidden = name !== 'form';
  byId('send-review').hidden = name !== 'review';
  byId('send-title').textContent = t(name === 'form' ? 'send.title' : 'send.check');
}

/** A session that ended keeps its draft for the next; everything else starts afresh. */
export function resetSend({ keepDraft = false } = {}) {
  if (!keepDraft) dropDraft();
  else if (dialog.open) keep();
  form.reset();
  setPayees([], '');
  review = null;
  preferred = null;
  if (dialog.open) dialog.close();
}

/** Goes on with the payment that was open when the last session ended, or when the page was loaded anew. */
export function resumeDraft() {
  if (draft()?.open) openDialog();
}

export function wireSend() {
  byId('send-open').addEventListener('click', () => openDialog());
  byId('payee-find').addEventListener('click', find);
  byId('payee-query').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault(); // Enter in the search field searches
    find();
  });
  form.addEventListener('input', keep);
  byId('amount').addEventListener('input', showRest);
  byId('send-from').addEventListener('change', () => {
    preferred = null;
    showCurrency();
  });
  dialog.addEventListener('close', () => {
    const kept = draft();
    if (kept) saveDraft({ ...kept, open: false });
  });
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
    if (!dialog.open || form.hidden) return;
    fillFrom();
    if (payee()) matchCurrency(payee());
    suggest();
  });
  on('send-from', (from) => openDialog({ from }));
  on('send-again', ({ account, counterparty, amount, reference }) =>
    openDialog({
      payee: { account: counterparty.account, name: counterparty.name ?? '', currency: amount.currency },
      from: account,
      reference: reference ?? '',
    }),
  );
}
