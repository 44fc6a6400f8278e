// One account: its balance, its number to give to others, what moved, and the way to its statements.

import { SignedOut, get } from '/assets/api.js';
import { heldText } from '/assets/accounts.js';
import { byId, copyable, failed } from '/assets/dom.js';
import { Feed } from '/assets/feed.js';
import { isolated, t } from '/assets/i18n.js';
import { fit } from '/assets/money.js';
import { accountLabel, emit, on, ownAccount } from '/assets/state.js';

let feed = null;
let shown = null;

export async function showAccount(id) {
  shown = id;
  byId('account-balance').replaceChildren();
  byId('account-available').textContent = '';
  byId('account-title').textContent = t('account.title');
  byId('account-id').replaceChildren(copyable(id, t('account.number')));
  byId('account-statement').href = `#statement/${id}`;
  byId('account-send').hidden = true;
  byId('account-statement').hidden = true;
  feed.reset();
  feed.account = id;
  head(ownAccount(id));
  try {
    if (!ownAccount(id)) head(await get(`/v1/accounts/${encodeURIComponent(id)}`));
    if (shown === id) await feed.load();
  } catch (error) {
    if (shown !== id || error instanceof SignedOut) return;
    if (error.status === 404) byId('account-title').textContent = t('account.unknown');
    failed(byId('entries'), error, () => showAccount(id));
  }
}

function head(account) {
  if (!account || account.id !== shown) return;
  byId('account-title').replaceChildren(isolated(accountLabel(account)));
  fit(byId('account-balance'), account.balance);
  byId('account-available').textContent = heldText(account);
  byId('account-statement').hidden = false;
  byId('account-send').hidden = account.status !== 'open';
}

/** What is shown again; no account is: nothing. */
export async function refreshAccount() {
  if (shown) await feed.load({ quiet: true });
}

export function leaveAccount() {
  shown = null;
  feed.reset();
}

export function wireAccount() {
  feed = new Feed('entries');
  on('accounts', () => head(ownAccount(shown)));
  byId('account-send').addEventListener('click', () => emit('send-from', shown));
}
