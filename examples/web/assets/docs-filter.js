// The search box: keeps the calls that have every word in them.

import { byId } from '/assets/dom.js';

export function wireFilter(operations) {
  const words = operations.map(({ id, method, path, operation }) => ({
    id,
    text: [
      id,
      method,
      path,
      operation.summary,
      operation.description,
      operation.tags,
      JSON.stringify(operation.security ?? ''),
      JSON.stringify(operation['x-bank-access'] ?? ''),
    ]
      .join(' ')
      .toLowerCase(),
  }));
  const apply = () => {
    const sought = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { id, text } of words) {
      const match = sought.every((word) => text.includes(word));
      byId(id).hidden = !match;
      byId('toc').querySelector(`[data-for="${CSS.escape(id)}"]`).hidden = !match;
      count += match;
    }
    document
      .querySelectorAll('.group, .toc-group')
      .forEach((group) => (group.hidden = !group.querySelector('article:not([hidden]), li:not([hidden])')));
    // Who looks for a call does not want to read past the guide.
    document.querySelectorAll('#guide, #schemas, .toc-guide').forEach((part) => (part.hidden = sought.length > 0));
    byId('filter-count').textContent = sought.length
      ? `${count} of ${words.length} calls`
      : `${words.length} calls. Press / to search.`;
  };
  byId('filter').oninput = apply;
  byId('filter').onchange = apply;
  apply();
}

addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches('input, textarea, select')) return;
  event.preventDefault();
  byId('filter').focus();
});
