"""A media player that is none: it speaks the documented socket, and has faults on demand."""
