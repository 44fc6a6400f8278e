// What must hold of a page in every state and look.

import axe from "axe-core";

/** Everything that is wrong, each as one line. */
export async function check(page) {
  return [...(await accessibility(page)), ...(await page.evaluate(layout))];
}

async function accessibility(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ["violations"], preload: false }),
  );
  return violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 3).map(({ target, any }) => `${target.join(" ")} (${any[0]?.message ?? help})`);
    return `${id}: ${places.join("; ")}${nodes.length > 3 ? `; and ${nodes.length - 3} more` : ""}`;
  });
}

/** Runs in the page: nothing is wider than the window, nothing is cut off, and no word is missing. */
function layout() {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}`);
  for (const sheet of document.querySelectorAll("dialog[open]"))
    if (sheet.scrollWidth > sheet.clientWidth) found.push(`#${sheet.id} scrolls sideways`);
  const name = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""} “${node.textContent.trim().slice(0, 40)}”`;
  const scrolls = (node) => node && (/auto|scroll/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
  for (const node of document.querySelectorAll("a, button, h1, h2, h3, input, label, p, select, summary, td, th, .money, .tag")) {
    const box = node.getBoundingClientRect();
    if (!box.width || !node.checkVisibility({ visibilityProperty: true }) || scrolls(node)) continue;
    const hidden = box.width <= 1 || box.bottom < 0;
    if (!hidden && (box.right > root.clientWidth + 0.5 || box.left < -0.5)) found.push(`${name(node)} leaves the window`);
    if (node.matches(".money") && node.getClientRects().length > 1) found.push(`${name(node)} is broken inside the number`);
    if (node.matches("button, .button") && node.scrollWidth > node.clientWidth + 1) found.push(`${name(node)} does not fit its words`);
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim();
    const isData = walk.currentNode.parentElement.closest("code, pre, script, .mono");
    if (!isData && /^[a-z_]+(\.[a-z_]+)+$/.test(text)) found.push(`“${text}” stands where words belong`);
  }
  return found;
}
