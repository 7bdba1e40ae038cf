// Keeps a part of a page up to date while it says where its next state is to be had (data-live).
// Without this script the page loads itself anew; nothing else needs it.
"use strict";

const PAUSE = 1000; // milliseconds between two looks

async function look(part) {
  if (document.hidden) return part;
  const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
  if (answer.redirected || answer.status === 404) return location.reload();
  if (!answer.ok) return part;
  const shown = new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
  if (!shown.dataset.live) return location.reload(); // it is over: all of the page has changed
  const focused = part.contains(document.activeElement) && document.activeElement.textContent;
  part.replaceWith(shown);
  if (focused) [...shown.querySelectorAll("button")].find((it) => it.textContent === focused)?.focus();
  return shown;
}

function follow(part) {
  setTimeout(async () => {
    const next = await look(part).catch(() => part);
    if (next) follow(next);
  }, PAUSE);
}

document.querySelectorAll("[data-live]").forEach(follow);

// On a phone the navigation is a row that scrolls: it begins where one is.
document.querySelector("nav [aria-current=page]")?.scrollIntoView({ inline: "center", block: "nearest" });
