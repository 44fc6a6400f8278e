// Reads an amount as a person of this language writes it, and asks back where it could mean two things.

import { locale, t } from '/assets/i18n.js';
import { read, write } from '/assets/money.js';

const parts = new Intl.NumberFormat(locale, { numberingSystem: 'latn' }).formatToParts(1234567.8);
const part = (type, otherwise) => parts.find((each) => each.type === type)?.value ?? otherwise;
const DECIMAL = part('decimal', '.');
const GROUP = part('group', ',');

/** The digits of other scripts as ASCII: ١٢ → 12. */
let digits = null;
function ascii(text) {
  if (!/\p{Nd}/u.test(text.replace(/[0-9]/g, ''))) return text;
  digits ??= new Map(
    Intl.supportedValuesOf('numberingSystem').flatMap((numberingSystem) => {
      const written = [...new Intl.NumberFormat('en', { numberingSystem, useGrouping: false }).format(9876543210n)];
      return written.length === 10 ? written.map((digit, index) => [digit, String(9 - index)]) : [];
    }),
  );
  return [...text].map((letter) => digits.get(letter) ?? letter).join('');
}

/** Only digits, `.` and `,` are left: spaces and apostrophes only ever group, and Arabic has signs of its own. */
function plain(text, currency) {
  const symbols = new Intl.NumberFormat(locale, { style: 'currency', currency })
    .formatToParts(0)
    .filter(({ type }) => type === 'currency')
    .map(({ value }) => value);
  let typed = ascii(text.trim().replace(/[\u200e\u200f\u061c\u2066-\u2069]/g, ''));
  for (const symbol of [...symbols, currency]) typed = typed.replace(symbol, '');
  return typed
    .trim()
    .replace(/^\+/, '')
    .replace(/(?<=\d)[\s'\u2019\u066c](?=\d{3}(\D|$))/gu, '')
    .replace(/\u066b/g, DECIMAL === ',' ? ',' : '.')
    .trim();
}

const grouped = (whole, sign) => (sign === '.' ? /^\d{1,3}(\.\d{2,3})*\.\d{3}$/ : /^\d{1,3}(,\d{2,3})*,\d{3}$/).test(whole);

/** { whole, fraction }, { ambiguous: [before the sign, behind it] } or null. */
function split(typed, decimals) {
  if (/^\d+$/.test(typed)) return { whole: typed, fraction: '' };
  if (!/^[\d.,]+$/.test(typed) || !/^\d/.test(typed) || !/\d$/.test(typed)) return null;
  const signs = [...new Set(typed.replace(/\d/g, ''))];
  const last = typed.replace(/\d/g, '').at(-1);
  const cut = typed.lastIndexOf(last);
  const [head, tail] = [typed.slice(0, cut), typed.slice(cut + 1)];

  // 1,234.50: the last sign is the decimal one, the other groups.
  if (signs.length === 2) {
    const other = signs.find((sign) => sign !== last);
    return !head.includes(last) && grouped(head, other) ? { whole: head.replaceAll(other, ''), fraction: tail } : null;
  }
  // 1,234,567: a sign that stands twice groups.
  if (head.includes(last)) return grouped(typed, last) ? { whole: typed.replaceAll(last, ''), fraction: '' } : null;
  if (tail.length !== 3 || last === DECIMAL) return { whole: head, fraction: tail };
  if (!grouped(typed, last)) return null;
  // 1,234: a thousand by this language's rules, and one and a bit by those of others. Without decimals only the first.
  return decimals === 0 && last === GROUP ? { whole: head + tail, fraction: '' } : { ambiguous: [head, tail] };
}

/** Without grouping, as the page would ask for it. */
const shown = (minor, decimals) => write(minor, decimals).replace('.', DECIMAL);

/** What a person typed → { amount } in the wire form, or { error } to show. */
export function parseAmount(text, decimals, currency) {
  const typed = plain(text, currency);
  if (!typed) return { error: t('amount.missing') };
  const found = split(typed, decimals);
  if (!found) return { error: t('amount.unreadable', { example: shown(1234n, decimals) }) };
  if (found.ambiguous) {
    const [head, tail] = found.ambiguous;
    const many = shown(BigInt(head + tail) * 10n ** BigInt(decimals), decimals);
    const few = shown(BigInt(head + tail.slice(0, decimals).padEnd(decimals, '0')), decimals);
    return { error: t('amount.ambiguous', { typed, many, few }) };
  }
  const { whole, fraction } = found;
  if (fraction.length > decimals)
    return { error: decimals === 0 ? t('amount.whole') : t('amount.decimals', { count: decimals }) };
  const amount = write(BigInt(whole + fraction.padEnd(decimals, '0')), decimals);
  return read(amount).minor === 0n ? { error: t('amount.zero') } : { amount };
}
