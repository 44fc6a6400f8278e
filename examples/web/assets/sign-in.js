// The forms of somebody who is not signed in.

import { Problem, post } from '/assets/api.js';
import { busy, byId, clearErrors, refuse, required, showErrors } from '/assets/dom.js';
import { t } from '/assets/i18n.js';
import { wireReveal } from '/assets/reveal.js';
import { CookieNotKept, signIn } from '/assets/session.js';
import { wait } from '/assets/times.js';

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

/** Counted as the bank counts, which composes letters and their accents first. */
export function isPassword(text) {
  const { length } = [...text.normalize('NFC')];
  return length >= 10 && length <= 128;
}

export function wireSignIn({ signedIn }) {
  byId('show-register').addEventListener('click', () => {
    toggle(true);
    byId('register-name').focus();
  });
  byId('show-sign-in').addEventListener('click', () => {
    showSignIn();
    byId('username').focus();
  });
  for (const id of ['password', 'register-password']) wireReveal(byId(id));

  async function open(username, password) {
    const customer = await signIn(username, password);
    for (const id of ['sign-in-form', 'register-form']) byId(id).reset();
    signedIn(customer);
  }

  const isOwn = ({ username, password }) =>
    open(username, password).then(
      () => true,
      () => false,
    );

  byId('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    const { username, password } = form.elements;
    const errors = required(form, { username: t('sign_in.username_missing'), password: t('sign_in.password_missing') });
    byId('sign-in-reason').hidden = true;
    if (errors.length) return showErrors(form, { errors });
    clearErrors(form);
    busy(byId('sign-in'), async () => {
      try {
        await open(username.value.trim(), password.value);
      } catch (error) {
        turnedAway(form, error);
      }
    });
  });

  byId('register-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    const { name, username, email, password } = form.elements;
    const errors = required(form, {
      name: t('register.name_missing'),
      username: t('register.username_missing'),
      email: t('register.email_missing'),
      password: t('register.password_missing'),
    });
    if (email.value && !/^\S+@\S+$/.test(email.value)) errors.push({ field: 'email', message: t('field.email') });
    if (password.value && !isPassword(password.value)) errors.push({ field: 'password', message: t('field.password') });
    if (errors.length) return showErrors(form, { errors });
    clearErrors(form);
    const body = {
      username: username.value.trim(),
      password: password.value,
      name: name.value.trim(),
      email: email.value.trim(),
    };
    busy(byId('register'), async () => {
      try {
        await post('/v1/customers', body, { anonymous: true });
      } catch (error) {
        if (error.status !== 409) return refuse(form, error);
        // The profile may be from an earlier try whose answer was lost: then it is theirs, and this password is its own.
        if (await isOwn(body)) return;
        return showErrors(form, { errors: [{ field: 'username', message: t('register.taken') }] });
      }
      try {
        await open(body.username, body.password);
      } catch (error) {
        showSignIn(t('register.ready'));
        byId('username').value = body.username;
        byId('password').focus();
        if (error instanceof CookieNotKept) turnedAway(byId('sign-in-form'), error);
      }
    });
  });
}

function turnedAway(form, error) {
  if (error instanceof CookieNotKept) {
    // Without TLS the bank's cookie is for this machine alone.
    const far = location.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
    return showErrors(form, { error: new Error(t(far ? 'sign_in.cookie_http' : 'sign_in.cookie')) });
  }
  if (error instanceof Problem && error.status === 401) {
    showErrors(form, { error: new Error(t('sign_in.wrong')) });
    byId('password').select();
    byId('password').focus();
  } else if (error instanceof Problem && error.status === 429) {
    showErrors(form, { error: new Error(t('sign_in.too_many', { time: wait(error.retryAfter) })) });
  } else {
    refuse(form, error);
  }
}
