// What one member of staff proposed and another has to approve.

import { all, page, post } from '/assets/api.js';
import { busy, byId, complain, copyable, el, empty, failed, fill, skeleton, toast } from '/assets/dom.js';
import { has, isolated, t } from '/assets/i18n.js';
import { money } from '/assets/money.js';
import { reasonText } from '/assets/problems.js';
import { shortId, state } from '/assets/state.js';
import { momentOf } from '/assets/times.js';

const PATH = '/v1/approvals';
const list = byId('approvals');
const decided = byId('approvals-decided');

export async function show() {
  skeleton(list, 2);
  byId('approvals-decided-part').hidden = true;
  await load();
}

async function load() {
  try {
    const [open, latest] = await Promise.all([all(PATH, { status: 'open' }), page(PATH, null, { limit: 25 })]);
    const past = latest.items.filter((each) => each.status !== 'open');
    fill(list, open.length ? open.map(row) : [empty('check', t('approvals.none'), t('approvals.none_text'))]);
    fill(decided, past.map(row));
    byId('approvals-decided-part').hidden = !past.length;
  } catch (error) {
    failed(list, error, show);
  }
}

const isOwn = ({ proposed_by: by }) => by?.id === state.customer?.id;
const kindText = ({ kind }) => t(has(`approval.${kind}`) ? `approval.${kind}` : 'approval.other');
const nameOf = (person) => isolated(person?.name || shortId(person?.id));

/** Who did it and when. */
const by = (label, person, at) => el('span', { class: 'row-note' }, t(label), ' ', nameOf(person), at ? [' · ', momentOf(at)] : null);

function row(approval) {
  const { account, posting, moves = [], decided_by: decider } = approval;
  const about = account ?? posting;
  return el(
    'li',
    { class: 'row', dataset: { approval: approval.id, status: approval.status } },
    el(
      'span',
      { class: 'grow' },
      el('span', { class: 'row-title' }, kindText(approval)),
      el('span', { class: 'block' }, isolated(approval.reason ?? '')),
      moves.map(({ account: moved, amount }) =>
        el('span', { class: 'block', dataset: { moved } }, el('code', {}, shortId(moved)), ' ', money(amount, { sign: 'always' })),
      ),
      about ? copyable(about, t(account ? 'account.number' : 'approvals.posting')) : null,
      by('approvals.by', approval.proposed_by, approval.proposed_at),
      decider ? by('approvals.decided_by', decider, approval.decided_at) : null,
      approval.status === 'failed' ? el('span', { class: 'row-note' }, reasonText(approval.code)) : null,
    ),
    end(approval),
  );
}

/** What can be done about it, or what became of it. */
function end(approval) {
  const { status } = approval;
  if (status !== 'open') return el('span', { class: 'tag', dataset: { status } }, statusText(approval));
  if (isOwn(approval)) return el('span', { class: 'tag' }, t('approvals.own'));
  const act = (verb, style) =>
    el(
      'button',
      { class: `button small ${style}`, type: 'button', onclick: (event) => busy(event.currentTarget, () => decide(approval, verb)) },
      t(`approvals.${verb}`),
    );
  return el('span', { class: 'actions' }, act('approve', 'primary'), act('reject', ''));
}

const statusText = ({ status }) => t(has(`approvals.${status}`) ? `approvals.${status}` : 'approvals.decided_somehow');

async function decide(approval, verb) {
  try {
    const now = await post(`${PATH}/${encodeURIComponent(approval.id)}/${verb}`);
    if (now.status === 'failed') toast(`${t('approvals.failed')}: ${reasonText(now.code)}`, 'error');
    else toast(statusText(now));
  } catch (error) {
    complain(error); // somebody else may have been faster: the list says what became of it
  }
  await load();
  byId('approvals-title').focus();
}
