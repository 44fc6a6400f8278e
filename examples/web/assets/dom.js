// Building the page. Text only ever enters as text nodes, which is also what Trusted Types asks for.

import { Problem, SignedOut } from '/assets/api.js';
import { t } from '/assets/i18n.js';
import { fieldWords, requestOf, wordsOf } from '/assets/problems.js';

export const byId = (id) => document.getElementById(id);

/** el('p', { class: 'muted', dataset: { x: 1 }, onclick: f }, 'text', node, …) */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'dataset') Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Grey shapes where rows will be. */
export function skeleton(list, rows = 3) {
  list.setAttribute('aria-busy', 'true');
  list.replaceChildren(
    ...Array.from({ length: rows }, () =>
      el(
        'li',
        { class: 'row', 'aria-hidden': 'true' },
        el('span', { class: 'bone bone-dot' }),
        el('span', { class: 'grow' }, el('span', { class: 'bone' }), el('span', { class: 'bone bone-short' })),
      ),
    ),
  );
}

export function fill(list, nodes) {
  list.removeAttribute('aria-busy');
  list.replaceChildren(...nodes);
}

export function empty(name, title, text, action) {
  return el(
    'li',
    { class: 'empty' },
    el('span', { class: 'medal' }, icon(name)),
    el('p', { class: 'strong' }, title),
    el('p', { class: 'muted' }, text),
    action,
  );
}

/** A list that could not be loaded, with a way to try again. */
export function failed(list, error, retry) {
  if (error instanceof SignedOut) return;
  fill(list, [
    el(
      'li',
      { class: 'empty' },
      el('span', { class: 'medal warn' }, icon('alert')),
      el('div', { role: 'alert' }, ...problemNodes(error)),
      el('button', { class: 'button small', type: 'button', onclick: retry }, t('try_again')),
    ),
  ]);
}

/** What went wrong, and in small print what support would ask for. */
export function problemNodes(error) {
  const request = requestOf(error);
  return [
    el('p', { class: 'strong' }, wordsOf(error)),
    request ? el('p', { class: 'small-print' }, t('request'), ' ', el('code', {}, request)) : null,
  ].filter(Boolean);
}

/** Says that something asked for did not work; nothing where the session has ended, which is said by itself. */
export function complain(error) {
  if (!(error instanceof SignedOut)) toast(wordsOf(error), 'error');
}

/** Shows messages at the fields they are about; the rest goes to the form's alert. Focuses the first wrong field. */
export function showErrors(form, { errors = [], error = null }) {
  clearErrors(form);
  const rest = [];
  let first = null;
  for (const { field, message } of errors) {
    const input = form.elements.namedItem(field);
    if (!(input instanceof HTMLElement)) {
      rest.push(message);
      continue;
    }
    const id = `${input.id}-error`;
    const described = (input.getAttribute('aria-describedby') ?? '').split(' ').filter((name) => name && name !== id);
    input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', [id, ...described].join(' '));
    input.closest('.field').append(el('p', { class: 'field-error', id }, message));
    first ??= input;
  }
  const alert = form.querySelector('.form-error');
  if (error && (!errors.length || rest.length)) alert.replaceChildren(...problemNodes(error));
  for (const message of rest) alert.append(el('p', {}, message));
  first?.focus();
}

/** Shows what the bank said to a form, in the page's words: at the fields that the form has, else above its button. */
export function refuse(form, error) {
  if (error instanceof SignedOut) return;
  const fields = error instanceof Problem ? error.errors.map(({ field }) => field) : [];
  const own = [...new Set(fields)].filter((field) => form.elements.namedItem(field) instanceof HTMLElement);
  showErrors(form, { errors: own.map((field) => ({ field, message: fieldWords(field, error) })), error: own.length ? null : error });
}

/** Messages for the fields that are empty. */
export const required = (form, messages) =>
  Object.entries(messages)
    .filter(([field]) => !form.elements.namedItem(field).value.trim())
    .map(([field, message]) => ({ field, message }));

export function clearErrors(form) {
  form.querySelectorAll('.field-error').forEach((node) => node.remove());
  form.querySelectorAll('[aria-invalid]').forEach((input) => {
    input.removeAttribute('aria-invalid');
    const kept = (input.getAttribute('aria-describedby') ?? '')
      .split(' ')
      .filter((id) => id && id !== `${input.id}-error`);
    if (kept.length) input.setAttribute('aria-describedby', kept.join(' '));
    else input.removeAttribute('aria-describedby');
  });
  form.querySelector('.form-error')?.replaceChildren();
}

/** Runs an action with its button busy, so that a double click is one click. */
export async function busy(button, action) {
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  try {
    return await action();
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/** Read out, not shown. */
export function announce(text) {
  byId('announcer').textContent = text;
}

const toastIcons = { in: 'in', out: 'out', error: 'alert', info: 'check' };

/** A message that comes and goes, and is read out. As a popover it lies above an open dialog. */
export function toast(content, kind = 'info') {
  const region = byId('toasts');
  const close = el(
    'button',
    { class: 'icon-button', type: 'button', 'aria-label': t('dismiss'), onclick: () => node.remove() },
    icon('close'),
  );
  const text = el('p', {}, content);
  const node = el('div', { class: 'toast', dataset: { kind } }, icon(toastIcons[kind] ?? 'check'), text, close);
  announce(text.textContent);
  if (region.matches(':popover-open')) region.hidePopover();
  region.showPopover?.();
  region.append(node);
  while (region.children.length > 3) region.firstElementChild.remove();
  setTimeout(() => node.remove(), 8000);
}

/** An id in groups of four for the eye, between which a narrow line breaks. Selected and copied, it has no gaps. */
export function idText(id) {
  const [, prefix, rest] = /^([a-z]+_)?(.*)$/.exec(id);
  const groups = rest.match(/.{1,4}/g) ?? [];
  return el(
    'code',
    { class: 'groups', dataset: { id } },
    groups.map((group, index) => el('span', {}, (index === 0 ? (prefix ?? '') : '') + group)),
  );
}

/** An id to hand to others, with a button that copies it. */
export function copyable(text, label) {
  const code = idText(text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast(t('copied', { what: label }));
    } catch {
      getSelection().selectAllChildren(code); // no clipboard here: select it, so that Ctrl+C does
    }
  };
  return el(
    'span',
    { class: 'copyable' },
    code,
    el(
      'button',
      { class: 'icon-button', type: 'button', 'aria-label': t('copy', { what: label }), onclick: copy },
      icon('copy'),
    ),
  );
}

/** A name and its value in a `<dl class="facts">`. */
export const fact = (name, ...value) => el('div', {}, el('dt', {}, name), el('dd', {}, ...value));
