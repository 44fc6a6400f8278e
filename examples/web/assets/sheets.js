// Sheets are modal dialogs. Each has an entry in the history while it is open, so that Back closes it and leaves the view.

// A closed sheet's entry is being left, which takes a moment.
let returning = false;

const isOpen = () => document.querySelector('dialog[open]') !== null;

export function openSheet(dialog) {
  if (dialog.open) return;
  dialog.showModal();
  if (!returning && !history.state?.sheet) history.pushState({ sheet: true }, '');
}

/** For a view that is about to be left: what is open has no entry any more. */
export function closeSheets() {
  document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
}

/** Closes by its buttons, by a click beside it and by Back; Escape and the return of focus are the browser's own. */
export function wireSheets() {
  if (history.state?.sheet) history.replaceState(null, '');
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
    });
    // The entry goes with the sheet. One that opens in the same moment takes it over.
    dialog.addEventListener('close', () => {
      if (isOpen() || returning || !history.state?.sheet) return;
      returning = true;
      history.back();
    });
  }
  addEventListener('popstate', (event) => {
    const opened = returning && isOpen(); // another one, meanwhile: it gets an entry of its own
    if (opened) history.pushState({ sheet: true }, '');
    else if (!event.state?.sheet) closeSheets();
    returning = false;
  });
}
