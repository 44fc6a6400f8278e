// The page: signed out or signed in, and which view.

import { SignedOut, endSession, whenSessionLost } from '/assets/api.js';
import { refreshAccount, wireAccount } from '/assets/account.js';
import { loadAccounts, wireAccounts } from '/assets/accounts.js';
import { loadActivity, resetActivity, wireActivity } from '/assets/activity.js';
import { busy, byId, complain } from '/assets/dom.js';
import { dropDraft } from '/assets/draft.js';
import { isolated, sentence, t, translate, wireLanguage } from '/assets/i18n.js';
import { connect, disconnect } from '/assets/live.js';
import { announceEvent, loadNotifications, resetNotifications, wireNotifications } from '/assets/notifications.js';
import { clearOutcome, showOutcome } from '/assets/outcome.js';
import { resetSend, resumeDraft, wireSend } from '/assets/send.js';
import { resume, signOut, watchSession } from '/assets/session.js';
import { closeSheets, openSheet, wireSheets } from '/assets/sheets.js';
import { showSignIn, wireSignIn } from '/assets/sign-in.js';
import { on, state } from '/assets/state.js';
import { today } from '/assets/times.js';
import { halt, resumeStored, stored } from '/assets/transfer.js';
import { isSomewhere, leaveViews, route, showTabs } from '/assets/views.js';

const signedInParts = ['live', 'notifications-open', 'security-open', 'sign-out'].map(byId);

/* Signed out */

function leave(reason, { focus = true, keepDraft = false } = {}) {
  disconnect();
  halt();
  clearTimeout(timer);
  waiting = false;
  resetSend({ keepDraft });
  closeSheets();
  leaveViews();
  resetActivity();
  clearOutcome();
  state.customer = null;
  state.accounts = [];
  byId('toasts').replaceChildren();
  byId('app').hidden = true;
  signedInParts.forEach((part) => (part.hidden = true));
  byId('welcome').hidden = false;
  document.title = t('title');
  history.replaceState(null, '', '/');
  showSignIn(reason);
  if (focus) byId('username').focus();
}

whenSessionLost(() => {
  if (!state.customer) return;
  const open = stored();
  endSession();
  leave(t(open ? 'left.ended_open' : 'left.ended'), { keepDraft: true });
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
    return leave(t('left.untold'));
  }
  leave(t('left.signed_out'));
}

/** Another tab signed out. A payment whose outcome is open is looked after again with the next sign-in. */
function endedElsewhere() {
  endSession();
  dropDraft();
  leave(t('left.elsewhere'), { focus: false });
}

/** Another tab signed in: nobody signs in twice. */
async function appeared() {
  try {
    const customer = await resume();
    if (customer && !state.customer) enter(customer);
  } catch {
    // Then the form is still there.
  }
}

/* Signed in */

function enter(customer) {
  state.customer = customer;
  state.accounts = [];
  byId('welcome').hidden = true;
  byId('app').hidden = false;
  signedInParts.forEach((part) => (part.hidden = false));
  const first = (customer.name || customer.username || '').split(' ')[0];
  byId('home-title').replaceChildren(...sentence('home.hello', { name: isolated(first) }));
  byId('home-date').textContent = today();
  showTabs(customer.roles);
  resetNotifications();
  refresh({ quiet: false });
  connect(customer.id, changed);
  if (!isSomewhere() && customer.roles.includes('teller')) history.replaceState(null, '', '#counter');
  else if (!isSomewhere() && customer.roles.includes('auditor')) history.replaceState(null, '', '#books');
  route();
  resumeStored();
  resumeDraft();
}

/** Everything on the page again. */
async function refresh({ quiet = true } = {}) {
  try {
    const loads = [loadAccounts({ quiet }), loadNotifications(), quiet ? refreshAccount() : null];
    loads.forEach((load) => load?.catch(() => {})); // each is awaited below, whichever fails first
    // Rows name accounts, so those come first.
    await loads[0];
    await Promise.all([...loads, loadActivity({ quiet })]);
  } catch (error) {
    if (!(error instanceof SignedOut)) throw error;
  }
}

// Events come in bursts (a transfer and its notification); one refresh serves them, and none overlaps another. What nobody
// looks at is refreshed when somebody does.
let timer = null;
let waiting = false;
let stale = false;
let refreshing = Promise.resolve();

function refreshSoon() {
  if (document.hidden) {
    stale = true;
    return;
  }
  if (waiting) return;
  waiting = true;
  const run = () => {
    waiting = false;
    return state.customer ? refresh() : null;
  };
  timer = setTimeout(() => (refreshing = refreshing.then(run, run)), 120);
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden || !stale) return;
  stale = false;
  if (state.customer) refreshSoon();
});

function changed(kind, data) {
  announceEvent(kind, data);
  refreshSoon();
}

on('transfer', (outcome) => {
  showOutcome(outcome);
  if (['completed', 'rejected', 'refused', 'pending'].includes(outcome.status)) refreshSoon();
});
on('refresh', refreshSoon);

/* Start */

translate();
wireLanguage(byId('language'));
wireSheets();
wireSignIn({ signedIn: enter });
watchSession({ appeared, ended: endedElsewhere });
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
addEventListener('hashchange', () => state.customer && route());
addEventListener('online', () => state.customer && refreshSoon());
byId('sign-out').addEventListener('click', () => {
  if (stored()) openSheet(byId('leave-dialog'));
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
  // A session that is over is told at sign-in; all else leaves the hint, so that a reload tries again.
  if (error instanceof SignedOut) {
    endSession();
    leave(t('left.ended'), { focus: false, keepDraft: true });
  } else {
    leave('', { focus: false, keepDraft: true });
    complain(error);
  }
}
