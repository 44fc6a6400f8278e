// The page as it was served, to go back to: nothing of one customer is left in it for the next.

const fields = (node) => node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement;

/**
 * Remembers these parts of the page as they stand. The function that comes back restores them: what was added is removed,
 * what was changed is as before, and what was typed is gone. Their own elements stay, with all that listens to them.
 */
export function remember(parts) {
  const nodes = parts.flatMap((part) => [part, ...part.querySelectorAll('*')]);
  const served = nodes.map((node) => ({
    node,
    children: [...node.childNodes],
    attributes: new Map([...node.attributes].map(({ name, value }) => [name, value])),
  }));
  return () => served.forEach(restore);
}

function restore({ node, children, attributes }) {
  const same = node.childNodes.length === children.length && children.every((child, at) => node.childNodes[at] === child);
  if (!same) node.replaceChildren(...children);
  for (const name of node.getAttributeNames()) if (!attributes.has(name)) node.removeAttribute(name);
  for (const [name, value] of attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  if (fields(node)) node.value = node.defaultValue;
  if (node instanceof HTMLSelectElement) node.selectedIndex = Math.max(0, [...node.options].findIndex((each) => each.defaultSelected));
}
