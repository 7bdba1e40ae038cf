"""What workflows and activities agree on: typed stubs and their values.

A stub has the name and the signature of the activity that implements it (a test compares them),
so that a workflow calls an effect without importing what carries it out.
"""
