// What the panels of linked views share: how they look, and small helpers. The same functions draw an exported page and
// the widgets of a live notebook.

const number = value => value.toLocaleString("en-US");
const percent = share => `${share > 0 && share < 0.01 ? "<1" : Math.round(100 * share)}%`;
const bytes = (type, text) => new type(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
const element = (tag, properties = {}, attributes = {}) => {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const STYLE = `.macrec-linked {
  font: 13px/1.35 var(--font); color: var(--ink); background: #fff; padding: 8px; position: relative; text-align: left;
  * { box-sizing: border-box }
  .bar { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; margin: 0 0 6px; min-height: 28px }
  button, select { font: inherit; color: inherit; background: #fff; border: 1px solid #8a8a8a; border-radius: 4px;
    padding: 2px 8px; cursor: pointer; max-width: 100% }
  button:disabled { color: #757575; border-color: #ccc; cursor: default }
  .panels { display: flex; flex-wrap: wrap; gap: 8px 16px }
  .maps { flex: 3 1 420px; min-width: 0 } .codes { flex: 2 1 320px; min-width: 0 }
  .pair { display: flex; gap: 8px } .map { flex: 1 1 0; min-width: 0; margin: 0 }
  .map figcaption, h4 { font-weight: 600; font-size: 13px; margin: 0 0 4px; padding: 0; white-space: nowrap;
    overflow: hidden; text-overflow: ellipsis }
  .canvas { position: relative; aspect-ratio: 1; max-height: 430px; width: 100%; border: 1px solid #ddd; border-radius: 4px; touch-action: none }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; cursor: crosshair }
  .legend { display: flex; flex-wrap: wrap; gap: 2px 12px; margin: 6px 0 0; font-size: 12px; min-height: 18px }
  .legend span { display: inline-flex; align-items: center; gap: 4px } .legend canvas { position: static; cursor: auto }
  .tree { position: relative; height: 460px; overflow: hidden; border: 1px solid #ddd; border-radius: 4px }
  .node { position: absolute; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; cursor: pointer;
    padding: 0 4px; border: 0 solid #fff }
  .rest { position: absolute; opacity: .45 }
  .node[aria-selected=true]::before { content: "✓ "; font-weight: bold }
  .node.marked { box-shadow: inset 0 0 0 2px var(--ink) }
  .path.bar { min-height: 0; margin: 0 0 4px; gap: 2px 6px }
  .path button { border: 0; padding: 0; color: var(--text); text-decoration: underline }
  .path button:disabled { color: var(--ink); text-decoration: none; font-weight: 600 }
  .rows { max-height: 330px; overflow: auto; border: 1px solid #ddd; border-radius: 4px; margin: 0 }
  table { border-collapse: collapse; width: 100%; margin: 0; font-size: 13px; table-layout: auto; border: 0 }
  th { position: sticky; top: 0; z-index: 1; background: #fff; text-align: left; box-shadow: 0 1px 0 #bbb }
  th, td { padding: 3px 10px; vertical-align: middle; text-align: left; border: 0 }
  td { border-bottom: 1px solid #eee } td:last-child, th:last-child { text-align: right } td { height: 41px }
  tbody tr { cursor: pointer; background: #fff } tbody tr:hover { background: #f4f4f4 }
  tr.shared td:first-child { border-left: 5px solid var(--conflict) } tr.alone td:first-child { border-left: 5px solid #fff }
  tr.first td { border-top: 2px solid #bbb }
  tr[aria-current=true] { background: var(--pale); font-weight: 600 }
  .pic { display: block; border-radius: 3px; background-repeat: no-repeat } .code { font-variant-numeric: tabular-nums;
    white-space: nowrap } .muted { color: #595959 } .told { margin: 6px 0 0; max-width: none }
  .more { margin: 6px 0 0 } .pointed { min-height: 18px; font-weight: 600 }
  .card { position: fixed; inset: auto; margin: 0; overflow: visible; pointer-events: none; color: inherit; background: #fff; border: 1px solid #bbb;
    border-radius: 6px; padding: 6px 8px; max-width: 240px; box-shadow: 0 2px 8px rgba(0,0,0,.2); font-size: 12px }
  .card .pic { margin: 0 auto 4px }
  [hidden] { display: none }
  :focus { outline: none } :focus-visible { outline: 3px solid var(--ink); outline-offset: 1px; border-radius: 4px }
  .node:focus-visible { outline-offset: -3px; z-index: 2 }
}`;

function dress(root, about) {
  root.classList.add("macrec-linked");
  root.dataset.lmSuppressShortcuts = "true";  // JupyterLab leaves the keys to us
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", about.label);
  for (const [name, color] of Object.entries(about.theme)) root.style.setProperty(`--${name}`, color);
  root.replaceChildren(element("style", {textContent: STYLE}));
}
