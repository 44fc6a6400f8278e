// Everything that moved or holds the customer's money, on the home page.

import { Feed } from '/assets/feed.js';

let feed = null;

export const loadActivity = (options) => feed.load(options);
export const resetActivity = () => feed.reset();

export function wireActivity() {
  feed = new Feed('activity', { withAccount: true });
}
