"""How things are shown and written: console and log, outs, processes. Never decides a number."""
