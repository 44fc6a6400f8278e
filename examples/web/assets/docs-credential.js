// Who calls from this page. The tokens are in this page's memory and nowhere else: a reload forgets them.

import * as api from '/assets/api.js';
import { byId } from '/assets/dom.js';

let session = null;

/** The access token, renewed where it is about to end; nothing where nobody has signed in here. */
export async function accessToken() {
  if (session?.refresh && Date.now() > session.until) await renew();
  return session?.access ?? null;
}

/** The CSRF token of the session that this tab has with the bank, beside the cookie that the page cannot see. */
export async function csrfToken() {
  try {
    return (await api.csrfToken?.()) ?? null;
  } catch {
    return null;
  }
}

export function wireCredential() {
  byId('credential-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = byId('credential-sign-in');
    byId('credential-error').textContent = '';
    button.disabled = true;
    try {
      await signIn(byId('credential-username').value.trim(), byId('credential-password').value);
    } catch (error) {
      byId('credential-error').textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  byId('credential-sign-out').addEventListener('click', signOut);
  byId('bearer').addEventListener('input', () => {
    const token = byId('bearer').value.trim();
    session = token ? { access: token } : null;
    show();
  });
  show();
}

async function signIn(username, password) {
  const tokens = await ask('/v1/sessions', { username, password });
  keep(tokens, username);
  byId('credential-password').value = '';
  show();
  byId('credential-sign-out').focus();
}

async function renew() {
  const { refresh, username } = session;
  try {
    keep(await ask('/v1/sessions/refresh', { refresh_token: refresh }), username);
  } catch {
    session = null;
    show();
  }
}

async function signOut() {
  const token = session?.access;
  session = null;
  byId('bearer').value = '';
  show();
  byId('credential-username').focus();
  // The bank forgets the session by itself where this does not arrive.
  await fetch('/v1/sessions/current', {
    method: 'DELETE',
    headers: { Authorization: `Bearer ${token}` },
    credentials: 'omit',
  }).catch(() => {});
}

function keep(tokens, username) {
  const early = 15;
  const until = Date.now() + (tokens.expires_in - early) * 1000;
  session = { access: tokens.access_token, refresh: tokens.refresh_token, until, username };
}

// Without cookies: the session that this browser has with the bank stays as it is.
async function ask(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      cache: 'no-store',
    });
  } catch {
    throw new Error('The bank cannot be reached. Check your connection.');
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (answer.code === 'invalid_credentials') throw new Error('The user name or the password is wrong.');
  throw new Error(answer.detail ?? `The bank refused this (${response.status}).`);
}

async function show() {
  const isNamed = Boolean(session?.username);
  byId('credential-form').hidden = isNamed;
  byId('credential-session').hidden = !isNamed;
  byId('credential-token').hidden = isNamed;
  byId('credential-name').textContent = session?.username ?? '';
  const other = session ? 'Calls carry the access token below.' : (await csrfToken()) ? 'Calls use the session of this tab.' : '';
  byId('credential-state').textContent = isNamed
    ? 'The token is kept in this page only. Reloading forgets it.'
    : other || 'The token stays in this page’s memory.';
}
