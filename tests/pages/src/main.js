// Looks at all pages and says in a table what it looked at, and below it what is wrong.

import { furnish } from "./bank.js";
import { keyboard } from "./keyboard.js";
import { marks } from "./lighthouse.js";
import { walk } from "./walk.js";

const parts = process.argv.slice(2);
const asked = (part) => parts.length === 0 || parts.includes(part);

const started = Date.now();
const furniture = await furnish();
const both = await Promise.all(["en", "de"].filter(asked).map((language) => walk(language, furniture)));
const lines = both.flat();
// These want the machine for themselves: the one its windows' focus, the other its time.
if (asked("keyboard")) lines.push(...(await keyboard(furniture)));
if (asked("lighthouse")) lines.push(...(await marks()));

const width = Math.max(...lines.map(({ name }) => name.length));
for (const { part, name, looks, faults } of lines)
  console.log(`${part.padEnd(10)} ${name.padEnd(width)} ${String(looks).padStart(3)}  ${faults.length ? `${faults.length} wrong` : "ok"}`);
const wrong = lines.filter(({ faults }) => faults.length);
for (const { part, name, faults } of wrong) console.error(`\n${part}, ${name}:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
const looked = lines.reduce((sum, { looks }) => sum + looks, 0);
console.log(`\n${looked} looks at ${lines.length} states in ${Math.round((Date.now() - started) / 1000)} s; ${wrong.length} states have faults`);
process.exit(wrong.length ? 1 : 0);
