// The little Markdown that the document is written in: headings, paragraphs, lists, blocks of code, and code in a line.

import { el } from '/assets/dom.js';

/** The sections of a text: [{ id, title, nodes }]. What comes before the first heading has no title. */
export function sections(text) {
  const all = [{ id: '', title: '', nodes: [] }];
  const lines = text.split('\n');
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) all.at(-1).nodes.push(block(paragraph));
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const heading = /^#+\s+(.*)$/.exec(line);
    if (line.startsWith('```')) {
      flush();
      const end = lines.findIndex((each, index) => index > at && each.startsWith('```'));
      all.at(-1).nodes.push(code(lines.slice(at + 1, end < 0 ? undefined : end).join('\n')));
      at = end < 0 ? lines.length : end;
    } else if (heading) {
      flush();
      all.push({ id: heading[1].toLowerCase().replace(/[^a-z0-9]+/g, '-'), title: heading[1], nodes: [] });
    } else if (line.trim()) paragraph.push(line);
    else flush();
  }
  flush();
  return all.filter(({ title, nodes }) => title || nodes.length);
}

/** A text without headings. */
export function prose(text) {
  if (!text) return null;
  return el(
    'div',
    { class: 'prose' },
    sections(text).flatMap(({ nodes }) => nodes),
  );
}

/** One line: what stands between backticks is code. */
export function inline(text) {
  return String(text)
    .split(/(`[^`]+`)/)
    .filter(Boolean)
    .map((piece) => (/^`.+`$/.test(piece) ? el('code', {}, piece.slice(1, -1)) : piece));
}

/** A block of code that the keyboard can scroll. */
export function code(text, label = 'Code') {
  return el('pre', { class: 'code', tabindex: '0', role: 'group', 'aria-label': label }, text);
}

function block(lines) {
  if (!lines.every((line) => /^(- |\s)/.test(line))) return el('p', {}, inline(lines.join(' ')));
  const items = lines.join('\n').split(/^- /m).filter(Boolean);
  return el(
    'ul',
    { class: 'bullets' },
    items.map((item) => el('li', {}, inline(item.replace(/\s+/g, ' ').trim()))),
  );
}
