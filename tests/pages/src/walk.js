// Goes through every state in one language, and looks at each in every look.

import { mkdir } from "node:fs/promises";
import { bankUrl, nora, passwordOf } from "./bank.js";
import { accessibility, layout } from "./checks.js";
import { launch } from "./chromium.js";
import { isThorough, looks, wear } from "./looks.js";
import { click, fill, open, see } from "./page.js";
import { customer, newCustomer } from "./states/customer.js";
import { documents } from "./states/documents.js";
import { signedOut } from "./states/signed-out.js";
import { auditor, operator, teller } from "./states/staff.js";

const tours = [
  { states: signedOut },
  { who: "alice", states: customer },
  { who: nora.username, states: newCustomer },
  { who: "teller", states: teller },
  { who: "auditor", states: auditor },
  { who: "operator", states: operator },
];
// They are written in one language.
const inEnglish = { states: documents };

/** Where pictures of all that is looked at go, to be looked at by people. */
const shots = process.env.SHOTS;

/** One line a state: { part, name, looks, faults }. */
export async function walk(language, furniture) {
  const browser = await launch(language);
  const lines = [];
  if (shots) await mkdir(shots, { recursive: true });
  try {
    for (const { who, states } of language === "en" ? [...tours, inEnglish] : tours) {
      const { context, page, errors } = await visit(browser, who);
      for (const state of states) lines.push(await look(page, state, { language, furniture, errors }));
      await context.close();
    }
  } finally {
    await browser.close();
  }
  return lines;
}

/** A browser of its own for this person, signed in. */
export async function visit(browser, who) {
  const context = await browser.createBrowserContext();
  await context.overridePermissions(bankUrl, ["clipboard-sanitized-write"]);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(`an error of the page: ${error.message}`));
  page.on("console", (message) => {
    if (/Content.Security.Policy|TrustedHTML/.test(message.text())) errors.push(message.text());
  });
  await page.evaluateOnNewDocument(keepMessages);
  await wear(page, looks[0]);
  if (who) await signIn(page, who);
  return { context, page, errors };
}

export async function signIn(page, who) {
  await open(page, `${bankUrl}/`);
  await fill(page, "#username", who);
  await fill(page, "#password", passwordOf(who));
  await click(page, "#sign-in");
  await see(page, "#sign-out");
}

/** Runs in the page: what goes away by itself after some seconds stays as long as it is looked at. */
function keepMessages() {
  const real = globalThis.setTimeout;
  globalThis.setTimeout = (act, time, ...rest) => real(act, time >= 8_000 && time <= 10_000 ? 600_000 : time, ...rest);
}

async function look(page, state, { language, furniture, errors }) {
  // The same fault in several looks is one line.
  const faults = new Map();
  const note = (fault, where) => faults.set(fault, [...(faults.get(fault) ?? []), where]);
  let undo;
  try {
    await wear(page, looks[0]);
    undo = await state.go(page, furniture);
    for (const each of looks) {
      await wear(page, each);
      const rules = { isThorough: isThorough(each, language, inEnglish.states.includes(state)) };
      const faults = [...(await layout(page)), ...(await accessibility(page, rules))];
      for (const fault of new Set(faults)) note(fault, each.name);
      if (shots) await shoot(page, `${language} ${state.name} ${each.name}`);
    }
    if (state.stays && !(await page.$(state.stays))) note(`${state.stays} went while it was looked at`, "all");
  } catch (error) {
    note(`could not be looked at: ${error.message}`, "all");
    if (shots) await shoot(page, `${language} ${state.name} failed`);
  }
  await undo?.();
  for (const error of errors.splice(0)) note(error, "all");
  return {
    part: language,
    name: state.name,
    looks: looks.length,
    faults: [...faults].map(([fault, where]) => `${where.length === looks.length ? "all" : where.join(", ")}: ${fault}`),
  };
}

async function shoot(page, name) {
  await page.screenshot({ path: `${shots}/${name.replace(/[^\w%]+/g, "-")}.png` });
}
