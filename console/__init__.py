"""The finance team's pages: a client of the HTTP API, in the name of whoever is logged in."""
