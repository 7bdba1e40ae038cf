"""The HTTP interface: starts cycles, shows what they did, hands out invoices."""
