// Everything can be reached and closed without a mouse, and one sees where one is.

import { launch } from "./chromium.js";
import { looks, wear } from "./looks.js";
import { see, settle, until } from "./page.js";
import { customer } from "./states/customer.js";
import { documents } from "./states/documents.js";
import { signedOut } from "./states/signed-out.js";
import { teller } from "./states/staff.js";
import { visit } from "./walk.js";

const tours = [
  { states: signedOut, names: ["signed out", "registration"] },
  {
    who: "alice",
    states: customer,
    names: [
      "overview",
      "search with results",
      "account",
      "statement",
      "security",
      "payment, empty, with recent payees",
      "payment to be checked",
      "details of a payment",
      "notifications",
    ],
    sheets: [
      ["overview", "#send-open"],
      ["overview", "#account-open"],
      ["overview", "#notifications-open"],
      ["account", "#account-send"],
      ["account", "#entries [data-activity] button"],
    ],
  },
  {
    who: "teller",
    states: teller,
    names: ["counter, a customer", "approvals, to be decided"],
    sheets: [["counter, a customer", "#customers .actions button"]],
  },
  { states: documents, names: ["/docs", "/docs, a call", "/admin/"] },
];

export async function keyboard(furniture) {
  const browser = await launch("en");
  const lines = [];
  try {
    for (const { who, states, names, sheets = [] } of tours) {
      const { context, page } = await visit(browser, who);
      const go = async (name) => {
        const undo = await states.find((state) => state.name === name).go(page, furniture);
        await settle(page);
        return undo;
      };
      const line = async (name, act) => {
        const faults = await act().catch((error) => [`could not be tried: ${error.message}`]);
        lines.push({ part: "keyboard", name, looks: 1, faults });
      };
      for (const name of names)
        await line(name, async () => {
          await wear(page, looks[0]);
          const undo = await go(name);
          const faults = await tabThrough(page);
          await undo?.();
          return faults;
        });
      for (const [name, opener] of sheets)
        await line(`${name}: ${opener} closes`, async () => {
          await go(name);
          return closes(page, opener);
        });
      await context.close();
    }
  } finally {
    await browser.close();
  }
  return lines;
}

/** Presses Tab until everything has had the focus, and looks whether that shows. */
async function tabThrough(page) {
  const count = await page.evaluate(collect);
  const faults = new Set();
  // A field for a date has a stop for each of its parts.
  for (let press = 0; press < 2 * count + 20; press += 1) {
    await page.keyboard.press("Tab");
    const { fault, left } = await page.evaluate(focused);
    if (fault) faults.add(fault);
    if (!left) break;
  }
  const missed = await page.evaluate(() => globalThis.unreached.map((node) => node.outerHTML.slice(0, 120)));
  for (const each of missed) faults.add(`Tab does not reach ${each}`);
  return [...faults];
}

/** Runs in the page: remembers all that Tab must reach; within a sheet that is open, what is in it. */
function collect() {
  const root = document.querySelector("dialog[open]") ?? document;
  const all = root.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]');
  globalThis.unreached = [...all].filter((node) => {
    if (node.tabIndex < 0 || node.disabled || !node.checkVisibility({ visibilityProperty: true })) return false;
    if (node.type !== "radio" || node.checked) return true;
    return !root.querySelector(`input[name="${node.name}"]:checked`);
  });
  return globalThis.unreached.length;
}

/** Runs in the page: what has the focus is no longer missed; whether one sees it. */
function focused() {
  const node = document.activeElement;
  globalThis.unreached = globalThis.unreached.filter((each) => each !== node);
  const left = globalThis.unreached.length;
  if (!node || node === document.body) return { left };
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
  const text = node.outerHTML.slice(0, 120);
  if ((outlineStyle === "none" || outlineWidth === "0px") && boxShadow === "none")
    return { left, fault: `the focus does not show on ${text}` };
  const box = node.getBoundingClientRect();
  const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const hit = document.elementFromPoint(x, y);
  // Of a region larger than the window any part will do.
  const large = box.height > innerHeight / 2;
  if (!large && !(hit && (node.contains(hit) || hit.contains(node) || hit.control === node)))
    return { left, fault: `something lies over ${text}` };
  return { left };
}

/** A sheet that was opened with Enter closes by Escape and by Back, and one is where one was. */
async function closes(page, opener) {
  const faults = [];
  const before = page.url();
  const ways = { Escape: () => page.keyboard.press("Escape"), Back: () => page.evaluate(() => history.back()) };
  for (const [way, close] of Object.entries(ways)) {
    await (await see(page, opener)).focus();
    await page.keyboard.press("Enter");
    await see(page, "dialog[open]");
    await until(page, () => document.querySelector("dialog[open]").contains(document.activeElement));
    await close();
    await until(page, () => !document.querySelector("dialog[open]") && !history.state?.sheet);
    if (page.url() !== before) faults.push(`${way} leads to ${page.url()}`);
    if (!(await page.evaluate((selector) => document.activeElement === document.querySelector(selector), opener)))
      faults.push(`after ${way} the focus is not where it was`);
  }
  return faults;
}
