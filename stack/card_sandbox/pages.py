"""The hosted page of a Checkout session. Plain HTML, no script."""

from collections.abc import Callable
from functools import partial
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.card_amounts import from_stripe
from stack.card_sandbox import checkout
from stack.card_sandbox.errors import Json, SandboxError
from stack.card_sandbox.world import Origin, World

_LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} (sandbox)</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 26rem; padding: 0 1rem 2rem; overflow-wrap: anywhere; }}
.sandbox {{ background: #b45309; color: #fff; margin: 0 -1rem; padding: .5rem 1rem; }}
h1 {{ font-size: 1.4rem; margin: 1.5rem 0 .25rem; }}
.amount {{ font-size: 2rem; font-weight: 600; margin: 0 0 1rem; }}
label {{ display: block; margin: .75rem 0 0; }}
input {{ font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; }}
button {{ font: inherit; font-weight: 600; width: 100%; padding: .75rem; margin: 1rem 0 0;
  border: 0; border-radius: .4rem; background: #4338ca; color: #fff; }}
button.second {{ background: #57534e; }}
.refused {{ border-left: .3rem solid #dc2626; padding: .25rem .75rem; }}
table {{ font-size: .85rem; border-spacing: 0 .2rem; }}
td:first-child {{ padding-right: 1rem; font-variant-numeric: tabular-nums; }}
</style>
</head>
<body>
<p class="sandbox"><strong>SANDBOX</strong> – no money moves here. Never enter a real card.</p>
<main>
{body}
</main>
</body>
</html>
"""

_FORM = """<h1>{heading}</h1>
<p class="amount">{amount}</p>
{refusal}<form method="post">
<label for="card_number">Card number</label>
<input id="card_number" name="card_number" inputmode="numeric" autocomplete="off" required
  placeholder="4242 4242 4242 4242">
<label for="exp">Expiry, month and year</label>
<input id="exp" name="exp" autocomplete="off" required placeholder="12/34">
<label for="cvc">CVC</label>
<input id="cvc" name="cvc" inputmode="numeric" autocomplete="off" required placeholder="123">
<button type="submit">{button}</button>
</form>
{back}<h2>Test cards</h2>
<table>
<tr><td>4242 4242 4242 4242</td><td>works</td></tr>
<tr><td>4000 0027 6000 3184</td><td>asks to confirm</td></tr>
<tr><td>4000 0000 0000 9995</td><td>lacks funds</td></tr>
<tr><td>4000 0000 0000 0002</td><td>is declined</td></tr>
</table>
"""

_BANK = """<h1>Your bank asks</h1>
<p>Confirm {what}{of}<strong>{amount}</strong>?</p>
<form method="post" action="{url}/bank">
<button type="submit" name="answer" value="confirm">Confirm</button>
<button type="submit" name="answer" value="refuse" class="second">Refuse</button>
</form>
"""

_OVER = """<h1>{heading}</h1>
<p>{words}</p>
{back}"""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}


def pages(world: World, wake: Callable[[], None]) -> APIRouter:
    """The routes of the hosted page. A GET changes nothing; `wake` is called after a change."""
    router = APIRouter()

    def tried(session: Json, step: Callable[[], Json]) -> Response:
        response = _tried(world, session, step)
        wake()
        return response

    @router.get("/c/pay/{name}")
    async def show(name: str) -> Response:
        return _page(world, checkout.page_session(world, name))

    @router.post("/c/pay/{name}")
    async def submit(name: str, request: Request) -> Response:
        fields = await _fields(request)
        session = checkout.page_session(world, name)
        if session is None or session["status"] != "open":
            return _page(world, session)
        try:
            card = _card(fields)
        except ValueError as problem:
            return _page(world, session, str(problem))
        return tried(session, partial(checkout.submit, world, session, card))

    @router.post("/c/pay/{name}/bank")
    async def bank(name: str, request: Request) -> Response:
        agreed = (await _fields(request)).get("answer") == "confirm"
        session = checkout.page_session(world, name)
        if session is None or not _is_asked(world, session):
            return _page(world, session)
        answer = partial(checkout.answer_bank, world, session, agreed=agreed)
        return tried(session, answer)

    return router


def _is_asked(world: World, session: Json) -> bool:
    return session["status"] == "open" and checkout.waits_for_bank(world, session)


def _tried(world: World, session: Json, step: Callable[[], Json]) -> Response:
    """The page after `step`, or the payer's way back where that was the last one."""
    world.origin = Origin()
    refusal = ""
    with world.store.transaction():
        try:
            session = step()
        except SandboxError as error:
            if not error.keeps:
                raise
            refusal = str(error)
    if session["status"] == "complete":
        return RedirectResponse(_way_back(session, "success_url"), status_code=303)
    if refusal:
        return _page(world, session, refusal)
    return RedirectResponse(f"{world.base_url}/c/pay/{session['id']}", status_code=303)


def _page(world: World, session: Json | None, refusal: str = "") -> Response:
    if session is None:
        return _html("Not found", _over("This page does not exist.", "", None), 404)
    if session["status"] == "complete":
        words = "Paid." if session["mode"] == "payment" else "Your card was saved."
        return _html("Done", _over("Thank you", words, session, "success_url"))
    if session["status"] == "expired":
        words = "Nothing was charged here. Ask the sender for a new link."
        return _html("Expired", _over("This page has expired", words, session), 410)
    if _is_asked(world, session):
        return _html("Confirm", _bank(world, session))
    return _html("Checkout", _form(session, refusal), 402 if refusal else 200)


def _form(session: Json, refusal: str) -> str:
    paying = session["mode"] == "payment"
    amount = _amount(session)
    return _FORM.format(
        heading=escape(", ".join(session["_items"]) if paying else "Save a card"),
        amount=escape(amount),
        refusal=f'<p class="refused" role="alert">{escape(refusal)}</p>\n' if refusal else "",
        button=escape(f"Pay {amount}") if paying else "Save card",
        back=_back(session, "cancel_url", "Back without paying" if paying else "Back"),
    )


def _bank(world: World, session: Json) -> str:
    paying = session["mode"] == "payment"
    return _BANK.format(
        what="the payment" if paying else "the use of your card",
        amount=escape(_amount(session)) if paying else "",
        of=" of " if paying else "",
        url=escape(f"{world.base_url}/c/pay/{session['id']}"),
    )


def _over(heading: str, words: str, session: Json | None, back: str = "cancel_url") -> str:
    link = "" if session is None else _back(session, back, "Back to the seller")
    return _OVER.format(heading=escape(heading), words=escape(words), back=link)


def _back(session: Json, where: str, words: str) -> str:
    if not session[where]:
        return ""
    return f'<p><a href="{escape(_way_back(session, where))}">{escape(words)}</a></p>\n'


def _way_back(session: Json, where: str) -> str:
    return str(session[where]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _amount(session: Json) -> str:
    """Such as "USD 312.91"; nothing where nothing is charged."""
    if session["mode"] != "payment":
        return ""
    currency = session["currency"].upper()
    return f"{currency} {from_stripe(session['amount_total'], currency):,f}"


def _card(fields: dict[str, str]) -> Json:
    """The card as typed. Raises ValueError, in words for the payer."""
    month, slash, year = fields.get("exp", "").replace(" ", "").partition("/")
    if not (slash and month.isdecimal() and year.isdecimal() and len(year) in (2, 4)):
        raise ValueError("Give the expiry as month and year, such as 12/34.")
    return {
        "number": fields.get("card_number", ""),
        "exp_month": int(month),
        "exp_year": int(year) + (2000 if len(year) == 2 else 0),
        "cvc": fields.get("cvc", "").strip(),
    }


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a submitted form; of one given twice the first."""
    sent = parse_qs((await request.body()).decode(errors="replace"))
    return {name: values[0] for name, values in sent.items()}


def _html(title: str, body: str, status: int = 200) -> Response:
    text = _LAYOUT.format(title=escape(title), body=body)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)
