// Money stays a decimal string or a BigInt of minor units. No value ever passes through a float.

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

/** What a person typed → { amount } in the wire form, or { error } to show. */
export function parseInput(text, decimals) {
  let typed = text.trim().replace(/[\s\u00a0\u202f]/g, '');
  if (!typed) return { error: 'Enter an amount.' };
  // A comma is how much of Europe writes the decimal point. With three decimals "1,000" could mean either, so not there.
  if (decimals < 3 && !typed.includes('.')) typed = typed.replace(',', '.');
  if (!/^\d+(\.\d+)?$/.test(typed))
    return { error: 'Write the amount in digits, such as ' + write(1234n, decimals) + '.' };
  const [whole, fraction = ''] = typed.split('.');
  if (fraction.length > decimals) {
    return {
      error: decimals === 0 ? 'This currency has no decimals.' : `At most ${decimals} digits after the decimal point.`,
    };
  }
  const minor = BigInt(whole + fraction.padEnd(decimals, '0'));
  if (minor === 0n) return { error: 'The amount must be more than zero.' };
  return { amount: write(minor, decimals) };
}

/** For reading only: the locale's grouping and symbol around the exact digits. */
export function format({ amount, currency }, { sign = 'auto' } = {}) {
  const value = read(amount);
  if (!value) return `${amount} ${currency}`;
  const digits = write(value.minor < 0n ? -value.minor : value.minor, value.decimals);
  const [whole, fraction] = digits.split('.');
  let text;
  try {
    const formatter = new Intl.NumberFormat(undefined, {
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

export function isNegative({ amount }) {
  return String(amount).startsWith('-');
}

export function negate({ amount, currency }) {
  const value = read(amount);
  return value ? { amount: write(-value.minor, value.decimals), currency } : { amount, currency };
}

export function exceeds(amount, limit) {
  const [a, b] = [read(amount), read(limit)];
  return Boolean(a && b && a.decimals === b.decimals && a.minor > b.minor);
}
