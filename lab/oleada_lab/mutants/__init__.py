"""Bugs planted in whole programs, which the lab must notice: the lab's own exam.

``patches`` reads the bugs that people wrote (lab/mutants/*.patch), ``generated`` draws
others from those that ``oleada_lab.mutation`` finds in the sources. ``copies`` makes a
throw-away copy of the packages with one bug in it, ``oracles`` says which parts of the
lab judge it, ``exam`` puts them together.

Unlike a mutation run, no test of a part judges: a bug is killed when a sweep of power
cuts or a story ends wrongly.
"""
