"""The boot program and what it shares with the agent; imports nothing of the agent.

On hardware this is the bootloader's part: it is not in the slots, and is not updated
with them.
"""
