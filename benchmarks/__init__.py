"""What a cycle costs, printed by `make bench`. Nothing here is asserted in a test."""
