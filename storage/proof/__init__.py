"""Both sides of each equation that proves a month, and the reconciliations that came of them."""
