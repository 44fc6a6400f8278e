// The page: signed out or signed in, and which view.

import { endSession, SignedOut, whenSessionLost } from '/assets/api.js';
import { leaveAccount, refreshEntries, showAccount, wireAccount } from '/assets/account.js';
import { loadAccounts, wireAccounts } from '/assets/accounts.js';
import { loadActivity, resetActivity, wireActivity } from '/assets/activity.js';
import { busy, byId, skeleton, toast, wireDialogs } from '/assets/dom.js';
import { connect, disconnect } from '/assets/live.js';
import { announceEvent, loadNotifications, resetNotifications, wireNotifications } from '/assets/notifications.js';
import { clearOutcome, showOutcome } from '/assets/outcome.js';
import { resetSend, wireSend } from '/assets/send.js';
import { resume, showSignIn, signOut, wireSession } from '/assets/session.js';
import { on, state } from '/assets/state.js';
import { today } from '/assets/times.js';
import { halt, resumeStored, stored } from '/assets/transfer.js';

const signedInParts = ['live', 'notifications-open', 'sign-out'].map(byId);

function closeDialogs() {
  document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
}

/* Signed out */

function leave(reason, { focus = true } = {}) {
  disconnect();
  halt();
  closeDialogs();
  resetSend();
  resetActivity();
  clearOutcome();
  byId('toasts').replaceChildren();
  byId('app').hidden = true;
  signedInParts.forEach((part) => (part.hidden = true));
  byId('welcome').hidden = false;
  document.title = 'Reference Bank';
  history.replaceState(null, '', '/');
  showSignIn(reason);
  if (focus) byId('username').focus();
}

whenSessionLost(() => {
  if (byId('app').hidden && !byId('welcome').hidden) return;
  endSession();
  leave(
    stored()
      ? 'Your session has ended. Sign in again and we go on checking your last payment.'
      : 'Your session has ended. Sign in again to go on.',
  );
});

async function goodbye() {
  // First, so that nothing asks on behalf of a session that is going.
  disconnect();
  halt();
  clearTimeout(timer);
  waiting = false;
  try {
    await signOut();
  } catch {
    // Ended or not at the bank: this tab has forgotten it, and the page says which it is.
    return leave('You are signed out here, but the bank could not be told. Close the browser to be sure.');
  }
  leave('You are signed out.');
}

/* Signed in */

function enter(customer) {
  state.customer = customer;
  state.accounts = [];
  byId('welcome').hidden = true;
  byId('app').hidden = false;
  signedInParts.forEach((part) => (part.hidden = false));
  byId('home-title').textContent = `Hello, ${(customer.name || customer.username || '').split(' ')[0]}`;
  byId('home-date').textContent = today();
  resetNotifications();
  skeleton(byId('activity'), 4);
  refresh({ quiet: false });
  connect(changed);
  route();
  resumeStored();
}

/** Everything on the page again. The accounts come first: they decide what is incoming and what is outgoing. */
async function refresh({ quiet = true } = {}) {
  try {
    const inbox = loadNotifications();
    inbox.catch(() => {});
    await loadAccounts({ quiet });
    await Promise.all([loadActivity({ quiet }), quiet ? refreshEntries() : null, inbox]);
  } catch (error) {
    if (!(error instanceof SignedOut)) throw error;
  }
}

// Events come in bursts (a transfer and its notification); one refresh serves them, and none overlaps another.
let timer = null;
let waiting = false;
let refreshing = Promise.resolve();

function refreshSoon() {
  if (waiting) return;
  waiting = true;
  const run = () => {
    waiting = false;
    return state.customer && !byId('app').hidden ? refresh() : null;
  };
  timer = setTimeout(() => (refreshing = refreshing.then(run, run)), 120);
}

function changed(kind, data) {
  announceEvent(kind, data);
  refreshSoon();
}

on('transfer', (outcome) => {
  showOutcome(outcome);
  if (['completed', 'rejected', 'refused', 'pending'].includes(outcome.status)) refreshSoon();
});

/* Views: #home and #account/ID, so that Back works */

function route() {
  if (byId('app').hidden) return;
  const id = /^#account\/([\w-]+)$/.exec(location.hash)?.[1];
  byId('home').hidden = Boolean(id);
  byId('account-view').hidden = !id;
  closeDialogs();
  if (id) {
    showAccount(id);
    document.title = 'Account · Reference Bank';
    byId('account-title').focus();
  } else {
    leaveAccount();
    document.title = 'Reference Bank';
    byId('home-title').focus();
  }
  scrollTo(0, 0);
}

/* Start */

wireDialogs();
wireSession({ signedIn: enter });
wireAccounts();
wireAccount();
wireActivity();
wireNotifications();
wireSend();

// Views live in the hash, so the skip link must not.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  byId('main').focus();
});
addEventListener('hashchange', route);
addEventListener('online', () => state.customer && refreshSoon());
byId('sign-out').addEventListener('click', () => {
  if (stored()) byId('leave-dialog').showModal();
  else busy(byId('sign-out'), goodbye);
});
byId('leave-anyway').addEventListener('click', () => {
  byId('leave-dialog').close();
  goodbye();
});

try {
  const customer = await resume();
  if (customer) enter(customer);
  else leave('', { focus: false });
} catch (error) {
  if (!(error instanceof SignedOut)) {
    leave('', { focus: false });
    toast(error.message, 'error');
  } else if (byId('welcome').hidden) {
    leave('Your session has ended. Sign in again to go on.', { focus: false });
  }
}
