// A plotly figure that follows ipywidgets controls, without asking the kernel.

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).text();
}

// plotly.js comes once a kernel, in one shared widget, and is evaluated once a page.
function loadPlotly(library) {
  return (globalThis.nnoptLabPlotly ??= inflate(library.get("value")).then((code) => {
    const module = { exports: {} };
    new Function("module", code)(module);
    return module.exports;
  }));
}

// Containers are made anew for each frame, since plotly.js writes into them; only what it does not
// write into, a long array and a word, is shared.
function unpack({ nodes, frames }) {
  const build = (i) => {
    const node = nodes[i];
    if ("v" in node) return Array.isArray(node.v) ? structuredClone(node.v) : node.v;
    if ("l" in node) return node.l.map(build);
    return Object.fromEntries(Object.entries(node.d).map(([key, child]) => [key, build(child)]));
  };
  return (k) => build(frames[k]);
}

const position = (control) => control.get("index") ?? Number(control.get("value"));

function moveTo(control, k) {
  if (control.get("index") === undefined) control.set("value", Boolean(k));
  else control.set("index", k);
  control.save_changes();
}

// Which of some stops a place on an axis is: the same word, or the nearest number.
function nearest(stops, place) {
  const distance = (stop) => (stop === place ? 0 : Math.abs(Number(stop) - Number(place)));
  const distances = stops.map(distance).map((d) => (Number.isNaN(d) ? Infinity : d));
  return distances.indexOf(Math.min(...distances));
}

const config = {
  displaylogo: false,
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"],
};

// The title stands above the figure as text of the page, which breaks where the page is narrow.
function withoutTitle(layout) {
  const { title, ...rest } = layout;
  const top = layout.margin?.t ?? layout.template?.layout?.margin?.t;
  if (title?.text && top === undefined) rest.margin = { ...rest.margin, t: 30 };
  return [rest, (title?.text ?? "").replace(/<br>/g, ": ").replace(/<[^>]+>/g, "")];
}

// What a figure can be read at, each of its panels as wide as one alone, or what draw asks for.
function minimumWidth(layout) {
  const axes = Object.keys(layout).filter((key) => key.startsWith("xaxis"));
  const nColumns = new Set(axes.map((key) => layout[key].domain?.[0] ?? 0)).size;
  return Math.max(320, 320 * nColumns, layout.minreducedwidth ?? 0);
}

// What decides whether a zoom still has a meaning: the axes as draw gives them, and what stands on
// them. Figures that differ in it are drawn anew, as each looks alone; so are those of stop k with an
// axis that plotly.js does not let go of again: a polar one, or one with half a range.
function kindOf({ data, layout }, k) {
  const axes = Object.keys(layout).filter((key) => /^[xy]axis/.test(key)).sort();
  const ranges = axes.map((key) => [key, layout[key].type, layout[key].range, layout[key].autorange]);
  const traces = data.map(({ type, xaxis, yaxis, x, y }) => [type, xaxis, yaxis, typeof x?.[0], typeof y?.[0]].join());
  const isAlone = /polar/.test(traces) || ranges.some(([, , range]) => range?.includes(null));
  return JSON.stringify([ranges, [...new Set(traces)].sort(), isAlone && k]);
}

// All of a figure of numbers but where its points are; nothing is like another kind of figure.
function besidesPoints({ data, layout }) {
  const isNumber = (item) => item === null || typeof item === "number";
  const areNumbers = (list) => list?.dtype || (list ?? []).every(isNumber);
  const text = JSON.stringify([data.map(({ x, y, ...others }) => others), layout]);
  const isPlain = !/"category"|"transition"/.test(text);
  return isPlain && data.every(({ x, y }) => areNumbers(x) && areNumbers(y)) ? text : NaN;
}

const ranges = (layout) => String(Object.values(layout).flatMap((axis) => axis?.range ?? []));

// Axes and legend stay as they are, which takes plotly.js half the time, unless a range changes.
async function movePoints(Plotly, paper, data, layout) {
  const before = ranges(paper.layout);
  const moved = { ...layout, transition: { duration: 0 } };
  await Plotly.react(paper, data, moved, config);
  if (paper.layout !== moved) return; // a newer one has come meanwhile
  if (ranges(moved) !== before) await Plotly.react(paper, data, layout, config);
  else paper.emit("plotly_afterplot");
}

// To who does not see it, a control of ipywidgets is a number without a name.
function describe(control) {
  const name = control.get("description");
  const words = control.get("_options_labels")?.[control.get("index")];
  Object.values(control.views ?? {}).forEach(async (made) => {
    const { el } = await made;
    const handle = el.querySelector(".noUi-handle");
    handle?.setAttribute("aria-label", name);
    handle?.setAttribute("aria-valuetext", words);
    const buttons = [...el.querySelectorAll(".widget-toggle-button, .jupyter-button")];
    if (!buttons.length) return;
    el.setAttribute("role", "group");
    el.setAttribute("aria-label", name);
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", k === control.get("index")));
  });
}

// Curves are known by their names, so that one that was hidden stays so wherever it stands.
function named(data) {
  const counts = {};
  for (const trace of data) {
    const name = `${trace.type ?? "scatter"} ${trace.name ?? ""}`;
    counts[name] = (counts[name] ?? 0) + 1;
    const letters = [...`${name} ${counts[name]}`].map((letter) => letter.codePointAt(0));
    trace.uid ??= `t${letters.join("-")}`; // plotly.js makes a CSS class of it
  }
  return data;
}

async function render({ model, el }) {
  const heading = document.createElement("p");
  const sheet = document.createElement("div");
  const paper = document.createElement("div");
  const sentence = document.createElement("p");
  const trouble = document.createElement("p");
  sheet.className = "nnopt-lab-sheet"; // a narrow page scrolls it
  sheet.append(paper);
  paper.className = "nnopt-lab-figure";
  paper.setAttribute("role", "figure"); // it holds buttons
  sentence.className = "nnopt-lab-sentence";
  sentence.setAttribute("aria-live", "polite");
  trouble.className = "nnopt-lab-trouble";
  trouble.setAttribute("role", "alert");
  trouble.hidden = true;
  heading.className = "nnopt-lab-title";
  el.append(heading, sheet, sentence, trouble);

  const fail = (error) => {
    trouble.textContent = `${error.message ? "This figure could not be drawn: " : ""}`
      + `${error.message ?? error}. `
      + "Run its cell again; if that does not help, restart the kernel and reload the page.";
    trouble.hidden = false;
  };

  const widget = (reference) => model.widget_manager.get_model(reference.slice("IPY_MODEL_".length));
  let cleanup = () => {};
  try {
    const [library, bank] = await Promise.all([model.get("library"), model.get("bank")].map(widget));
    const controls = await Promise.all(model.get("controls").map(widget));
    const Plotly = await loadPlotly(library);
    const stops = model.get("stops");
    const names = Object.keys(stops);
    let frame;
    let kind;
    let besides;
    let nLoads = 0;
    const load = async () => {
      const number = ++nLoads;
      const loaded = unpack(JSON.parse(await inflate(bank.get("value"))));
      if (number === nLoads) frame = loaded; // not if a newer bank has come meanwhile
    };

    const redraw = () => {
      try {
        const k = names.reduce((at, name, i) => at * stops[name].length + position(controls[i]), 0);
        const { figure, words } = frame(k);
        const [layout, title] = withoutTitle(figure.layout);
        heading.textContent = title;
        sentence.textContent = words;
        paper.setAttribute("aria-label", [title, words].filter(Boolean).join(". ") || "without a title");
        layout.uirevision ??= "kept"; // the learner's zoom outlives a move of the slider
        paper.style.minWidth = `${minimumWidth(layout)}px`;
        layout.height ??= layout.template?.layout?.height ?? 450; // or the highest so far stays
        const isOfKind = kind === (kind = kindOf(figure, k));
        const isAlike = besides === (besides = besidesPoints({ ...figure, layout }));
        paper.classList.toggle("nnopt-lab-clickable", figure.data.some((trace) => trace.meta));
        const drawn = [paper, named(figure.data), layout, config];
        const isStill = isOfKind && isAlike && names.length; // curves that grow move their axes
        if (isStill) movePoints(Plotly, ...drawn).catch(fail);
        else (isOfKind ? Plotly.react : Plotly.newPlot)(...drawn).catch(fail);
        if (!isOfKind) paper.on("plotly_click", choose);
        controls.forEach(describe);
        trouble.hidden = true;
      } catch (error) {
        fail(error);
      }
    };
    const reload = () => load().then(redraw, fail);
    // A trace whose meta names controls by its axes chooses their values where it is clicked; for
    // customdata it names a list of them.
    const choose = ({ points: [point] }) => {
      for (const [axis, named] of Object.entries(point?.data.meta ?? {})) {
        [named].flat().forEach((name, i) => {
          const place = Array.isArray(named) ? point[axis][i] : point[axis];
          moveTo(controls[names.indexOf(name)], nearest(stops[name], place));
        });
      }
    };
    controls.forEach((control) => control.on("change:index change:value", redraw));
    bank.on("change:value", reload);
    // Figures go on without their kernel; what trains there does not.
    const see = () => {
      if (model.get("seconds_between_signs") > 0 && !bank.comm_live) {
        fail("The kernel that trains for it is gone");
      }
    };
    bank.on("comm_live_update", see);
    await load();
    redraw();
    see();
    let width = paper.offsetWidth;
    const observer = new ResizeObserver(() => {
      if (paper.offsetWidth && paper.offsetWidth !== width) Plotly.Plots.resize(paper);
      width = paper.offsetWidth;
    });
    observer.observe(paper);
    cleanup = () => {
      controls.forEach((control) => control.off("change:index change:value", redraw));
      bank.off("change:value", reload);
      bank.off("comm_live_update", see);
      observer.disconnect();
      Plotly.purge(paper);
    };
  } catch (error) {
    fail(error);
  }
  const seconds = model.get("seconds_between_signs");
  const signs = seconds > 0 && setInterval(() => model.send("here"), 1000 * seconds);
  return () => {
    clearInterval(signs);
    cleanup();
  };
}

export default { render };
