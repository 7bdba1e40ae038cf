"""The rules of billing: pure functions and values, the standard library only.

Time, ids and rates come in as arguments; nothing here reads a clock, a file or a database.
"""
