// Who is signed in: one session for all tabs of a browser. Tabs tell each other when it begins and when it ends.

import {
  SignedOut,
  beginSession,
  call,
  currentSession,
  endSession,
  get,
  mayHaveSession,
  post,
  secondsSinceAnswer,
  show,
} from '/assets/api.js';
import { state } from '/assets/state.js';
import { browser, tab } from '/assets/store.js';

// Somebody signed out, and the bank does not know yet.
const LEAVING = 'bank.leaving';
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('bank-session') : null;

/** After a sign-in that the bank accepted the browser sent no cookie: it did not keep it. */
export class CookieNotKept extends Error {}

/** The customer whom the cookie is of: { id, username, name, roles }; null where nobody is signed in in this browser. */
export async function resume() {
  if (!mayHaveSession()) return null;
  if (!isLeaving()) return identify();
  await endWhatWasLeft();
  return null;
}

export const isLeaving = () => browser.get(LEAVING) !== null;

let ending = null;

/** Ends the session of somebody who signed out while the bank could not be told; whether it has ended now. */
export function endWhatWasLeft() {
  ending ??= endCookie()
    .then(
      () => true,
      () => false,
    )
    .then((ended) => {
      ending = null;
      if (ended) endSession();
      return ended;
    });
  return ending;
}

async function endCookie() {
  try {
    await call('DELETE', '/v1/sessions/current', { anyone: true });
  } catch (error) {
    if (!(error instanceof SignedOut)) throw error; // it had ended already, which is as good
  }
  browser.remove(LEAVING);
}

async function identify() {
  const [session, me] = await Promise.all([
    currentSession(),
    get('/v1/me').catch((error) => {
      if (error instanceof SignedOut) throw error;
      return {}; // that a name is missing keeps nobody from their money
    }),
  ]);
  const { username, name, customer } = session;
  if (me.id && customer && me.id !== customer) return identify(); // somebody signed in between the two answers
  show(customer ?? me.id);
  return { username, name, roles: [], ...me, id: customer ?? me.id };
}

export async function signIn(username, password) {
  if (isLeaving()) await endWhatWasLeft(); // as long as the cookie is still that one
  const session = await post('/v1/sessions', { username, password }, { anonymous: true });
  browser.remove(LEAVING);
  beginSession(session.csrf_token);
  try {
    const customer = await identify();
    channel?.postMessage({ kind: 'signed-in', customer: customer.id });
    return customer;
  } catch (error) {
    if (!(error instanceof SignedOut)) throw error;
    endSession();
    throw new CookieNotKept();
  }
}

/**
 * Ends what the cookie holds, whoever signed in last in this browser, and with it every tab's session. Where the bank
 * cannot be told, all tabs forget the customer all the same, and the next page that is open ends the session.
 */
export async function signOut() {
  let untold = true;
  browser.set(LEAVING, true);
  try {
    await endCookie();
    untold = false;
  } finally {
    forget({ keepHint: untold });
    channel?.postMessage({ kind: 'signed-out', untold });
  }
}

/** This tab lets go of everything it has of a customer. */
function forget({ keepHint }) {
  endSession({ keepHint });
  tab.clear();
  state.customer = null;
  state.accounts = [];
}

/** `appeared` when another tab signed in while nobody is shown here; `ended` when another tab signed out. */
export function watchSession({ appeared, ended }) {
  channel?.addEventListener('message', ({ data }) => {
    const shown = state.customer?.id;
    if (data.kind === 'signed-out' && shown) ended(data);
    if (data.kind !== 'signed-in') return;
    if (!shown) appeared();
    else if (shown !== data.customer) location.reload();
  });
  // A tab that slept may have missed it. The answer says whose the cookie is now.
  const look = () => {
    if (document.hidden || !state.customer || secondsSinceAnswer() < 10) return;
    currentSession().catch(() => {});
  };
  document.addEventListener('visibilitychange', look);
  addEventListener('pageshow', (event) => event.persisted && location.reload());
}
