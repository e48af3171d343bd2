"""How many boxes a bad release harms before it is stopped: our planner beside other rules.

A fleet is played minute by minute in whole numbers, compressed: what happens to boxes that
began in the same minute is drawn for all of them at once.
"""
