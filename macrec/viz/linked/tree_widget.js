// The tree of codes as a widget: the kernel is told the box that is chosen, and sends the tree below it.
import { codeTree } from "./tree.js";

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    let asked = 0;
    const draw = () =>
      codeTree(root, model.get("about"), (node) => {
        model.set("chosen", [node, ++asked]);
        model.save_changes();
      });
    draw();
    model.on("change:about", draw);
    return () => model.off("change:about", draw);
  },
};
