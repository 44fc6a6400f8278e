// The page of somebody who is signed in.

import { SignedOut } from '/assets/api.js';
import { refreshAccount, wireAccount } from '/assets/account.js';
import { loadAccounts, wireAccounts } from '/assets/accounts.js';
import { loadActivity, resetActivity, wireActivity } from '/assets/activity.js';
import { remember } from '/assets/blank.js';
import { busy, byId } from '/assets/dom.js';
import { isolated, sentence } from '/assets/i18n.js';
import { connect, disconnect } from '/assets/live.js';
import { announceEvent, loadNotifications, resetNotifications, wireNotifications } from '/assets/notifications.js';
import { clearOutcome, showOutcome } from '/assets/outcome.js';
import { wireReveal } from '/assets/reveal.js';
import { resetSend, resumeDraft, wireSend } from '/assets/send.js';
import { closeSheets, openSheet, wireSheets } from '/assets/sheets.js';
import { on, state } from '/assets/state.js';
import { today } from '/assets/times.js';
import { halt, resumeStored, stored } from '/assets/transfer.js';
import { isSomewhere, leaveViews, route, showTabs } from '/assets/views.js';

const parts = ['app', 'live', 'notifications-open', 'security-open', 'sign-out'].map(byId);
let sayGoodbye = () => {};

export function enter(customer, { goodbye }) {
  sayGoodbye = goodbye;
  parts.forEach((part) => (part.hidden = false));
  const first = (customer.name || customer.username || '').split(' ')[0];
  byId('home-title').replaceChildren(...sentence('home.hello', { name: isolated(first) }));
  showDate();
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

/** Nothing asks, and nothing of the customer is in the page any more. A draft may be kept for their next session. */
export function leave({ keepDraft }) {
  hush();
  resetSend({ keepDraft });
  closeSheets();
  leaveViews();
  resetActivity();
  resetNotifications();
  clearOutcome();
  blank();
}

export const hasOpenPayment = () => Boolean(stored());

function hush() {
  disconnect();
  halt();
  clearTimeout(timer);
  clearInterval(clock);
  waiting = false;
}

/** First nothing asks any more on behalf of the session that is going. */
function goodbye() {
  hush();
  return sayGoodbye();
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
  if (document.hidden || !state.customer) return;
  turnOfDay();
  if (!stale) return;
  stale = false;
  refreshSoon();
});

// After midnight "Today" means another day, in the heading and in every list.
let clock = null;
let date = '';

function showDate() {
  date = today();
  byId('home-date').textContent = date;
  clearInterval(clock);
  clock = setInterval(turnOfDay, 20_000);
}

function turnOfDay() {
  if (date === today()) return;
  showDate();
  refreshSoon();
}

function changed(kind, data) {
  announceEvent(kind, data);
  refreshSoon();
}

on('transfer', (outcome) => {
  showOutcome(outcome);
  if (['completed', 'rejected', 'refused', 'pending'].includes(outcome.status)) refreshSoon();
});

wireSheets();
wireAccounts();
wireAccount();
wireActivity();
wireNotifications();
wireSend();
for (const id of ['password-current', 'password-new']) wireReveal(byId(id));
// Everything of a customer is in here. The header's own buttons are only hidden.
const blank = remember([...parts, byId('toasts'), byId('announcer'), ...document.querySelectorAll('dialog')]);

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
