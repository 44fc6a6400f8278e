// What one member of staff proposed and another has to approve.

import { all, post } from '/assets/api.js';
import { busy, byId, complain, copyable, el, empty, failed, fill, skeleton, toast } from '/assets/dom.js';
import { has, isolated, t } from '/assets/i18n.js';
import { state } from '/assets/state.js';
import { momentOf } from '/assets/times.js';

const list = byId('approvals');

export async function show() {
  skeleton(list, 2);
  await load();
}

async function load() {
  try {
    const approvals = await all('/v1/approvals');
    fill(
      list,
      approvals.length ? approvals.map(row) : [empty('check', t('approvals.none'), t('approvals.none_text'))],
    );
  } catch (error) {
    failed(list, error, show);
  }
}

const isOwn = ({ proposed_by: by }) => by?.id === state.customer?.id;
const kindText = ({ kind }) => (has(`approval.${kind}`) ? t(`approval.${kind}`) : kind);

function row(approval) {
  const open = ['open', 'pending', 'proposed'].includes(approval.status);
  const about = approval.account ?? approval.posting;
  const by = approval.proposed_by;
  const act = (verb, style) =>
    el(
      'button',
      { class: `button small ${style}`, type: 'button', onclick: (event) => busy(event.currentTarget, () => decide(approval, verb)) },
      t(`approvals.${verb}`),
    );
  return el(
    'li',
    { class: 'row', dataset: { approval: approval.id, status: approval.status } },
    el(
      'span',
      { class: 'grow' },
      el('span', { class: 'row-title' }, kindText(approval)),
      el('span', { class: 'block' }, isolated(approval.reason ?? '')),
      about ? copyable(about, t(approval.account ? 'account.number' : 'approvals.posting')) : null,
      el('span', { class: 'row-note' }, t('approvals.by'), ' ', isolated(by?.name ?? ''), ' · ', momentOf(approval.proposed_at)),
    ),
    !open
      ? el('span', { class: 'tag', dataset: { status: approval.status } }, has(`approvals.${approval.status}`) ? t(`approvals.${approval.status}`) : approval.status)
      : isOwn(approval)
        ? el('span', { class: 'tag' }, t('approvals.own'))
        : el('span', { class: 'actions' }, act('approve', 'primary'), act('reject', '')),
  );
}

async function decide(approval, verb) {
  try {
    await post(`/v1/approvals/${encodeURIComponent(approval.id)}/${verb}`);
    toast(t(`approvals.${verb}_done`));
    await load();
    byId('approvals-title').focus();
  } catch (error) {
    complain(error);
  }
}
