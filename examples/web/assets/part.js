// Parts of the page that are loaded when they are needed.

import { tab } from '/assets/store.js';

const STORE = 'bank.reloaded';

/**
 * What `load` imports. After an upgrade of the bank the address of an older page's part is gone: then the page is loaded
 * anew, once a version.
 */
export async function part(load) {
  try {
    return await load();
  } catch (error) {
    const version = import.meta.url;
    if (tab.get(STORE) === version || !(await isThere())) throw error;
    tab.set(STORE, version);
    location.reload();
    return new Promise(() => {}); // the page is going
  }
}

/** A page that is loaded anew while the bank is away would be gone altogether. */
const isThere = () =>
  fetch('/', { cache: 'no-store', credentials: 'omit' }).then(
    (answer) => answer.ok,
    () => false,
  );
