// Submits URLs, and shows the jobs and totals. What a page said is only ever set as text: its title may well be markup.
"use strict";

const POLL_MILLISECONDS = 2000;
const find = (selector) => document.querySelector(selector);
let shown = null;

async function ask(path, options = {}) {
  const response = await fetch(path, { signal: AbortSignal.timeout(15000), ...options });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(body.detail || `the server answered ${response.status}`);
  }
  return body;
}

function say(text, bad = false) {
  find("#message").textContent = text;
  find("#message").classList.toggle("bad", bad);
}

function cell(content, className = "") {
  const element = document.createElement("td");
  element.className = className;
  element.append(content);
  return element;
}

function row(job) {
  const open = document.createElement("button");
  open.textContent = job.url;
  open.addEventListener("click", () => { shown = job.id; refresh(); });
  const element = document.createElement("tr");
  element.append(cell(open), cell(job.stage), cell(job.state, job.state), cell(new Date(job.created_at).toLocaleString()));
  return element;
}

function showDetail(job) {
  const facts = {
    state: job.state, "HTTP status": job.status, words: job.words, links: job.links?.length,
    attempts: job.attempts, error: job.error, "request id": job.request_id,
  };
  find("#detail").hidden = false;
  find("#detail h2").textContent = job.title || job.url;
  find("#detail dl").replaceChildren(...Object.entries(facts).filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => {
      const fact = document.createElement("div");
      fact.append(document.createElement("dt"), document.createElement("dd"));
      fact.firstChild.textContent = name;
      fact.lastChild.textContent = value;
      return fact;
    }));
}

async function refresh() {
  try {
    const [{ jobs }, { totals }] = await Promise.all([ask("/api/jobs"), ask("/api/stats")]);
    find("#jobs").replaceChildren(...jobs.map(row));
    for (const element of document.querySelectorAll("[data-total]")) {
      element.textContent = totals[element.dataset.total].toLocaleString();
    }
    if (shown) showDetail(await ask(`/api/jobs/${shown}`));
    if (find("#message").dataset.from === "refresh") say("");
    find("#message").dataset.from = "";
  } catch (problem) {
    say(`Not up to date: ${problem.message}`, true);
    find("#message").dataset.from = "refresh";
  }
}

find("#submission").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const url = find("#url").value;
    const job = await ask("/api/jobs", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ url }),
    });
    shown = job.id;
    find("#url").value = "";
    say(`Submitted ${job.url}`);
    await refresh();
  } catch (problem) {
    say(problem.message, true);
  }
});

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, POLL_MILLISECONDS);
}

poll();
