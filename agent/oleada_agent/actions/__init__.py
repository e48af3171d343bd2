"""Remote actions, each done by a short-lived process of its own (ADR 0031).

``python -m oleada_agent.actions`` reads one order on standard input, does it and tells
what it finds on standard output, a JSON object a line. Nothing here is loaded by the
agent itself, so that it costs no memory while nobody asks for anything.
"""
