// Who can be paid: by search, among those paid lately, and one's own accounts.

import { Problem, get, page } from '/assets/api.js';
import { t } from '/assets/i18n.js';
import { accountLabel, ownAccount, state } from '/assets/state.js';
import { wait } from '/assets/times.js';

/** Exact matches for a username or an account number; [] where there is none. */
export async function findPayees(query) {
  const byAccount = query.startsWith('acc_');
  const path = byAccount
    ? `/v1/payees/${encodeURIComponent(query)}`
    : `/v1/payees?username=${encodeURIComponent(query)}`;
  let data;
  try {
    data = await get(path);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 404) return [];
    if (error.status === 429) throw new Error(t('payee.too_many', { time: wait(error.retryAfter) }));
    throw error;
  }
  const found = byAccount ? [data] : (data?.items ?? []);
  return found.filter((payee) => payee?.account);
}

/** Those whom one has paid lately, newest first, each once. It needs no search, and says nothing that one did not know. */
export async function recentPayees() {
  const { items } = await page('/v1/activity', null, { direction: 'out', limit: 50 });
  const recent = new Map();
  for (const { kind, counterparty, amount, status } of items) {
    const account = counterparty?.account;
    if (kind !== 'transfer' || status === 'rejected' || !account || ownAccount(account) || recent.has(account)) continue;
    recent.set(account, { account, name: counterparty.name ?? '', currency: amount.currency });
  }
  return [...recent.values()].slice(0, 4);
}

/** One's own accounts that money can be moved to: another of the same currency exists. */
export function ownPayees() {
  const open = state.accounts.filter((account) => account.status === 'open');
  return open
    .filter((account) => open.some((other) => other.id !== account.id && other.currency === account.currency))
    .map((account) => ({ account: account.id, name: accountLabel(account), currency: account.currency, own: true }));
}
