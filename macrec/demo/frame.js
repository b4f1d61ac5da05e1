// The frame grows with what is in it.
new ResizeObserver(() => {
  frameElement.style.height = `${document.body.offsetHeight + 8}px`;
}).observe(document.body);
