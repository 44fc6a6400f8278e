// Payees to choose from: found ones as radio buttons, suggested ones as buttons.

import { el, icon } from '/assets/dom.js';
import { isolated, t } from '/assets/i18n.js';
import { shortId } from '/assets/state.js';

const label = ({ name, account, own }) => [
  el('span', { class: 'row-title' }, isolated(name || t('payee.account'))),
  el('span', { class: 'row-note' }, own ? `${t('payee.own')} · ` : '', el('span', { class: 'mono' }, shortId(account))),
];

/** The found payees; one of them may be selected. */
export function choices(box, payees, selected, onchange) {
  box.querySelectorAll('label').forEach((node) => node.remove());
  box.hidden = !payees.length;
  box.append(
    ...payees.map((each) =>
      el(
        'label',
        { class: 'choice' },
        el('input', {
          type: 'radio',
          name: 'payee',
          value: each.account,
          dataset: { account: each.account },
          onchange: () => onchange(each),
          checked: each.account === selected,
        }),
        el('span', { class: 'grow' }, label(each)),
        el('span', { class: 'tag' }, each.currency),
      ),
    ),
  );
}

/** { recent, own }: each group under its heading, where there is anybody in it. */
export function groups(box, all, pick) {
  const filled = Object.entries(all).filter(([, payees]) => payees.length);
  box.hidden = !filled.length;
  box.replaceChildren(
    ...filled.map(([name, payees]) =>
      el(
        'div',
        { role: 'group', 'aria-label': t(`payee.${name}_group`) },
        el('p', { class: 'hint', 'aria-hidden': 'true' }, t(`payee.${name}_group`)),
        el(
          'div',
          { class: 'pills' },
          payees.map((each) =>
            el(
              'button',
              { class: 'pill', type: 'button', dataset: { account: each.account }, onclick: () => pick(each) },
              icon(each.own ? 'wallet' : 'person'),
              el('span', { class: 'pill-name' }, isolated(each.name || shortId(each.account))),
              each.own ? el('span', { class: 'muted' }, each.account.slice(-4)) : null,
            ),
          ),
        ),
      ),
    ),
  );
}
