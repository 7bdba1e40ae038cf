"""Usage by day and month, counted in the statement that writes the events."""

COUNTED = """
    by_day AS (
        INSERT INTO usage_daily (customer_id, metric, day, quantity)
        SELECT customer_id, metric, day, sum(quantity) FROM added
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (customer_id, metric, day)
        DO UPDATE SET quantity = usage_daily.quantity + excluded.quantity
    ), by_month AS (
        INSERT INTO usage_monthly (month, customer_id, metric, quantity)
        SELECT date_trunc('month', day)::date, customer_id, metric, sum(quantity) FROM added
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (month, customer_id, metric)
        DO UPDATE SET quantity = usage_monthly.quantity + excluded.quantity,
                      changes = usage_monthly.changes + 1
    )
"""
"""The end of a statement's WITH that counts the rows of its part `added`: customer_id, metric, day
of the seller's zone, quantity. In one order, so that nobody waits in a circle.
"""
