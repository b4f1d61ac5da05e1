// The linked views as a widget: what is selected goes to the kernel, and comes from it.
import { linkedItems } from "./linked.js";

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    const view = linkedItems(root, model.get("about"), (places) => {
      model.set("selected", new DataView(Int32Array.from(places).buffer));
      model.save_changes();
    });
    const follow = () => {
      const { buffer, byteOffset, byteLength } = model.get("selected");
      const places = new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength));
      const shown = view.selected();
      if (places.length !== shown.length || places.some((place, i) => place !== shown[i])) view.select(places, false);
    };
    follow();
    model.on("change:selected", follow);
    return () => {
      model.off("change:selected", follow);
      view.stop();
    };
  },
};
