// What must hold of a page in every state and look.

import axe from "axe-core";

/** The rules whose answer hangs on the width of the window. */
const byWidth = ["scrollable-region-focusable", "target-size"];

/** What axe finds, each rule as one line. */
export async function accessibility(page, { isThorough }) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe.source);
  const rules = isThorough ? {} : { runOnly: { type: "rule", values: byWidth } };
  const { violations } = await page.evaluate(
    (some) => globalThis.axe.run(document, { resultTypes: ["violations"], preload: false, ...some }),
    rules,
  );
  return violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 3).map(({ target, any }) => `${target.join(" ")} (${any[0]?.message ?? help})`);
    return `${id}: ${places.join("; ")}${nodes.length > 3 ? `; and ${nodes.length - 3} more` : ""}`;
  });
}

/** What does not fit, and words that are missing. */
export const layout = (page) => page.evaluate(measure);

/** Runs in the page: nothing is wider than the window, nothing is cut off, and no word is missing. */
function measure() {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}`);
  for (const sheet of document.querySelectorAll("dialog[open]"))
    if (sheet.scrollWidth > sheet.clientWidth) found.push(`#${sheet.id} scrolls sideways`);
  const name = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""} “${node.textContent.trim().slice(0, 40)}”`;
  const clips = (node) => node && (/hidden|clip/.test(getComputedStyle(node).overflowX) ? node : clips(node.parentElement));
  const scrolls = (node) => node && (/auto|scroll/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
  for (const node of document.querySelectorAll("a, button, h1, h2, h3, input, label, p, select, summary, td, th, .money, .tag")) {
    const box = node.getBoundingClientRect();
    if (!box.width || !node.checkVisibility({ visibilityProperty: true }) || scrolls(node)) continue;
    const hidden = box.width <= 1 || box.bottom < 0;
    if (hidden) continue;
    if (box.right > root.clientWidth + 0.5 || box.left < -0.5) found.push(`${name(node)} leaves the window`);
    const frame = clips(node.parentElement)?.getBoundingClientRect();
    if (frame && (box.right > frame.right + 0.5 || box.left < frame.left - 0.5)) found.push(`${name(node)} is cut off`);
    if (node.matches(".money") && node.getClientRects().length > 1) found.push(`${name(node)} is broken inside the number`);
    if (node.matches("button, .button") && node.scrollWidth > node.clientWidth + 1) found.push(`${name(node)} does not fit its words`);
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim();
    const isData = walk.currentNode.parentElement.closest("bdi, code, pre, script, .mono, .path");
    if (!isData && /^[a-z_]+(\.[a-z_]+)+$/.test(text)) found.push(`“${text}” stands where words belong`);
  }
  return found;
}
