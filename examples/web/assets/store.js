// What the page remembers: in this tab, or in this browser. Where the browser keeps nothing, the page works all the same.

function storage(open) {
  const attempt = (use) => {
    try {
      return use(open());
    } catch {
      return null; // storage is blocked or full
    }
  };
  return {
    get: (key) => attempt((store) => JSON.parse(store.getItem(key) ?? 'null')),
    set: (key, value) => attempt((store) => store.setItem(key, JSON.stringify(value))),
    remove: (key) => attempt((store) => store.removeItem(key)),
    clear: () => attempt((store) => store.clear()),
  };
}

export const tab = storage(() => sessionStorage);
export const browser = storage(() => localStorage);
