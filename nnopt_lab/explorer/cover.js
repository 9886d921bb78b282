// A question in front of a box: answered or waived, it shows the box, without asking the kernel.

const KEYS = /^(Arrow.*|Enter| |Home|End|Page.*)$/; // ours here, not the notebook's

const element = (name, text = "", className = "") =>
  Object.assign(document.createElement(name), { textContent: text, className });

function choice(model, give) {
  const row = element("div", "", "nnopt-lab-answers");
  const buttons = model.get("answers").map((answer, i) => {
    const button = element("button", answer);
    button.onclick = () => give(i);
    row.append(button);
    return button;
  });
  const follow = (answer, isLocked) => buttons.forEach((button, i) => {
    button.setAttribute("aria-pressed", String(i === answer));
    button.setAttribute("aria-disabled", String(isLocked)); // and keeps the focus
  });
  return { row, follow };
}

function number(model, give) {
  const answers = model.get("answers");
  const row = element("div", "", "nnopt-lab-answers");
  const slider = Object.assign(element("input"), {
    type: "range", min: 0, max: answers.length - 1, value: Math.floor(answers.length / 2),
  });
  const shown = element("output");
  const button = element("button", "That is my guess");
  slider.setAttribute("aria-label", "my guess");
  const say = () => {
    shown.textContent = answers[slider.value];
    slider.setAttribute("aria-valuetext", answers[slider.value]);
  };
  slider.oninput = say;
  button.onclick = () => give(Number(slider.value));
  say();
  row.append(slider, shown, button);
  const follow = (answer, isLocked) => {
    slider.disabled = isLocked;
    if (answer >= 0) slider.value = answer;
    say();
    button.setAttribute("aria-disabled", String(isLocked));
  };
  return { row, follow };
}

// What stands below the answers once the box is seen.
function told(model) {
  const answer = model.get("answer");
  const [answers, reasons] = [model.get("answers"), model.get("reasons")];
  const measured = `Measured: ${model.get("measured")}.`;
  if (answer < 0) return [`${measured} You can still answer; it counts as answered after seeing.`];
  const when = model.get("is_after") ? "After seeing, you said" : "You said";
  if (model.get("is_number")) return [`${when} ${answers[answer]}. ${measured}`, reasons[answer]];
  const isRight = answer === model.get("right");
  const mark = isRight ? "✓ That is what this run shows." : "✗ Not on this run.";
  return [`${when}: ${answers[answer]}. ${mark} ${measured}`, reasons[answer]];
}

async function render({ model, el }) {
  const reference = model.get("behind").slice("IPY_MODEL_".length);
  const behind = await model.widget_manager.get_model(reference);
  const save = (changes) => {
    model.set(changes);
    model.save_changes();
  };
  const give = (answer) => {
    if (model.get("answer") < 0) save({ answer, is_after: model.get("is_open"), is_open: true });
  };
  el.classList.add("nnopt-lab-cover");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Your prediction");
  el.addEventListener("keydown", (event) => {
    if (KEYS.test(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  const { row, follow } = (model.get("is_number") ? number : choice)(model, give);
  const waive = element("button", "Show anyway", "nnopt-lab-waive");
  waive.onclick = () => save({ is_open: true });
  row.append(waive);
  const told_ = element("div", "", "nnopt-lab-told");
  told_.setAttribute("role", "status");
  el.append(element("p", model.get("question"), "nnopt-lab-question"), row, told_);

  const draw = () => {
    const isOpen = model.get("is_open");
    if (isOpen && behind.get("display") !== null) {
      behind.set("display", null);
      behind.save_changes();
    }
    follow(model.get("answer"), model.get("answer") >= 0);
    waive.hidden = isOpen;
    told_.replaceChildren(...(isOpen ? told(model).map((line) => element("p", line)) : []));
  };
  model.on("change:is_open change:answer", draw);
  draw();
  return () => model.off("change:is_open change:answer", draw);
}

export default { render };
