// A fold keeps its content asleep in a <template>: it costs nothing before it is opened, and figures are drawn when there
// is room to draw them in. The scripts in it run when it is put into the page.
document.addEventListener(
  "toggle",
  ({ target }) => {
    const asleep = target.open && target.querySelector(":scope > template");
    if (asleep) asleep.replaceWith(document.importNode(asleep.content, true));
  },
  true,
);
