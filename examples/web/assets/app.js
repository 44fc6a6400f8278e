// The page: signed out, or signed in. Whoever is signed out loads little; the bank itself is loaded with the first session.

import { SignedOut, endSession, mayHaveSession, whenSessionLost } from '/assets/api.js';
import { byId, complain } from '/assets/dom.js';
import { t, translate, wireLanguage } from '/assets/i18n.js';
import { part } from '/assets/part.js';
import { endWhatWasLeft, isLeaving, resume, signOut, watchSession } from '/assets/session.js';
import { showSignIn, wireSignIn } from '/assets/sign-in.js';
import { state } from '/assets/state.js';

let bank = null;
const loadBank = () => part(() => import('/assets/bank.js'));

async function enter(customer) {
  state.customer = customer;
  state.accounts = [];
  try {
    bank = await loadBank();
  } catch {
    state.customer = null;
    return leave(t('problem.unreachable'));
  }
  if (state.customer !== customer) return; // signed out meanwhile
  byId('welcome').hidden = true;
  bank.enter(customer, { goodbye });
}

function leave(reason, { focus = true, keepDraft = false } = {}) {
  bank?.leave({ keepDraft });
  state.customer = null;
  state.accounts = [];
  byId('toasts').replaceChildren();
  byId('welcome').hidden = false;
  document.title = t('title');
  history.replaceState(null, '', '/');
  showSignIn(reason);
  if (focus) byId('username').focus();
}

whenSessionLost(() => {
  if (!state.customer) return;
  const open = bank?.hasOpenPayment();
  endSession();
  leave(t(open ? 'left.ended_open' : 'left.ended'), { keepDraft: true });
});

async function goodbye() {
  try {
    await signOut();
  } catch {
    // Not ended at the bank: this tab has forgotten it all the same, and the page says which it is.
    leave(t('left.untold'));
    telling = setTimeout(tellLate, 10_000);
    return;
  }
  leave(t('left.signed_out'));
}

watchSession({
  /** Another tab signed in: nobody signs in twice. */
  async appeared() {
    try {
      const customer = await resume();
      if (customer && !state.customer) await enter(customer);
    } catch {
      // Then the form is still there.
    }
  },
  /** Another tab signed out. A payment whose outcome is open is looked after again with the next sign-in. */
  ended({ untold }) {
    endSession({ keepHint: untold });
    leave(t(untold ? 'left.untold' : 'left.elsewhere'), { focus: false });
    if (untold) tellLate(); // this tab may have a connection
  },
});

/** Tells the bank of a sign-out that it could not be told of, as soon as it can be reached. */
let telling = null;
async function tellLate() {
  clearTimeout(telling);
  if (state.customer) return;
  const note = byId('sign-in-reason');
  if (isLeaving() && !(await endWhatWasLeft())) telling = setTimeout(tellLate, 10_000);
  else if (note.textContent === t('left.untold')) note.textContent = t('left.signed_out');
}
addEventListener('online', tellLate);

translate();
wireLanguage(byId('language'));
wireSignIn({ signedIn: enter });
// Views live in the hash, so the skip link must not.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  byId('main').focus();
});

try {
  if (mayHaveSession()) loadBank().catch(() => {}); // side by side with the question whose session it is
  const wasLeaving = isLeaving();
  const customer = await resume();
  if (customer) await enter(customer);
  else leave(wasLeaving ? t('left.untold') : '', { focus: false });
  if (wasLeaving) tellLate();
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
