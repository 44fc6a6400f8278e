// The page's words, in the person's language. Dates and amounts follow the same language, so that nothing is mixed.

import { german } from '/assets/messages-de.js';
import { english } from '/assets/messages-en.js';
import { browser } from '/assets/store.js';

const catalogues = { en: english, de: german };
const KEPT = 'bank.language';

// A page says in which languages it is written; without a word it is English.
const offered = (document.documentElement.dataset.languages ?? 'en').split(' ');
const wished = navigator.languages?.length ? navigator.languages : [navigator.language || 'en'];
const languageOf = (tag) => String(tag).toLowerCase().split('-')[0];

export const language = [browser.get(KEPT), ...wished].map(languageOf).find((tag) => offered.includes(tag)) ?? offered[0];

/** The language with the person's region, where they named one: `en-GB`, `de-CH`. */
export const locale = wished.find((tag) => languageOf(tag) === language) ?? language;

const messages = catalogues[language];
const plurals = new Intl.PluralRules(locale);

export const languages = offered;
export const has = (key) => key in messages;

function template(key, { count } = {}) {
  const counted = count === undefined ? null : messages[`${key}.${plurals.select(Number(count))}`];
  return counted ?? messages[key] ?? key;
}

/** Words as text. What people wrote themselves belongs into `sentence`, which isolates it. */
export function t(key, values = {}) {
  return template(key, values).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Words as nodes: each value stands in a `<bdi>`, so that a name in another script does not reorder the sentence. */
export function sentence(key, values = {}) {
  return template(key, values)
    .split(/(\{\w+\})/)
    .filter(Boolean)
    .map((part) => {
      const value = part.startsWith('{') ? values[part.slice(1, -1)] : undefined;
      return value === undefined ? part : isolated(value);
    });
}

/** A name or reference beside other text. */
export function isolated(value) {
  if (value instanceof Node) return value;
  const node = document.createElement('bdi');
  node.textContent = value;
  return node;
}

/** Takes the person's language for the texts that stand in the page. */
export function translate(root = document) {
  document.documentElement.lang = language;
  for (const node of root.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll('[data-t-label]')) node.setAttribute('aria-label', t(node.dataset.tLabel));
  for (const node of root.querySelectorAll('[data-t-placeholder]')) node.placeholder = t(node.dataset.tPlaceholder);
}

/** Keeps the choice, and shows the page anew: what was loaded stays with the bank, what was typed is in the draft. */
export function wireLanguage(select) {
  const names = (tag) => new Intl.DisplayNames([tag], { type: 'language' }).of(tag);
  select.replaceChildren(
    ...languages.map((tag) => {
      const option = document.createElement('option');
      Object.assign(option, { value: tag, lang: tag, textContent: names(tag), selected: tag === language });
      return option;
    }),
  );
  select.addEventListener('change', () => {
    browser.set(KEPT, select.value);
    location.reload();
  });
}
