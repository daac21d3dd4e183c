"use strict";

const $ = (id) => document.getElementById(id);
const seen = { state: null, macs: null, known: null, rows: new Map(), flows: new Map(), chosen: null, at: "" };

function make(tag, words, classes) {
  const element = document.createElement(tag);
  if (words !== undefined) element.textContent = words;
  if (classes) element.className = classes;
  return element;
}

/* the line to the server */

function line(look, words) {
  $("line").className = "line " + look;
  if ($("line-words").textContent !== words) $("line-words").textContent = words;
  document.body.classList.toggle("stale", look === "lost");
}

function lost(words) {
  const age = seen.at ? "; what you see is of " + seen.at : "";
  line("lost", words + age);
}

let stream = null;

function connect() {
  stream = new EventSource("/events");
  stream.addEventListener("open", () => line("waiting", "looking"));
  stream.addEventListener("state", (event) => showState(JSON.parse(event.data)));
  stream.addEventListener("reach", (event) => showReach(JSON.parse(event.data)));
  stream.addEventListener("learned", (event) => showLearned(JSON.parse(event.data).macs));
  stream.addEventListener("stopped", (event) => showStopped(JSON.parse(event.data).stopped));
  stream.addEventListener("traffic", (event) => showTraffic(JSON.parse(event.data).rates));
  stream.addEventListener("trouble", (event) => lost("the host cannot be read: " + JSON.parse(event.data).words));
  stream.addEventListener("end", () => lost("bascule serve has ended"));
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) {
      lost("no connection: the server is full, or wants a new token (reload this page)");
      setTimeout(connect, 5000);
    } else if (!document.body.classList.contains("stale")) {
      lost("the connection is lost; trying again");
    }
  });
}

/* the state: picture, differences, links, expectations */

function showState(state) {
  seen.state = state;
  seen.at = state.at;
  line("live", "live; last change " + state.at);
  document.title = state.host + " · " + state.site + " · bascule";
  $("site").textContent = state.site;
  $("host").textContent = state.host === state.site ? "" : state.host;
  $("foot").textContent = state.sha256 ? "site file sha256 " + state.sha256 : "no site file: this host, as it is";
  $("problems").replaceChildren(...state.problems.map((words) => make("p", words)));
  showPicture(state.svg);
  showDrift(state);
  showAsks(state);
  showLinks(state.ports);
}

function showPicture(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (parsed.nodeName !== "svg") return;
  $("picture").replaceChildren(document.importNode(parsed, true));
  seen.flows = new Map();
  for (const path of $("picture").querySelectorAll(".flowing")) {
    for (const [end, side] of [[path.dataset.upper, "upper"], [path.dataset.lower, "lower"]]) {
      if (!seen.flows.has(end)) seen.flows.set(end, []);
      seen.flows.get(end).push([path, side]);
    }
  }
  choose(seen.chosen);
}

const FEW = 4;
const open = new Set();

/* the first few of a list, the others behind a line that unfolds; what a reader has unfolded stays so */
function folded(items, name) {
  const list = make("ul", undefined, "found");
  list.append(...items.slice(0, items.length > FEW + 1 ? FEW : items.length));
  if (items.length <= FEW + 1) return [list];
  const rest = make("details");
  rest.open = open.has(name);
  rest.addEventListener("toggle", () => (rest.open ? open.add(name) : open.delete(name)));
  const others = make("ul", undefined, "found");
  others.append(...items.slice(FEW));
  rest.append(make("summary", items.length - FEW + " more"), others);
  return [list, rest];
}

function showDrift(state) {
  const box = $("drift");
  const items = [...state.changes.map((change) => [change.subject, change.action, change.reason])];
  if (!state.sha256) {
    box.replaceChildren(make("p", "No site file was given, so there is nothing to compare with.", "soft-text"));
    return;
  }
  if (!items.length && !state.drift.length) {
    box.replaceChildren(make("p", state.problems.length ? "not known" : "none: a plan would be empty", "soft-text"));
    return;
  }
  const listed = state.drift.map((words) => make("li", words));
  for (const [subject, action, reason] of items) {
    const item = make("li");
    item.append(make("strong", subject), " wants: " + action, make("br"), make("span", reason, "soft-text small"));
    listed.push(item);
  }
  const more = make("p", "bascule apply would make these changes; this page changes nothing.", "soft-text small");
  box.replaceChildren(...folded(listed, "drift"), ...(items.length ? [more] : []));
}

/* who reaches whom: a table that the server has made */
function showReach(told) {
  $("reach").hidden = !told.table && !told.problem;
  const parsed = new DOMParser().parseFromString(told.table, "text/html").body;
  const parts = told.problem ? [make("p", told.problem, "soft-text")] : [...parsed.childNodes];
  $("matrix").replaceChildren(...parts.map((part) => document.importNode(part, true)));
}

function showStopped(lines) {
  $("guards").hidden = false;
  const none = make("p", "nothing since their table was loaded", "soft-text");
  $("stopped").replaceChildren(...(lines.length ? folded(lines.map((words) => make("li", words)), "stopped") : [none]));
}

function showAsks(state) {
  $("expect").hidden = !state.sha256;
  const asking = state.asking;
  $("ask").disabled = asking.running;
  let words = "sends probes (ARP, ICMP, TCP, UDP)";
  if (asking.running) words = "asking; some answers take seconds";
  else if (asking.problem) words = "asked at " + asking.at + ": " + asking.problem;
  else if (asking.stale) words = "the file has changed since " + asking.at + "; ask again";
  else if (asking.at) words = "asked at " + asking.at + "; " + asking.broken.length + " of " + asking.checks + " checks did not hold";
  $("ask-words").textContent = words;
  $("broken").replaceChildren(...(asking.broken.length ? folded(asking.broken.map((text) => make("li", text)), "broken") : []));
  $("asks").replaceChildren(...state.asks.map(askItem));
}

function askItem(ask) {
  const asked = "observed" in ask;
  const look = !asked || ask.ok === null ? "open" : ask.ok ? "ok" : "bad";
  const item = make("li", undefined, look);
  const button = make("button");
  button.type = "button";
  button.disabled = !ask.way;
  const must = ask.verdict === "reach" ? " must reach " : " must not reach ";
  const word = !asked ? "not asked yet" : ask.ok === null ? ask.observed : ask.ok ? "holds" : "does not hold: " + ask.observed;
  const sign = !asked || ask.ok === null ? "– " : ask.ok ? "✓ " : "✗ ";
  const mark = make("span", sign, "sig");
  mark.setAttribute("aria-hidden", "true");
  button.append(mark, make("b", ask.from), must, make("b", ask.to), " ", make("span", ask.service, "svc"));
  if (ask.seen_as) button.append(" seen as ", make("b", ask.seen_as));
  if (!ask.sentence || !ask.sentence.startsWith(word)) button.append(" ", make("span", word, "state-word"));
  if (ask.hops) button.append(make("span", ask.hops.join(" → ") + (ask.reached ? "" : " ✗"), "told svc"));
  if (ask.sentence) button.append(make("span", ask.sentence, "told"));
  if (ask.way) {
    item.dataset.way = ask.way;
    button.setAttribute("aria-pressed", String(seen.chosen === ask.way));
    item.classList.toggle("chosen", seen.chosen === ask.way);
    button.addEventListener("click", () => choose(seen.chosen === ask.way ? null : ask.way));
  }
  item.append(button);
  return item;
}

function choose(way) {
  const picture = $("picture");
  if (way && !picture.querySelector(".way-of." + way)) way = null;
  seen.chosen = way;
  picture.classList.toggle("way-chosen", Boolean(way));
  for (const part of picture.querySelectorAll(".way-of")) part.classList.toggle("shown", part.classList.contains(way));
  for (const part of picture.querySelectorAll(".node,.network")) part.classList.toggle("hot", part.classList.contains(way));
  for (const item of $("asks").children) {
    const mine = Boolean(way) && item.dataset.way === way;
    item.classList.toggle("chosen", mine);
    if (item.dataset.way) item.firstChild.setAttribute("aria-pressed", String(mine));
  }
}

/* the links */

function showLinks(ports) {
  const body = $("ports");
  const rows = new Map();
  for (const port of ports) {
    const old = seen.rows.get(port.name);
    const row = old ? old.row : make("tr");
    const cells = old || { row, name: make("th"), state: make("td", "", "state"), whose: make("td", "", "whose"),
      macs: make("td", "", "macs"), rx: make("td", "", "num"), tx: make("td", "", "num") };
    if (!old) {
      cells.name.scope = "row";
      row.append(cells.name, cells.state, cells.whose, cells.macs, cells.rx, cells.tx);
    }
    cells.port = port;
    row.className = (port.bridge ? "port " : "") + (port.state === "up" ? "" : "notup");
    cells.name.textContent = port.name;
    cells.name.title = [port.kind, port.bridge && "port of " + port.bridge, port.vlans && "VLAN " + port.vlans, port.mac, "MTU " + port.mtu,
      ...port.addresses].filter(Boolean).join("\n");
    cells.state.textContent = port.state;
    cells.whose.textContent = [port.whose, ...port.addresses].filter(Boolean).join(" ");
    rows.set(port.name, cells);
  }
  seen.rows = rows;
  body.replaceChildren(...[...rows.values()].map((cells) => cells.row));
  paintLearned();
}

function showLearned(macs) {
  seen.macs = macs;
  paintLearned();
}

function paintLearned() {
  if (!seen.macs) return;
  const known = new Set();
  for (const [name, cells] of seen.rows) {
    const macs = seen.macs[name] || [];
    const parts = [];
    for (const mac of macs.slice(0, 6)) {
      const fresh = seen.known && !seen.known.has(name + " " + mac);
      if (parts.length) parts.push(", ");
      parts.push(make("span", mac, fresh ? "new" : ""));
    }
    if (macs.length > 6) parts.push(" and " + (macs.length - 6) + " more");
    for (const mac of macs) known.add(name + " " + mac);
    cells.macs.replaceChildren(...parts);
  }
  if (seen.rows.size) seen.known = known;
}

/* what flows */

function bits(rate) {
  const units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
  let place = 0;
  while (rate >= 999.5 && place < 3) { rate /= 1000; place += 1; }
  return (rate < 9.95 && place ? rate.toFixed(1) : rate.toFixed(0)) + " " + units[place];
}

function told(rate, frames) {
  if (!frames) return "";
  const each = frames < 9.95 ? frames.toFixed(1) : frames < 9999.5 ? frames.toFixed(0) : (frames / 1000).toFixed(0) + "k";
  return bits(rate) + ", " + each + " fr/s";
}

function showTraffic(rates) {
  if (!seen.state) return;
  line("live", "live; last change " + seen.at);
  const wires = new Map();
  for (const [name, cells] of seen.rows) {
    const [rx, tx, rxf, txf] = rates[name] || [0, 0, 0, 0];
    cells.rx.textContent = told(rx, rxf);
    cells.tx.textContent = told(tx, txf);
    if (!rxf && !txf) continue;
    for (const [path, side] of seen.flows.get(cells.port.id) || []) {
      if (cells.port.side === "bridge" || (cells.port.side === "guest" && side === "lower")) continue;
      const inward = cells.port.side === "guest" ? rx - tx : tx - rx;
      const most = Math.max(rx, tx);
      const before = wires.get(path);
      if (!before || most > before[0]) wires.set(path, [most, inward >= 0 ? "down-way" : "up-way"]);
    }
  }
  for (const path of $("picture").querySelectorAll(".flowing")) {
    const flow = wires.get(path);
    const width = flow ? (flow[0] > 1e8 ? " f4" : flow[0] > 1e6 ? " f3" : flow[0] > 1e4 ? " f2" : "") : "";
    const look = flow ? "flowing on" + width + " " + flow[1] : "flowing";
    if (path.getAttribute("class") !== look) path.setAttribute("class", look);
  }
}

/* what a reader can do */

$("ask").addEventListener("click", async () => {
  $("ask").disabled = true;
  try {
    const answer = await fetch("/ask", { method: "POST", headers: { "X-Bascule": "ask" } });
    if (!answer.ok) {
      const why = answer.headers.get("content-type").includes("json") ? (await answer.json()).why : await answer.text();
      $("ask-words").textContent = why;
      $("ask").disabled = false;
    }
  } catch {
    $("ask-words").textContent = "no connection";
    $("ask").disabled = false;
  }
});

$("full-size").addEventListener("change", () => $("picture").classList.toggle("full", $("full-size").checked));

connect();
