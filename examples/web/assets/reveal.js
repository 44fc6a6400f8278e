// A password that can be looked at while it is typed, and the hint that Caps Lock is on.

import { el } from '/assets/dom.js';
import { t } from '/assets/i18n.js';

export function wireReveal(input) {
  const hint = el('p', { class: 'hint', role: 'status' });
  const button = el('button', { class: 'reveal', type: 'button', 'aria-controls': input.id });
  const set = (shown) => {
    input.type = shown ? 'text' : 'password';
    button.textContent = t(shown ? 'password.hide' : 'password.show');
    button.setAttribute('aria-pressed', String(shown));
  };
  button.addEventListener('click', () => {
    set(input.type === 'password');
    input.focus();
  });
  input.form.addEventListener('submit', () => set(false));
  input.form.addEventListener('reset', () => set(false));
  for (const event of ['keydown', 'keyup'])
    input.addEventListener(event, (key) => {
      const capitals = key.getModifierState?.('CapsLock');
      if (capitals !== undefined) hint.textContent = capitals ? t('password.caps') : '';
    });
  const box = el('div', { class: 'affix' });
  input.replaceWith(box);
  box.append(input, button);
  box.after(hint);
  set(false);
}
