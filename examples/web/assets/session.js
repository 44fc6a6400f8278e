// Sign in, register, sign out.

import { Problem, SignedOut, beginSession, call, csrfToken, endSession, get, post } from '/assets/api.js';
import { busy, byId, clearErrors, showErrors } from '/assets/dom.js';
import { wait } from '/assets/times.js';
import { state } from '/assets/state.js';

const CUSTOMER = 'bank.customer';

/** The customer, if this tab has a session it may also write with. */
export async function resume() {
  // Without the CSRF token a cookie alone can only read, so such a tab signs in again; no need to ask the bank.
  if (!csrfToken()) return null;
  const customer = await get('/v1/me');
  // Another tab may have signed in as somebody else: the cookie is theirs now, the token here is not.
  const known = sessionStorage.getItem(CUSTOMER);
  if (known && known !== customer.id) {
    endSession();
    return null;
  }
  sessionStorage.setItem(CUSTOMER, customer.id);
  return customer;
}

export async function signOut() {
  try {
    await call('DELETE', '/v1/sessions/current');
  } catch (error) {
    if (!(error instanceof SignedOut)) throw error; // it had ended already, which is as good
  } finally {
    endSession();
    sessionStorage.clear();
    state.customer = null;
    state.accounts = [];
  }
}

/** Shows the sign-in page; `reason` says why one is back here. */
export function showSignIn(reason = '') {
  toggle(false);
  const note = byId('sign-in-reason');
  note.textContent = reason;
  note.hidden = !reason;
  byId('password').value = '';
}

function toggle(registering) {
  byId('sign-in-view').hidden = registering;
  byId('register-view').hidden = !registering;
  clearErrors(byId(registering ? 'register-form' : 'sign-in-form'));
}

export function wireSession({ signedIn }) {
  byId('show-register').addEventListener('click', () => {
    toggle(true);
    byId('register-name').focus();
  });
  byId('show-sign-in').addEventListener('click', () => {
    showSignIn();
    byId('username').focus();
  });

  async function open(username, password) {
    const session = await post('/v1/sessions', { username, password }, { anonymous: true });
    beginSession(session.csrf_token);
    sessionStorage.removeItem(CUSTOMER);
    const customer = await resume();
    for (const id of ['sign-in-form', 'register-form']) byId(id).reset();
    signedIn(customer);
  }

  byId('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    const { username, password } = form.elements;
    const errors = required(form, { username: 'Enter your username.', password: 'Enter your password.' });
    byId('sign-in-reason').hidden = true;
    if (errors.length) return showErrors(form, { errors });
    clearErrors(form);
    busy(byId('sign-in'), async () => {
      try {
        await open(username.value.trim(), password.value);
      } catch (error) {
        refuse(form, error);
      }
    });
  });

  byId('register-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    const { name, username, email, password } = form.elements;
    const errors = required(form, {
      name: 'Enter your name.',
      username: 'Choose a username.',
      email: 'Enter your email address.',
      password: 'Choose a password.',
    });
    if (email.value && !/^\S+@\S+$/.test(email.value))
      errors.push({ field: 'email', message: 'This does not look like an email address.' });
    if (errors.length) return showErrors(form, { errors });
    clearErrors(form);
    busy(byId('register'), async () => {
      const body = {
        username: username.value.trim(),
        password: password.value,
        name: name.value.trim(),
        email: email.value.trim(),
      };
      try {
        await post('/v1/customers', body, { anonymous: true });
      } catch (error) {
        if (error.status === 409)
          showErrors(form, { errors: [{ field: 'username', message: 'This username is taken. Choose another.' }] });
        else refuse(form, error);
        return;
      }
      try {
        await open(body.username, body.password);
      } catch {
        showSignIn('Your profile is ready. Sign in to go on.');
        byId('username').value = body.username;
        byId('password').focus();
      }
    });
  });
}

function required(form, messages) {
  return Object.entries(messages)
    .filter(([field]) => !form.elements.namedItem(field).value.trim())
    .map(([field, message]) => ({ field, message }));
}

function refuse(form, error) {
  if (!(error instanceof Problem)) return showErrors(form, { error });
  if (error.status === 401) {
    showErrors(form, {
      error: Object.assign(new Error('This username and password do not belong together.'), {
        instance: error.instance,
      }),
    });
    const password = form.elements.namedItem('password');
    password.select();
    password.focus();
  } else if (error.status === 429) {
    showErrors(form, {
      error: Object.assign(new Error(`Too many tries. Wait ${wait(error.retryAfter)}, then try again.`), {
        instance: error.instance,
      }),
    });
  } else {
    showErrors(form, { errors: error.errors, error });
  }
}
