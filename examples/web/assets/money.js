// Money stays a decimal string or a BigInt of minor units. No value ever passes through a float.

import { locale } from '/assets/i18n.js';

const pattern = /^(-?)(\d+)(?:\.(\d+))?$/;

/** "12.30" → { minor: 1230n, decimals: 2 }. The server's own text says how many decimals a currency has. */
export function read(amount) {
  const match = pattern.exec(String(amount));
  if (!match) return null;
  const [, sign, whole, fraction = ''] = match;
  const minor = BigInt(whole + fraction);
  return { minor: sign ? -minor : minor, decimals: fraction.length };
}

/** 1230n with 2 decimals → "12.30". */
export function write(minor, decimals) {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, '0');
  const cut = digits.length - decimals;
  return (minor < 0n ? '-' : '') + digits.slice(0, cut) + (decimals ? '.' + digits.slice(cut) : '');
}

/** Sums amounts a currency, in the order in which the currencies first appear. */
export function totals(amounts) {
  const sums = new Map();
  for (const { amount, currency } of amounts) {
    const value = read(amount);
    if (!value) continue;
    const sum = sums.get(currency) ?? { minor: 0n, decimals: value.decimals };
    sum.minor += value.minor;
    sums.set(currency, sum);
  }
  return [...sums].map(([currency, sum]) => ({ currency, amount: write(sum.minor, sum.decimals) }));
}

/** The locale's grouping and symbol around the exact digits. This is the only place that writes money for people. */
export function format({ amount, currency }, { sign = 'auto' } = {}) {
  const value = read(amount);
  if (!value) return `${amount} ${currency}`;
  const digits = write(value.minor < 0n ? -value.minor : value.minor, value.decimals);
  const [whole, fraction] = digits.split('.');
  let text;
  try {
    const formatter = new Intl.NumberFormat(locale, {
      style: 'currency',
      currency,
      numberingSystem: 'latn',
      minimumFractionDigits: value.decimals,
      maximumFractionDigits: value.decimals,
    });
    text = formatter
      .formatToParts(BigInt(whole))
      .map((part) => (part.type === 'fraction' ? fraction : part.value))
      .join('');
  } catch {
    text = `${digits} ${currency}`; // a currency this browser does not know
  }
  if (value.minor < 0n) return '\u2212' + text;
  return sign === 'always' && value.minor > 0n ? '+' + text : text;
}

/** Money on the page: it never breaks inside the number. */
export function money(value, options) {
  const node = document.createElement('bdi');
  node.className = 'money';
  node.textContent = format(value, options);
  return node;
}

/** As a heading that shrinks until the whole number fits its box; the style sheet does the sum. */
export function fit(node, value, options) {
  const text = format(value, options);
  node.style.setProperty('--length', String(text.length));
  node.replaceChildren(money(value, options));
}

export const isNegative = ({ amount }) => String(amount).startsWith('-');
export const isZero = ({ amount }) => read(amount)?.minor === 0n;

export function negate({ amount, currency }) {
  const value = read(amount);
  return value ? { amount: write(-value.minor, value.decimals), currency } : { amount, currency };
}

/** With the sign that the direction gives it, whichever sign it came with. */
export function directed(money, direction) {
  const positive = isNegative(money) ? negate(money) : money;
  return direction === 'out' ? negate(positive) : positive;
}

export function subtract(from, amount) {
  const [a, b] = [read(from.amount), read(amount)];
  return a && b && a.decimals === b.decimals
    ? { amount: write(a.minor - b.minor, a.decimals), currency: from.currency }
    : null;
}

export function exceeds(amount, limit) {
  const [a, b] = [read(amount), read(limit)];
  return Boolean(a && b && a.decimals === b.decimals && a.minor > b.minor);
}
