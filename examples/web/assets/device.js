// A device in a person's words, from what its browser says of itself.

import { sentence, t } from '/assets/i18n.js';

// In this order: many call themselves by their ancestors' names too.
const browsers = [
  [/\bEdgA?\//, 'Edge'],
  [/\b(OPR|Opera)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(Firefox|FxiOS)\//, 'Firefox'],
  [/\b(Chrome|CriOS|HeadlessChrome)\//, 'Chrome'],
  [/\bVersion\/.*Safari\//, 'Safari'],
  [/^curl\//, 'curl'],
];
const systems = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bWindows\b/, 'Windows'],
  [/\b(Macintosh|Mac OS X)\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

const first = (list, agent) => list.find(([pattern]) => pattern.test(agent))?.[1];

export const isPhone = (agent) => /\b(iPhone|Android)\b/.test(agent ?? '');

export function deviceOf(agent) {
  const browser = first(browsers, agent ?? '');
  const system = first(systems, agent ?? '');
  if (browser && system) return sentence('device.on', { browser, system });
  return [browser ?? system ?? t('device.unknown')];
}
