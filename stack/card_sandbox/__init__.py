"""The card sandbox: stands in for Stripe where no account is configured. Moves no money.

It speaks Stripe's API as far as Billwright uses it, with Stripe's test cards, idempotency keys,
hosted pages and signed webhooks, and fails on order. `activities/card_gateway.py` cannot tell it
from Stripe; what it asks is checked against Stripe's own description by stripe-mock in the tests.
"""
