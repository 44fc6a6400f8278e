// Where one is signed in, and the password.

import { Problem, SignedOut, all, call } from '/assets/api.js';
import { busy, byId, clearErrors, complain, el, failed, fill, icon, refuse, required, showErrors, skeleton, toast } from '/assets/dom.js';
import { deviceOf, isPhone } from '/assets/device.js';
import { isolated, t } from '/assets/i18n.js';
import { isPassword } from '/assets/sign-in.js';
import { state } from '/assets/state.js';
import { momentOf } from '/assets/times.js';

const list = byId('sessions');
const endOthers = byId('sessions-end');
const form = byId('password-form');

export async function show() {
  // For password managers, which want to know whose password this is.
  form.elements.username.value = state.customer?.username ?? '';
  skeleton(list, 2);
  await load();
}

async function load() {
  try {
    const sessions = await all('/v1/sessions');
    sessions.sort((a, b) => Number(b.current) - Number(a.current) || (b.last_used_at > a.last_used_at ? 1 : -1));
    endOthers.hidden = sessions.length < 2;
    fill(list, sessions.map(row));
  } catch (error) {
    failed(list, error, show);
  }
}

function row(session) {
  return el(
    'li',
    { class: 'row', dataset: { session: session.id, current: String(Boolean(session.current)) } },
    el('span', { class: 'medal' }, icon(isPhone(session.user_agent) ? 'phone' : 'screen')),
    el(
      'span',
      { class: 'grow' },
      el('span', { class: 'row-title' }, deviceOf(session.user_agent)),
      el(
        'span',
        { class: 'row-note' },
        session.network ? [t('security.network'), ' ', isolated(session.network), ' · '] : null,
        t('security.last_used'),
        ' ',
        el('time', { datetime: session.last_used_at }, momentOf(session.last_used_at)),
      ),
      el('span', { class: 'row-note' }, t('security.since'), ' ', momentOf(session.created_at)),
    ),
    session.current
      ? el('span', { class: 'tag good' }, t('security.this'))
      : el(
          'button',
          { class: 'button small', type: 'button', onclick: (event) => busy(event.currentTarget, () => end(session)) },
          t('security.end'),
        ),
  );
}

async function end({ id }) {
  try {
    await call('DELETE', `/v1/sessions/${encodeURIComponent(id)}`).catch((error) => {
      if (error.status !== 404) throw error; // it is over already
    });
    toast(t('security.ended'));
    await load();
    byId('sessions-title').focus();
  } catch (error) {
    complain(error);
  }
}

endOthers.addEventListener('click', () =>
  busy(endOthers, async () => {
    try {
      await call('DELETE', '/v1/sessions');
      toast(t('security.others_ended'));
      await load();
      byId('sessions-title').focus();
    } catch (error) {
      complain(error);
    }
  }),
);

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const { current, new: wanted } = form.elements;
  clearErrors(form);
  const errors = required(form, { current: t('password.current_missing'), new: t('password.new_missing') });
  if (wanted.value && !isPassword(wanted.value)) errors.push({ field: 'new', message: t('field.password') });
  if (errors.length) return showErrors(form, { errors });
  busy(byId('password-change'), async () => {
    try {
      await call('PUT', '/v1/me/password', { body: { current: current.value, new: wanted.value } });
      form.reset();
      toast(t('password.changed'));
      await load();
    } catch (error) {
      if (error instanceof SignedOut) return;
      if (error instanceof Problem && error.code === 'wrong_password')
        showErrors(form, { errors: [{ field: 'current', message: t('password.wrong') }] });
      else refuse(form, error);
    }
  });
});
