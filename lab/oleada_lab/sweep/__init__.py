"""Sweeps: one update, and the plug pulled after every operation of the disk.

``kit`` has what is signed and installed, ``desk`` the server by the wire, ``world`` all
that outlives a cut, ``agent`` and ``box`` the real cores over the simulated disk,
``story`` what happens, ``judge`` what must be true, ``power`` and ``resume`` the sweeps.
``schedulers`` pauses the server's leader before every transaction instead, and wakes it
when another one leads.
"""
