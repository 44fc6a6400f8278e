// Who would be paid, and the names of those one has dealt with.

import { Problem, SignedOut, get } from '/assets/api.js';
import { wait } from '/assets/times.js';

const NAMES = 'bank.names';
// Lookups are tightly limited, and the person's own searches come first: the page spends only a few on its own account.
let spare = 3;

const names = () => JSON.parse(sessionStorage.getItem(NAMES) ?? '{}');

export const nameOf = (account) => names()[account] || null;

export function rememberName(account, name) {
  sessionStorage.setItem(NAMES, JSON.stringify({ ...names(), [account]: name }));
}

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
    if (error.status === 429) error.message = `Too many searches. Wait ${wait(error.retryAfter)}, then try again.`;
    throw error;
  }
  const payees = (Array.isArray(data) ? data : (data?.items ?? (data?.account ? [data] : []))).filter(
    (payee) => payee.account,
  );
  for (const payee of payees) rememberName(payee.account, payee.name ?? '');
  return payees;
}

/** Learns a few of the names that are missing; true if any was new. Failing is fine: an account number is shown instead. */
export async function learnNames(accounts) {
  let learned = false;
  for (const account of new Set(accounts)) {
    if (spare === 0) break;
    if (account in names()) continue;
    spare -= 1;
    try {
      learned = (await findPayees(account)).length > 0 || learned;
      if (!(account in names())) rememberName(account, '');
    } catch (error) {
      if (error instanceof SignedOut) return false;
      spare = 0;
    }
  }
  return learned;
}
