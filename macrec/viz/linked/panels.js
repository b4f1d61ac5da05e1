// What the panels of linked views share: small helpers. The same functions draw an exported page and
// the widgets of a live notebook.

export const number = (value) => value.toLocaleString("en-US");
export const percent = (share) => `${share > 0 && share < 0.01 ? "<1" : Math.round(100 * share)}%`;
export const bytes = (type, text) => new type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
export const element = (tag, properties = {}, attributes = {}) => {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

export function dress(root, about) {
  root.classList.add("macrec-linked");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to us
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", about.label);
  for (const [name, color] of Object.entries(about.theme)) root.style.setProperty(`--${name}`, color);
  root.replaceChildren();
}
