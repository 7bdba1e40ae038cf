"""Master data as people keep it: customers, plans, subscriptions, tax rates.

What the import of files checks as well is here in one place: `customer_rules`, `price_versions`.
"""
