"""A mutation run: small faults are planted in the decision cores, and the tests must notice.

``operators`` makes the mutants of one source file. ``plan`` says which files, and which
tests may judge them. ``server`` collects the tests once, learns which test runs which
line, and forks a child per mutant. ``survivors`` holds what people have said of mutants
that no test can kill. ``run`` puts them together.

Imports nothing of the code that is mutated, so that a child can import it anew.
Why our own: docs/adr/0015-a-mutation-run-of-our-own.md.
"""
