// SPDX-License-Identifier: GPL-2.0-only OR MIT
// Talks with the server that this page comes from, and shows its counters. Text of the model is only ever text.
"use strict";

const at = (id) => document.getElementById(id);
let conversation = [];
let under_way = null;

function headers() {
  const key = at("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// The server's own words for what went wrong.
async function refusal(response) {
  if (response.status === 401) {
    at("key-label").hidden = false;
    at("settings").open = true;
    at("key").focus();
  }
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server says ${response.status}.`;
  }
}

async function get(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw new Error(await refusal(response));
  return response;
}

async function load_models() {
  const select = at("model");
  try {
    const { data } = await (await get("/v1/models")).json();
    const before = select.value;
    select.replaceChildren(...data.map((model) => new Option(model.id, model.id, model.default, model.default)));
    if (data.some((model) => model.id === before)) select.value = before;
    at("status").textContent = data.length ? "" : "There is no model.";
  } catch (error) {
    at("status").textContent = error.message;
  }
}

function say(role, text) {
  at("hint")?.remove();
  const article = document.createElement("article");
  article.className = role;
  const name = document.createElement("h2");
  name.textContent = { user: "You", assistant: at("model").value || "Model", error: "Error" }[role];
  const words = document.createElement("p");
  words.textContent = text;
  article.append(name, words);
  const log = at("log");
  log.append(article);
  log.scrollTop = log.scrollHeight;
  return words;
}

function set_busy(busy) {
  at("send").disabled = busy;
  at("stop").disabled = !busy;
}

// The data of server-sent events, one after the other.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

function request() {
  const system = at("system").value.trim();
  const asked = {
    model: at("model").value || "default",
    messages: [...(system ? [{ role: "system", content: system }] : []), ...conversation],
    stream: true,
    stream_options: { include_usage: true },
  };
  if (at("temperature").value !== "") asked.temperature = Number(at("temperature").value);
  if (at("tokens").value !== "") asked.max_tokens = Number(at("tokens").value);
  return asked;
}

async function ask(question) {
  // An answer that is under way when a new conversation begins belongs to the old one.
  const said = conversation;
  said.push({ role: "user", content: question });
  say("user", question);
  under_way = new AbortController();
  set_busy(true);
  const words = say("assistant", "");
  const article = words.parentElement;
  article.classList.add("waiting");
  at("status").textContent = "Waiting for the first word…";
  const start = performance.now();
  let text = "";
  let first = null;
  let usage = null;
  let problem = null;
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify(request()),
      signal: under_way.signal,
    });
    if (!response.ok) throw new Error(await refusal(response));
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const part = event.choices[0]?.delta?.content;
      if (!part) continue;
      first ??= performance.now();
      text += part;
      const log = at("log");
      const at_end = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
      words.textContent = text;
      if (at_end) log.scrollTop = log.scrollHeight;
    }
  } catch (error) {
    if (error.name !== "AbortError") problem = error.message;
  }
  article.classList.remove("waiting");
  set_busy(false);
  under_way = null;
  if (text) {
    said.push({ role: "assistant", content: text });
  } else {
    // It was not asked, and may be asked again.
    said.pop();
    article.remove();
  }
  if (said !== conversation) return;
  if (problem) say("error", problem);
  const seconds = first === null ? 0 : (performance.now() - first) / 1000;
  const figures = [];
  if (first !== null) figures.push(`first word after ${((first - start) / 1000).toFixed(2)} s`);
  if (usage) {
    figures.push(`${usage.completion_tokens} tokens`);
    if (seconds > 0 && usage.completion_tokens > 1) {
      figures.push(`${((usage.completion_tokens - 1) / seconds).toFixed(1)} tokens/s`);
    }
  } else if (!problem) {
    figures.push("stopped");
  }
  at("status").textContent = figures.join(", ");
  if (figures.length && text) {
    const small = document.createElement("small");
    small.textContent = figures.join(", ");
    article.append(small);
    at("log").scrollTop = at("log").scrollHeight;
  }
  at("question").focus();
}

const FIGURES = [
  ["llamux_kernel_sessions_active", "Being answered", 1],
  ["llamux_kernel_requests_waiting", "Waiting in the kernel", 1],
  ["llamuxd_waiting", "Waiting here", 1],
  ["llamux_kernel_requests_served_total", "Answered since boot", 1],
  ["llamux_kernel_decode_millitokens_per_second", "Writing, tokens/s", 1000],
  ["llamux_kernel_prefill_millitokens_per_second", "Reading, tokens/s", 1000],
  ["llamux_kernel_prompt_tokens_total", "Tokens read", 1],
  ["llamux_kernel_cached_tokens_total", "of these from the cache", 1],
  ["llamux_kernel_response_tokens_total", "Tokens written", 1],
  ["llamux_kernel_memory_used", "Memory of the model, MiB", 1 << 20],
  ["llamux_kernel_context", "Context, tokens", 1],
  ["llamuxd_in_flight", "Requests here now", 1],
];

async function load_metrics() {
  try {
    const text = await (await get("/metrics")).text();
    const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
    const values = new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
    const shown = FIGURES.filter(([name]) => values.has(name)).map(([name, title, per]) => {
      const div = document.createElement("div");
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = title;
      const value = Number(values.get(name)) / per;
      dd.textContent = value.toLocaleString(undefined, { maximumFractionDigits: per === 1 ? 0 : 1 });
      div.append(dt, dd);
      return div;
    });
    at("figures").replaceChildren(...shown);
    // Of a histogram its sum and count are enough for people.
    const rows = [...values].filter(([name]) => !name.includes("_bucket{")).map(([name, value]) => {
      const row = document.createElement("tr");
      for (const word of [name, value]) row.insertCell().textContent = word;
      return row;
    });
    at("counters").tBodies[0].replaceChildren(...rows);
    at("metrics-status").textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    at("metrics-status").textContent = error.message;
  }
}

function show(view) {
  for (const name of ["chat", "metrics"]) {
    at(name).hidden = name !== view;
    at(`show-${name}`).setAttribute("aria-pressed", String(name === view));
  }
  if (view === "metrics") load_metrics();
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question || under_way) return;
  at("question").value = "";
  ask(question);
});
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("form").requestSubmit();
  }
});
at("stop").addEventListener("click", () => under_way?.abort());
at("clear").addEventListener("click", () => {
  under_way?.abort();
  conversation = [];
  at("log").replaceChildren();
  at("status").textContent = "";
  at("question").focus();
});
at("key").value = sessionStorage.getItem("key") ?? "";
at("key").addEventListener("change", () => {
  sessionStorage.setItem("key", at("key").value.trim());
  load_models();
});
at("all").addEventListener("change", () => { at("counters").hidden = !at("all").checked; });
at("show-chat").addEventListener("click", () => show("chat"));
at("show-metrics").addEventListener("click", () => show("metrics"));
setInterval(() => { if (!at("metrics").hidden && !document.hidden) load_metrics(); }, 2000);
load_models();
at("question").focus();
