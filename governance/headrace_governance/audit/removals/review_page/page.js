"use strict";
// The removal audit's page. Documents are data: they reach the page as JSON and the screen as textContent, nowhere else.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const store = `headrace-audit-${data.sample}`;
  const LABELS = ["right", "wrong", "unsure"];
  const EVERY = "";
  let judged = {};   // case -> {label, note}
  let shown = [];    // indices of the cases that the filters let through
  let at = 0;        // position in `shown`

  function remember() {
    try {
      localStorage.setItem(store, JSON.stringify({ judge: $("judge").value, judged }));
    } catch {
      say("This browser keeps nothing for a local page: save the file before you close it.");
    }
  }

  function recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(store) || "{}");
      judged = kept.judged || {};
      $("judge").value = kept.judge || "";
    } catch {
      judged = {};
    }
  }

  function say(text) {
    $("message").textContent = text;
  }

  // -- differences: words, by Myers' greedy algorithm (1986); far apart texts are left unmarked in the middle -----------
  const MOST_EDITS = 1000;

  function words(text) {
    return text.match(/\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) || [];
  }

  function difference(one, other) {
    const a = words(one), b = words(other);
    let start = 0, end = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
    const middle = edits(a.slice(start, a.length - end), b.slice(start, b.length - end));
    const removed = [], kept = [];
    const put = (list, type, tokens) => tokens.length && list.push([type, tokens.join("")]);
    put(removed, "", a.slice(0, start));
    put(kept, "", b.slice(0, start));
    for (const [type, tokens] of middle) {
      if (type !== "ins") put(removed, type, tokens);
      if (type !== "del") put(kept, type, tokens);
    }
    put(removed, "", a.slice(a.length - end));
    put(kept, "", b.slice(b.length - end));
    return [removed, kept];
  }

  function edits(a, b) {
    const n = a.length, m = b.length, trace = [];
    let furthest = new Map([[1, 0]]);
    for (let d = 0; d <= Math.min(n + m, MOST_EDITS); d++) {
      trace.push(new Map(furthest));
      for (let k = -d; k <= d; k += 2) {
        const down = k === -d || (k !== d && furthest.get(k - 1) < furthest.get(k + 1));
        let x = down ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
        while (x < n && x - k < m && a[x] === b[x - k]) x++;
        furthest.set(k, x);
        if (x >= n && x - k >= m) return path(a, b, trace, d);
      }
    }
    return [["del", a], ["ins", b]];
  }

  function path(a, b, trace, last) {
    const back = [];
    let x = a.length, y = b.length;
    for (let d = last; d >= 0; d--) {
      const v = trace[d], k = x - y;
      const down = k === -d || (k !== d && v.get(k - 1) < v.get(k + 1));
      const from = down ? k + 1 : k - 1;
      const fromX = d === 0 ? 0 : v.get(from), fromY = d === 0 ? 0 : fromX - from;
      while (x > fromX && y > fromY && x > 0 && y > 0 && a[x - 1] === b[y - 1]) { back.push(["", a[--x]]); y--; }
      if (d > 0) {
        if (down) back.push(["ins", b[--y]]); else back.push(["del", a[--x]]);
      }
    }
    const joined = [];
    for (const [type, token] of back.reverse()) {
      if (joined.length && joined[joined.length - 1][0] === type) joined[joined.length - 1][1].push(token);
      else joined.push([type, [token]]);
    }
    return joined;
  }

  // Characters that reorder or hide what follows are shown by their numbers.
  const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u;

  function write(target, pieces) {
    target.replaceChildren();
    for (const [type, text] of pieces) {
      const parent = type ? target.appendChild(document.createElement(type)) : target;
      for (const part of text.split(new RegExp(`(${HIDDEN.source})`, "u"))) {
        if (!part) continue;
        if (HIDDEN.test(part)) {
          const mark = parent.appendChild(document.createElement("span"));
          mark.className = "hidden-character";
          mark.textContent = `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
        } else {
          parent.appendChild(document.createTextNode(part));
        }
      }
    }
    target.scrollTop = 0;
  }

  // -- the case on the screen --------------------------------------------------------------------------------------------
  function current() {
    return data.cases[shown[at]];
  }

  function show() {
    const one = current();
    const done = data.cases.filter((c) => judged[c.case]).length;
    $("progress").textContent = `${shown.length ? at + 1 : 0} of ${shown.length} shown; ${done} of ${data.cases.length} judged`;
    $("bar").max = Math.max(1, data.cases.length);
    $("bar").value = done;
    for (const button of document.querySelectorAll("[data-label]")) {
      button.setAttribute("aria-pressed", String(Boolean(one) && judged[one.case]?.label === button.dataset.label));
    }
    $("facts").replaceChildren();
    if (!one) {
      $("question").textContent = "No case left to show here.";
      write($("removed"), []);
      write($("kept"), []);
      return;
    }
    const pair = one.kept !== null;
    $("question").textContent = pair
      ? "Do these two say the same, so that keeping one of them loses nothing?"
      : "Is this text not worth training on, so that the rule was right to remove it?";
    const facts = { rule: `${one.verdict}: ${one.reason}`, measured: one.measured, language: one.language, document: one.document, keeper: one.keeper };
    for (const [name, value] of Object.entries(facts)) {
      if (!value) continue;
      const row = $("facts").appendChild(document.createElement("div"));
      row.appendChild(document.createElement("dt")).textContent = name;
      row.appendChild(document.createElement("dd")).textContent = value;
    }
    $("kept-side").hidden = !pair;
    $("texts").className = pair ? "pair" : "single";
    const [removed, kept] = pair ? difference(one.removed, one.kept) : [[["", one.removed]], []];
    write($("removed"), removed);
    write($("kept"), kept);
    $("removed-note").textContent = one.removed_note;
    $("kept-note").textContent = one.kept_note;
    $("note").value = judged[one.case]?.note || "";
  }

  function choose() {
    const stratum = $("stratum").value, only = $("open").checked, before = current()?.case;
    shown = data.cases.map((_, i) => i).filter((i) => {
      const c = data.cases[i];
      return (stratum === EVERY || c.stratum === stratum || `verdict ${c.verdict}` === stratum) && !(only && judged[c.case]);
    });
    at = Math.max(0, shown.findIndex((i) => data.cases[i].case === before));
    show();
  }

  function go(step) {
    at = Math.min(Math.max(0, at + step), Math.max(0, shown.length - 1));
    say("");
    show();
  }

  function judge(label) {
    const one = current();
    if (!one) return;
    if (label === null) delete judged[one.case];
    else judged[one.case] = { label, note: $("note").value };
    remember();
    if (label === null) show();
    else if ($("open").checked) { shown.splice(at, 1); go(0); }
    else go(1);
  }

  // -- files -------------------------------------------------------------------------------------------------------------
  function save() {
    const name = $("judge").value.trim();
    if (!name) {
      say("Write your name first: a judgement belongs to somebody.");
      $("judge").focus();
      return;
    }
    const lines = data.cases.filter((c) => judged[c.case]).map((c) => {
      const { label, note } = judged[c.case];
      return JSON.stringify({ sample: data.sample, case: c.case, judge: name, label, note: note || "" });
    });
    if (!lines.length) { say("Nothing is judged yet."); return; }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" }));
    link.download = `judgements-${data.sample.slice(0, 16)}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("");
  }

  async function load(file) {
    const known = new Set(data.cases.map((c) => c.case));
    let taken = 0;
    try {
      for (const line of (await file.text()).split("\n")) {
        if (!line.trim()) continue;
        const j = JSON.parse(line);
        if (j.sample !== data.sample || !known.has(j.case) || !LABELS.includes(j.label)) throw new Error("a line is not of this sample");
        judged[j.case] = { label: j.label, note: typeof j.note === "string" ? j.note : "" };
        if (!$("judge").value && typeof j.judge === "string") $("judge").value = j.judge;
        taken++;
      }
      say(`${taken} judgements loaded.`);
    } catch (error) {
      say(`Not loaded further than ${taken} judgements: ${error.message}`);
    }
    remember();
    choose();
  }

  // -- keys and controls -------------------------------------------------------------------------------------------------
  const KEYS = {
    "1": () => judge("right"), r: () => judge("right"), "2": () => judge("wrong"), w: () => judge("wrong"),
    "3": () => judge("unsure"), u: () => judge("unsure"), "0": () => judge(null), j: () => go(1), ArrowRight: () => go(1),
    k: () => go(-1), ArrowLeft: () => go(-1), s: save,
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (act) { event.preventDefault(); act(); }
  });
  for (const button of document.querySelectorAll("[data-label]")) button.addEventListener("click", () => judge(button.dataset.label));
  $("clear").addEventListener("click", () => judge(null));
  $("previous").addEventListener("click", () => go(-1));
  $("next").addEventListener("click", () => go(1));
  $("save").addEventListener("click", save);
  $("load").addEventListener("change", (event) => event.target.files[0] && load(event.target.files[0]));
  $("stratum").addEventListener("change", choose);
  $("open").addEventListener("change", choose);
  $("judge").addEventListener("change", remember);
  $("note").addEventListener("change", () => {
    const one = current();
    if (one && judged[one.case]) { judged[one.case].note = $("note").value; remember(); }
  });

  const counts = new Map();
  for (const c of data.cases) {
    for (const name of [`verdict ${c.verdict}`, c.stratum]) counts.set(name, (counts.get(name) || 0) + 1);
  }
  const names = [...counts.keys()].sort((x, y) => y.startsWith("verdict ") - x.startsWith("verdict ") || (x < y ? -1 : 1));
  for (const name of [EVERY, ...names]) {
    const option = $("stratum").appendChild(document.createElement("option"));
    option.value = name;
    option.textContent = name === EVERY ? `all ${data.cases.length} cases` : `${name} (${counts.get(name)})`;
  }
  recall();
  choose();
})();
