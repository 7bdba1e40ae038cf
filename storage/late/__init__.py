"""What comes late for a month that was billed: found, rated anew, charged or given back once."""
