"""A database of ten thousand customers with a million invoices, made by PostgreSQL itself.

It stands beside the customers of the demonstration. Nothing in it was rated: it is there for its
size, with the shape that years of billing leave behind.
"""

from datetime import date

from sqlalchemy import Engine, text

from storage.engine import transaction

CUSTOMERS, MONTHS = 10_000, 100
LAST_MONTH = date(2026, 2, 1)
"""Billed on the first of the month after; reports are asked about the weeks from there."""

_CUSTOMERS = """
    INSERT INTO customers (account_number, name, billing_emails, country, region, address_line1,
        postal_code, city, tax_id, tax_id_valid, tax_exempt, currency, segment, payment_method,
        status)
    SELECT 'M' || n, 'Customer ' || n, ARRAY['billing@m' || n || '.example'], 'DE', '',
           'Hafenstraße 1', '20457', 'Hamburg', '', false, false,
           CASE WHEN n % 10 = 0 THEN 'EUR' ELSE 'USD' END,
           (ARRAY['small', 'mid_market', 'enterprise'])[1 + n % 3],
           CASE WHEN n % 4 = 0 THEN 'bank_transfer' ELSE 'card' END, 'active'
    FROM generate_series(1, :customers) n
"""
_SUBSCRIPTIONS = """
    INSERT INTO subscriptions (customer_id, plan_id, quantity, starts_on)
    SELECT customers.id, pricing_plans.id, 1, DATE '2017-01-01' + (customers.id % 3000)::integer
    FROM customers, pricing_plans
    WHERE account_number LIKE 'M%' AND (kind = 'usage' OR customers.id % 3 = 0)
"""
_PRICES = """
    INSERT INTO plan_prices (plan_id, currency, version, valid_from, unit_price, charges, minimum)
    SELECT plan_id, 'EUR', version, valid_from, unit_price, charges, minimum FROM plan_prices
    WHERE currency = 'USD'
    ON CONFLICT DO NOTHING
"""
_RATES = """
    INSERT INTO exchange_rates (base, quote, valid_from, rate)
    VALUES ('EUR', 'USD', '2017-01-01', 1.1) ON CONFLICT DO NOTHING
"""
# one in fifty of each month is paid late, of the last three months one in twenty not at all
_INVOICES = """
    INSERT INTO invoices (number, customer_id, period_start, kind, status, collection_state,
        currency, usage_amount, subscription_amount, proration_amount, subtotal, tax, total,
        tax_lines, amount_paid, segment, customer, seller_version, issued_on, due_on, issued_at,
        settled_on, first_failed_on)
    SELECT 'INV-' || to_char(month, 'YYYY-MM') || '-' || (100000 + id), id, month, 'regular',
           CASE WHEN paid_on IS NOT NULL THEN 'paid'
                WHEN issued_on + 30 < :last_day THEN 'overdue' ELSE 'issued' END,
           CASE WHEN paid_on IS NOT NULL THEN 'paid' ELSE 'issued' END,
           currency, net - 99, 99, 0, net, round(net * 0.19, 2), net + round(net * 0.19, 2), '[]',
           CASE WHEN paid_on IS NOT NULL THEN net + round(net * 0.19, 2) ELSE 0 END,
           segment, snapshot, (SELECT max(version) FROM sellers),
           issued_on, issued_on + 30, issued_on, paid_on,
           CASE WHEN payment_method = 'card' AND (paid_on IS NULL OR paid_on > issued_on)
                THEN issued_on END
    FROM (
        SELECT customers.*,
               jsonb_build_object('account_number', account_number, 'name', name, 'tax_id', tax_id,
                   'tax_id_valid', tax_id_valid, 'tax_exempt', tax_exempt, 'segment', segment,
                   'billing_emails', billing_emails, 'currency', currency,
                   'payment_method', payment_method, 'po_number', po_number,
                   'address', jsonb_build_object('line1', address_line1, 'city', city,
                       'postal_code', postal_code, 'region', region, 'country', country)
               ) AS snapshot,
               month::date AS month, (month + interval '1 month')::date AS issued_on,
               (100 + (customers.id * 7919 + extract(epoch FROM month)::bigint / 86400) % 90000
                      / 100.0)::numeric(12, 2) AS net,
               CASE WHEN month > CAST(:last_month AS date) - 70
                         AND (customers.id + extract(month FROM month)::integer) % 20 = 0 THEN NULL
                    WHEN customers.id % 50 = extract(month FROM month)::integer
                    THEN (month + interval '1 month')::date + 45
                    WHEN payment_method = 'card' THEN (month + interval '1 month')::date
                    WHEN month = :last_month THEN NULL
                    ELSE (month + interval '1 month')::date + 20 END AS paid_on
        FROM customers,
             generate_series(CAST(:last_month AS date) - make_interval(months => :months - 1),
                             CAST(:last_month AS timestamp), interval '1 month') month
        WHERE account_number LIKE 'M%'
    ) of_customers
"""
_ENTRIES = """
    INSERT INTO receivable_entries (invoice_id, business_date, amount)
    SELECT id, issued_on, total FROM invoices WHERE number LIKE 'INV-____-__-1_____'
    UNION ALL
    SELECT id, settled_on, -total FROM invoices
    WHERE number LIKE 'INV-____-__-1_____' AND settled_on IS NOT NULL
"""
_PAYMENTS = """
    INSERT INTO payments (invoice_id, method, status, amount, currency, idempotency_key,
        business_date, allocated)
    SELECT invoices.id, payment_method, 'succeeded', total, invoices.currency,
           number || '/paid', settled_on, total
    FROM invoices JOIN customers ON customers.id = customer_id
    WHERE number LIKE 'INV-____-__-1_____' AND settled_on IS NOT NULL
"""
_AUDIT = """
    INSERT INTO audit_log (business_date, actor, subject_kind, subject, event, from_state,
        to_state, details)
    SELECT on_day, 'bench', 'invoice', number, event, from_state, to_state,
           jsonb_build_object('amount', total::text, 'method', 'card')
    FROM invoices, LATERAL (VALUES
        (issued_on, 'issued', 'draft', 'issued', true),
        (first_failed_on, 'charge_declined', 'payment_attempted', 'retry_scheduled', true),
        (issued_on + 31, 'overdue', 'issued', 'issued', first_failed_on IS NULL),
        (issued_on + 33, 'reminder_sent', 'issued', 'reminder_sent', true),
        (settled_on, 'settled', CASE WHEN settled_on > issued_on + 33 THEN 'reminder_sent'
                                     ELSE 'issued' END, 'paid', true)
    ) told (on_day, event, from_state, to_state, wanted)
    WHERE number LIKE 'INV-____-__-1_____' AND wanted
      AND on_day <= coalesce(settled_on, :last_day)
    ORDER BY on_day
"""
_USAGE = """
    INSERT INTO usage_daily (customer_id, metric, day, quantity)
    SELECT id, 'api_calls', day::date, 1000 + (id * 31 + extract(day FROM day)::integer) % 9000
    FROM customers,
         generate_series(CAST(:last_day AS date) - 160, CAST(:last_day AS timestamp),
                         interval '1 day') day
    WHERE account_number LIKE 'M%'
"""
_USAGE_BY_MONTH = """
    INSERT INTO usage_monthly (month, customer_id, metric, quantity)
    SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity)
    FROM usage_daily WHERE customer_id IN (SELECT id FROM customers WHERE account_number LIKE 'M%')
    GROUP BY 1, 2, 3
"""


def fill(engine: Engine) -> int:
    """Fills a migrated database in which the demonstration's data are; how many invoices it has."""
    about = {
        "customers": CUSTOMERS,
        "months": MONTHS,
        "last_month": LAST_MONTH,
        "last_day": date(2026, 3, 28),
    }
    for statement in (
        *(_CUSTOMERS, _PRICES, _SUBSCRIPTIONS, _RATES, _INVOICES, _ENTRIES, _PAYMENTS),
        *(_AUDIT, _USAGE, _USAGE_BY_MONTH),
    ):
        wanted = {name: value for name, value in about.items() if f":{name}" in statement}
        with transaction(engine) as connection:
            connection.execute(text(statement), wanted)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        return int(connection.execute(text("SELECT count(*) FROM invoices")).scalar_one())
