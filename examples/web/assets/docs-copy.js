// A button that copies a text.

import { el } from '/assets/dom.js';

export function copyButton(label, text) {
  const button = el('button', { class: 'button small', type: 'button' }, label);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text());
      say('Copied');
    } catch {
      say('Not copied: the browser does not allow it');
    }
  });
  const say = (word) => {
    button.textContent = word;
    document.getElementById('announcer').textContent = word;
    setTimeout(() => (button.textContent = label), 2000);
  };
  return button;
}
